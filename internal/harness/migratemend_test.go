package harness

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/engine/dockerhost"
	"homelab/internal/fault"
	"homelab/internal/rollout"
	"homelab/internal/state"
	"homelab/registry"
)

// edit replaces a text in the registry.
func (w *wandering) edit(before, after string) {
	w.t.Helper()
	path := filepath.Join(w.cfg.Repo, "homelab.json")
	text, err := os.ReadFile(path)
	require.NoError(w.t, err)
	require.Contains(w.t, string(text), before)
	require.NoError(w.t, os.WriteFile(path, bytes.Replace(text, []byte(before), []byte(after), 1), 0o600))
}

const nasInRegistry = `"nas": {"docker": "unix:///run/nas.sock", "system": "x86_64-linux"}, `

// A registry that has become another one keeps no migration from being mended.
func TestMigrationIsMendedWhateverTheRegistrySays(t *testing.T) {
	for name, change := range map[string]func(w *wandering){
		"the host is elsewhere now": func(w *wandering) {
			w.edit("unix:///run/nas.sock", "unix:///moved/nas.sock")
			ask := w.Harness.engines
			w.Harness.engines = func(way *dockerhost.Engine) (deploy.Containers, error) {
				if way.Endpoint().URL == "unix:///run/nas.sock" {
					return nil, fault.New(fault.HostUnreachable, "nobody answers", "")
				}
				return ask(way)
			}
		},
		"its name is that of another one now": func(w *wandering) {
			w.edit("unix:///run/nas.sock", "unix:///run/pi.sock")
		},
		"another one answers there now": func(w *wandering) {
			w.edit("unix:///run/nas.sock", "unix:///moved/nas.sock")
			ask := w.Harness.engines
			w.Harness.engines = func(way *dockerhost.Engine) (deploy.Containers, error) {
				if way.Endpoint().URL == "unix:///run/nas.sock" {
					return told{w.engines["pi"], "pi"}, nil
				}
				return ask(way)
			}
		},
		"it has no such host any more": func(w *wandering) {
			w.names("pi")
			w.edit(nasInRegistry, "")
		},
		"nor such a service": func(w *wandering) {
			w.names("pi")
			w.edit(nasInRegistry, "")
			w.edit(`"web": {"aliases"`, `"other": {"aliases"`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWandering(t)
			w.breakOffMove("starting")
			change(w)
			report, err := w.core.Repair(t.Context(), deploy.RepairRequest{}, quiet)
			require.NoError(t, err)
			require.Len(t, report.Services, 1)
			assert.Equal(t, deploy.Mended, report.Services[0].Status, "%+v", report.Services[0].Problem)
			assert.Equal(t, []string{"web v1 running"}, w.is("nas"))
			assert.Empty(t, w.is("pi"))
		})
	}
}

// What a migration that was broken off still needs is not pruned.
func TestPruneOfWhatIsHalfMoved(t *testing.T) {
	w := newWandering(t)
	w.breakOffMove("halting") // the container is made, and has not run
	require.Equal(t, []string{"web.g2 v1 created"}, w.is("pi"))
	preview, err := w.core.DockerPrune(t.Context(), deploy.PruneRequest{}, quiet)
	require.NoError(t, err)
	assert.Zero(t, preview.Containers, "%+v", preview)
}

// Who wants to move what was broken off is told to mend that, and not to start it.
func TestMoveOfWhatIsHalfMoved(t *testing.T) {
	w := newWandering(t)
	w.breakOffMove("starting")
	_, err := w.moves("pi", "")
	assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
	assert.Contains(t, fault.Of(err).Hint, "homelab deploy repair")
}

// What is refused where a service was moved from is refused in previews, too.
func TestPreviewsOfWhatWasMoved(t *testing.T) {
	w := newWandering(t)
	require.NoError(t, w.bundles())
	bundles, err := w.core.StateList(t.Context(), state.ListRequest{Service: "web"})
	require.NoError(t, err)
	w.runs("web", "v2", healthy)
	w.moved("pi")
	for name, preview := range map[string]func() error{
		"rollback": func() error {
			_, err := w.core.Rollback(t.Context(), rollout.RollbackRequest{Service: "web"}, quiet)
			return err
		},
		"restore": func() error {
			_, err := w.core.StateRestore(t.Context(), state.RestoreRequest{Bundle: bundles.Bundles[0].ID}, quiet)
			return err
		},
	} {
		err := preview()
		assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%s: %v", name, err)
		assert.ErrorContains(t, err, "web was moved from host nas to pi", name)
	}
	_, err = w.core.StateRestore(t.Context(), state.RestoreRequest{Bundle: bundles.Bundles[0].ID, Host: "pi"}, quiet)
	require.NoError(t, err)
}

// A volume of the other host that somebody else writes to is not swapped unseen.
func TestMigrateIntoWhatOthersUse(t *testing.T) {
	w := newWandering(t)
	engine := w.engines["pi"]
	require.NoError(t, engine.Load(t.Context(), bytes.NewReader(deploytest.BehaviourArchive(t, "other:v1", healthy))))
	id, err := engine.Create(t.Context(), "other", deploy.Spec{Service: "other", Image: "other:v1", Mounts: []deploy.Mount{{Volume: "data", Target: "/data"}}}, map[string]string{deploy.LabelService: "other"})
	require.NoError(t, err)
	require.NoError(t, engine.Start(t.Context(), id))
	preview, err := w.moves("pi", "")
	require.NoError(t, err)
	assert.Contains(t, preview.Warnings, "data of pi is swapped while container other, which goes on, may write to it: is it the right one?")
}

// One that is paused is to go on, not to be deployed.
func TestMigrateOfWhatIsPaused(t *testing.T) {
	w := newWandering(t)
	require.NoError(t, w.engines["nas"].Pause(t.Context(), "web"))
	_, err := w.moves("pi", "")
	assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
	assert.ErrorContains(t, err, "is paused")
	assert.Contains(t, fault.Of(err).Hint, "docker unpause web")
}

// A host that is gone for good, and that a service has left, keeps no later migration of
// it from being mended.
func TestMigrationIsMendedBesideAnother(t *testing.T) {
	w := newWandering(t)
	ask := w.Harness.engines
	w.Harness.engines = func(way *dockerhost.Engine) (deploy.Containers, error) {
		if way.Endpoint().URL == "unix:///run/gone.sock" {
			return nil, fault.New(fault.Denied, "it does not let us in", "")
		}
		return ask(way)
	}
	require.NoError(t, state.Migrations(moves(w.jobs)).Write(&state.MigrateEntry{
		Service: "web", Host: "gone", At: registry.Host{Docker: "unix:///run/gone.sock"}, To: "nas", ToAt: registry.Host{Docker: "unix:///run/nas.sock"},
		ID: "20260314T120000Z-00000000", Step: state.MigrateRetiring, Engine: "gone", ToEngine: "nas", Name: "web",
	}))
	w.breakOffMove("starting")
	report, err := w.core.Repair(t.Context(), deploy.RepairRequest{}, quiet)
	require.NoError(t, err)
	is := map[string]deploy.RepairStatus{}
	for _, s := range report.Services {
		is[s.Host] = s.Status
	}
	assert.Equal(t, map[string]deploy.RepairStatus{"gone": deploy.Unmended, "nas": deploy.Mended}, is)
	assert.Equal(t, []string{"web v1 running"}, w.is("nas"))
	assert.Empty(t, w.is("pi"))
}
