package harness

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/engine/dockerhost"
	"homelab/internal/fault"
	"homelab/internal/plan"
	"homelab/internal/quiesce"
	"homelab/internal/state"
)

// wandering is an estate whose service web has state, and may go from host to host.
type wandering struct {
	*estate
	hosts map[string]*kept // by name: each has its volumes
}

func newWandering(t *testing.T) *wandering {
	t.Helper()
	k := newKept(t, `"restore": "Log in once."`)
	w := &wandering{estate: k.estate, hosts: map[string]*kept{"nas": k, "pi": {estate: k.estate, volumes: t.TempDir()}}}
	w.Harness.engines = func(way *dockerhost.Engine) (deploy.Containers, error) {
		host := strings.TrimSuffix(filepath.Base(way.Endpoint().URL), ".sock")
		return told{w.engines[host], host}, nil
	}
	w.Harness.sites = func(engine deploy.Containers) (state.Site, error) { return w.hosts[engine.(told).id], nil }
	w.Harness.places = func(engine deploy.Containers, _ string) (state.Place, error) { return w.hosts[engine.(told).id], nil }
	w.Harness.ready = func(_ context.Context, _ *loader, x wanted) (*readied, error) {
		r := &readied{out: "/nix/store/v1", pin: "web:v1", labels: map[string]string{deploy.LabelRevision: "v1", deploy.LabelOut: "/nix/store/v1"}}
		r.load = func(ctx context.Context, engine deploy.Engine) (*deploy.Loaded, error) {
			return &deploy.Loaded{Names: []string{r.pin}}, engine.Load(ctx, bytes.NewReader(deploytest.BehaviourArchive(t, r.pin, healthy)))
		}
		return r, nil
	}
	w.runs("web", "v1", healthy)
	return w
}

func (w *wandering) moves(toHost, confirm string) (*state.MigrateReport, error) {
	return w.core.StateMigrate(w.t.Context(), state.MigrateRequest{Service: "w", ToHost: toHost, Confirm: confirm}, quiet)
}

// moved previews, and does it.
func (w *wandering) moved(toHost string) *state.MigrateReport {
	w.t.Helper()
	preview, err := w.moves(toHost, "")
	require.NoError(w.t, err)
	require.Equal(w.t, "preview", preview.State)
	done, err := w.moves(toHost, preview.Unconfirmed()[:12])
	require.NoError(w.t, err)
	assert.Equal(w.t, "succeeded", done.State)
	assert.Empty(w.t, done.Unconfirmed())
	assert.NoError(w.t, done.Done.Unfinished)
	return done
}

// names has the registry name another host of web.
func (w *wandering) names(host string) {
	w.t.Helper()
	path := filepath.Join(w.cfg.Repo, "homelab.json")
	text, err := os.ReadFile(path)
	require.NoError(w.t, err)
	for _, other := range []string{"nas", "pi"} {
		text = bytes.Replace(text, []byte(`"hints": ["web"], "deploy": {"host": "`+other+`"}`), []byte(`"hints": ["web"], "deploy": {"host": "`+host+`"}`), 1)
	}
	require.NoError(w.t, os.WriteFile(path, text, 0o600))
}

func (w *wandering) status() deploy.ServiceStatus {
	w.t.Helper()
	report, err := w.core.Status(w.t.Context(), deploy.StatusRequest{Services: []string{"web"}})
	require.NoError(w.t, err)
	return report.Services[0]
}

func (w *wandering) bundles() error {
	_, err := w.core.StateBundle(w.t.Context(), state.BundleRequest{Service: "web"}, quiet)
	return err
}

// leftBehind are the warnings that name what runs where the registry does not have it.
func (w *wandering) leftBehind() []plan.Warning {
	w.t.Helper()
	_, planner, err := w.Harness.jobs(w.t.Context())
	require.NoError(w.t, err)
	loaded, err := planner.Load(w.t.Context())
	require.NoError(w.t, err)
	return w.ledger.leftBehind(w.t.Context(), journalOf(w.cfg.Repo), loaded.Registry, func(string) bool { return true }, nil)
}

var notMounted = []string{"web does not mount volume data: deploy what the registry says first", "web does not mount volume keys: deploy what the registry says first"}

// There, with what the registry does not say yet, and back.
func TestStateMigrate(t *testing.T) {
	w := newWandering(t)
	require.NoError(t, journalOf(w.cfg.Repo).Write(deploy.Record{Service: "web", Host: "nas", Container: "c"}))
	w.hosts["pi"].write("data/stale", "of long ago")
	preview, err := w.moves("pi", "")
	require.NoError(t, err)
	assert.Equal(t, []any{"web", "nas", "pi", "web", "/nix/store/v1", []string{"cache"}}, []any{preview.Service, preview.From, preview.To, preview.Preview.Container, preview.Preview.Out, preview.Preview.Left})
	assert.Equal(t, notMounted, preview.Warnings)
	require.Len(t, preview.Preview.Items, 2, "secrets go along")
	assert.Equal(t, []int64{2, 13, 1}, []int64{preview.Preview.Items[0].Comes.Entries, preview.Preview.Items[0].Comes.Bytes, preview.Preview.Items[0].There.Entries})
	_, err = w.moves("pi", strings.Repeat("0", 12))
	assert.Equal(t, fault.Conflict, fault.CodeOf(err))
	assert.Equal(t, []string{"web v1 running"}, w.is("nas"))
	assert.Empty(t, w.is("pi"))

	done := w.moved("pi")
	assert.Equal(t, []string{"web.g1-moved-to-pi v1 exited"}, w.is("nas"))
	assert.Equal(t, []string{"web v1 running"}, w.is("pi"))
	assert.Equal(t, "what happened", w.hosts["pi"].history())
	assert.Equal(t, "what happened", w.hosts["nas"].history(), "what was there stays there")
	assert.Positive(t, done.Done.Outage)
	assert.InDelta(t, done.Done.Outage, done.Done.Parts.Freeze+done.Done.Parts.Copy+done.Done.Parts.Wake, 1e-6)
	assert.Positive(t, paces(w.jobs).Of("pi", "web", quiesce.Stop).Wake, "the next forecast knows")
	assert.Contains(t, done.Todo[0], `set services.web.deploy.host = "pi"`)
	assert.Contains(t, done.Todo, "Log in once.")
	assert.Contains(t, done.Todo[len(done.Todo)-1], "--host pi --commit "+done.Done.ID)
	job, err := w.jobs.Get(t.Context(), done.JobID)
	require.NoError(t, err)
	assert.Equal(t, []any{migrateTool, []string{"web"}}, []any{job.Tool, job.Services})

	// As long as the registry says otherwise nothing of it is begun where it was.
	assert.Equal(t, []any{"pi", deploy.ServiceMissing, 1}, []any{w.status().Moved, w.status().State, w.status().Kept})
	err = w.bundles()
	assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
	assert.ErrorContains(t, err, "web was moved from host nas to pi")
	assert.Contains(t, fault.Of(err).Hint, "homelab state migrate web --to-host nas")
	_, err = w.mendFirst(t.Context(), told{w.engines["nas"], "nas"}, w.jobs, subject{name: "web", host: "nas"})
	assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
	assert.Empty(t, w.leftBehind(), "it is not to be ended there")
	record, err := journalOf(w.cfg.Repo).Read("pi", "web")
	require.NoError(t, err)
	assert.Equal(t, []any{done.Done.Generation, "v1"}, []any{record.Generation, record.Revision})
	record, err = journalOf(w.cfg.Repo).Read("nas", "web")
	require.NoError(t, err)
	assert.Nil(t, record)
	_, err = w.moves("pi", "")
	assert.Equal(t, fault.Precondition, fault.CodeOf(err), "it is there")

	w.names("pi")
	assert.Equal(t, []any{"", deploy.ServiceRunning}, []any{w.status().Moved, w.status().State})
	require.NoError(t, w.bundles())
	w.hosts["pi"].write("data/history", "what came since")
	back := w.moved("nas")
	assert.Contains(t, back.Todo[0], `set services.web.deploy.host = "nas"`)
	assert.Equal(t, []string{"web v1 running", "web.g1 v1 exited"}, w.is("nas"))
	assert.Equal(t, []string{"web.g2-moved-to-nas v1 exited"}, w.is("pi"))
	assert.Equal(t, "what came since", w.hosts["nas"].history())
	assert.Equal(t, "nas", w.status().Moved)
	w.names("nas")
	assert.Empty(t, w.status().Moved)
	require.NoError(t, w.bundles())
}

// What is wrong is told before anything is touched.
func TestStateMigrateIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		code   fault.Code
		says   string
		change func(w *wandering, r *state.MigrateRequest)
	}{
		"no such service": {fault.UnknownService, "wbe", func(_ *wandering, r *state.MigrateRequest) { r.Service = "wbe" }},
		"no state":        {fault.Precondition, "has no state", func(_ *wandering, r *state.MigrateRequest) { r.Service = "db" }},
		"not deployed":    {fault.Precondition, "is not deployed", func(_ *wandering, r *state.MigrateRequest) { r.Service = "tool" }},
		"no such host":    {fault.NotFound, "attic", func(_ *wandering, r *state.MigrateRequest) { r.ToHost = "attic" }},
		"it is there":     {fault.Precondition, "is on nas already", func(_ *wandering, r *state.MigrateRequest) { r.ToHost = "nas" }},
		"one engine": {fault.Precondition, "lead to the same engine", func(w *wandering, _ *state.MigrateRequest) {
			w.Harness.engines = func(*dockerhost.Engine) (deploy.Containers, error) { return told{w.engines["nas"], "nas"}, nil }
		}},
		"it does not run": {fault.Precondition, "does not run", func(w *wandering, _ *state.MigrateRequest) {
			require.NoError(w.t, w.engines["nas"].Stop(w.t.Context(), "web", 0))
		}},
		"it runs there": {fault.Conflict, "runs on host pi, too", func(w *wandering, _ *state.MigrateRequest) {
			w.names("pi")
			w.runs("web", "v1", healthy)
			w.names("nas")
		}},
		"not built": {fault.Precondition, "is not built", func(w *wandering, _ *state.MigrateRequest) {
			w.Harness.ready = func(context.Context, *loader, wanted) (*readied, error) {
				return nil, fault.New(fault.Precondition, "web is not built as it is now", "build it first: homelab build web")
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWandering(t)
			r := state.MigrateRequest{Service: "web", ToHost: "pi"}
			c.change(w, &r)
			was := []any{w.containers("nas"), w.containers("pi")}
			_, err := w.core.StateMigrate(t.Context(), r, quiet)
			assert.Equal(t, c.code, fault.CodeOf(err), "%v", err)
			assert.ErrorContains(t, err, c.says)
			assert.Equal(t, was, []any{w.containers("nas"), w.containers("pi")})
		})
	}
	assert.Error(t, state.MigrateRequest{Service: "web", ToHost: "pi", Background: true}.Validate())
}

// A container of somebody else keeps its name; another version is told.
func TestStateMigrateAmongOthers(t *testing.T) {
	w := newWandering(t)
	w.Harness.ready = func(context.Context, *loader, wanted) (*readied, error) {
		return &readied{out: "/nix/store/v2", pin: "web:v2"}, nil
	}
	preview, err := w.moves("pi", "")
	require.NoError(t, err)
	assert.Equal(t, append(slices.Clone(notMounted), "another version would run there (/nix/store/v2, not /nix/store/v1): it has to read the state of this one"), preview.Warnings)
	require.NoError(t, w.engines["pi"].Load(t.Context(), bytes.NewReader(deploytest.BehaviourArchive(t, "other:v1", healthy))))
	_, err = w.engines["pi"].Create(t.Context(), "web", deploy.Spec{Service: "other", Image: "other:v1"}, map[string]string{deploy.LabelService: "other"})
	require.NoError(t, err)
	_, err = w.moves("pi", "")
	assert.Equal(t, fault.Conflict, fault.CodeOf(err), "%v", err)
	assert.ErrorContains(t, err, "of the service other")
}

// breakOffMove begins a migration that is killed when it has said something.
func (w *wandering) breakOffMove(at string) {
	w.t.Helper()
	w.killsMove(state.MigrateRequest{Service: "web", ToHost: "pi"}, at)
}

func (w *wandering) killsMove(r state.MigrateRequest, at string) {
	w.t.Helper()
	m, err := w.newMigrating(w.t.Context(), &r)
	require.NoError(w.t, err)
	m.say = func(message string) {
		if strings.Contains(message, at) {
			panic("killed")
		}
	}
	require.PanicsWithValue(w.t, "killed", func() {
		_ = m.reached(w.t.Context(), func() error {
			_, err := m.carryOut(context.WithoutCancel(w.t.Context()))
			return err
		})
	})
}

// A migration that was broken off is ended before anything else happens to the service:
// at the next start of a server, by a repair, by the watchdog.
func TestMigrationIsBrokenOff(t *testing.T) {
	for name, goOn := range map[string]func(w *wandering){
		"repair": func(w *wandering) {
			report, err := w.core.Repair(w.t.Context(), deploy.RepairRequest{}, quiet)
			require.NoError(w.t, err)
			require.Len(w.t, report.Services, 1)
			assert.Equal(w.t, []any{deploy.Mended, "migrate"}, []any{report.Services[0].Status, report.Services[0].Step})
			assert.Contains(w.t, report.Services[0].What, "it runs on")
		},
		"start": func(w *wandering) {
			said := ""
			w.core.Starting(w.t.Context(), func(message string) { said += message })
			assert.Contains(w.t, said, "it runs on")
		},
		"whoever is next": func(w *wandering) {
			awake, err := w.mendFirst(w.t.Context(), told{w.engines["pi"], "pi"}, w.jobs, subject{name: "web", host: "pi"})
			require.NoError(w.t, err)
			awake()
		},
		"watchdog": func(w *wandering) {
			left, failed := state.Migrations(moves(w.jobs)).Entries()
			require.Empty(w.t, failed)
			require.Len(w.t, left, 1)
			none, err := w.watched(w.jobs, "nas", "web", "another")
			require.NoError(w.t, err)
			assert.Nil(w.t, none)
			watched, err := w.watched(w.jobs, "nas", "web", left[0].ID)
			require.NoError(w.t, err)
			require.NoError(w.t, w.mend(w.t.Context(), watched))
			pending, err := watched.pending()
			require.NoError(w.t, err)
			assert.False(w.t, pending)
		},
	} {
		for _, at := range []string{"swapping", "starting", "committed"} {
			t.Run(name+" "+at, func(t *testing.T) {
				w := newWandering(t)
				w.breakOffMove(at)
				assert.NotEmpty(t, w.status().BrokenOff)
				goOn(w)
				left, failed := state.Migrations(moves(w.jobs)).Entries()
				assert.Empty(t, failed)
				assert.Empty(t, left)
				assert.Empty(t, w.status().BrokenOff)
				// The last thing that it says is what it is about to do.
				assert.Equal(t, []string{"web v1 running"}, w.is("nas"))
				assert.Empty(t, w.is("pi"))
				assert.Equal(t, "what happened", w.hosts["nas"].history())
				w.moved("pi")
				assert.Equal(t, "what happened", w.hosts["pi"].history())
			})
		}
	}
}

// Where a service runs as it should nobody waits for the other host.
func TestHalfMovedHostIsSilent(t *testing.T) {
	for _, at := range []string{"halting", "starting"} {
		t.Run(at, func(t *testing.T) {
			w := newWandering(t)
			w.breakOffMove(at)
			w.engines["pi"].Fail = func(string) error { return fault.New(fault.EngineUnavailable, "gone", "") }
			require.NoError(t, w.bundles())
			assert.Equal(t, []string{"web v1 running"}, w.is("nas"))
			_, err := w.moves("pi", "")
			require.Error(t, err)
			w.engines["pi"].Fail = nil
			w.moved("pi")
			assert.Equal(t, []string{"web v1 running"}, w.is("pi"))
		})
	}
}

// Who asks for a service where it was is told where it is, however often it has moved.
func TestMovedOn(t *testing.T) {
	w := newWandering(t)
	for from, to := range map[string]string{"nas": "attic", "attic": "pi"} {
		require.NoError(t, state.Moves(moves(w.jobs)).Write(&state.Moved{Service: "web", Host: from, To: to}))
	}
	assert.Equal(t, "pi", w.status().Moved)
	err := here(w.jobs, "nas", "web")
	assert.ErrorContains(t, err, "web was moved from host nas to pi")
	assert.Contains(t, fault.Of(err).Hint, "set services.web.deploy.host to pi")
	assert.NoError(t, here(w.jobs, "pi", "web"))
}

// deployable is what is in the way of a deployment of web.
func (w *wandering) deployable() error {
	w.t.Helper()
	_, planner, err := w.Harness.jobs(w.t.Context())
	require.NoError(w.t, err)
	loaded, err := planner.Load(w.t.Context())
	require.NoError(w.t, err)
	d := &deployment{Harness: w.Harness, jobs: w.jobs}
	found, err := d.look(w.t.Context(), loaded.Registry, []plan.Service{{Name: "web"}, {Name: "db"}})
	require.NoError(w.t, err)
	assert.NoError(w.t, found.failed["db"])
	return found.failed["web"]
}

// Nothing of what was moved away is deployed, and a preview says so, until the registry
// follows or the service is back.
func TestDeployOfWhatWasMoved(t *testing.T) {
	w := newWandering(t)
	inTheWay := w.deployable
	require.NoError(t, inTheWay())
	w.moved("pi")
	err := inTheWay()
	assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
	assert.ErrorContains(t, err, "web was moved from host nas to pi")
	assert.Contains(t, fault.Of(err).Hint, "set services.web.deploy.host to pi")
	w.names("pi")
	require.NoError(t, inTheWay())
	w.moved("nas")
	assert.ErrorContains(t, inTheWay(), "web was moved from host pi to nas")
	w.names("nas")
	require.NoError(t, inTheWay())
}
