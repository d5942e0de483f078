package harness

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/rollout"
	"homelab/internal/state"
	"homelab/registry"
)

// mounting has web run with its volumes, and then the registry name another one of them.
func mounting(t *testing.T) *wandering {
	t.Helper()
	w := newWandering(t)
	w.edit(`"hints": ["web"], "deploy": {"host": "nas"}`, `"hints": ["web"], "deploy": {"host": "nas", "volumes": [{"name": "data", "target": "/data"}, {"name": "keys", "target": "/keys"}]}`)
	w.runs("web", "v1", healthy)
	w.edit(`{"name": "data"`, `{"name": "data2"`)
	w.edit(`{"volume": "data"}`, `{"volume": "data2"}`)
	return w
}

// loadedOf is web as the registry has it.
func (w *wandering) loadedOf() registry.Service {
	w.t.Helper()
	s, err := w.standingOf(w.t.Context(), "web", "")
	require.NoError(w.t, err)
	return s.Service
}

// A volume that the registry renames is moved on its host, and nobody begins with an empty
// one unawares.
func TestStateMigrateWithinAHost(t *testing.T) {
	w := mounting(t)
	service := w.loadedOf()
	spec, err := deploy.NewSpec("web", service, registry.Host{}, "web:v1")
	require.NoError(t, err)
	begin := func(previewed bool) error {
		return (&loader{Harness: w.Harness}).withState(t.Context(), w.engines["nas"], wanted{service: "web", host: "nas", spec: service, previewed: previewed}, spec)
	}
	err = begin(false)
	assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
	assert.ErrorContains(t, err, "web would start without its state: that is data, and is to be data2")
	assert.Contains(t, fault.Of(err).Hint, "homelab state migrate web --to-host nas")
	require.NoError(t, begin(true))

	preview, err := w.moves("nas", "")
	require.NoError(t, err)
	require.Len(t, preview.Preview.Items, 1)
	assert.Equal(t, []any{"data2", "data", int64(2)}, []any{preview.Preview.Items[0].Name, preview.Preview.Items[0].From, preview.Preview.Items[0].Comes.Entries})
	assert.Equal(t, []string{"keys", "cache"}, preview.Preview.Left)
	assert.Empty(t, preview.Warnings)
	done := w.moved("nas")
	assert.Equal(t, []string{"web v1 running", "web.g1 v1 exited", "web.g2 v1 exited"}, w.is("nas"))
	assert.Equal(t, "web.g2", done.Done.Kept)
	require.Len(t, done.Todo, 1, "it asks for no login")
	assert.Contains(t, done.Todo[0], "web.g2 is kept, stopped, and the state as it was then in data:")
	c, err := w.engines["nas"].Container(t.Context(), "web")
	require.NoError(t, err)
	assert.Equal(t, "data2", c.Spec.Mounts[0].Volume)
	for _, volume := range []string{"data", "data2"} {
		w.hosts["nas"].reads(volume+"/history", "what happened")
	}

	// It is where it was: nothing is refused there, and it is on record.
	assert.Equal(t, []any{"", deploy.ServiceRunning}, []any{w.status().Moved, w.status().State})
	require.NoError(t, w.bundles())
	record, err := journalOf(w.cfg.Repo).Read("nas", "web")
	require.NoError(t, err)
	assert.Equal(t, done.Done.Generation, record.Generation)
	require.NoError(t, begin(false))
	_, err = w.moves("nas", "")
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
	assert.ErrorContains(t, err, "web is on nas already, and its state where the registry has it")
	back, err := w.core.Rollback(t.Context(), rollout.RollbackRequest{Service: "web"}, quiet)
	require.NoError(t, err)
	require.NotEmpty(t, back.Warnings)
	assert.Contains(t, back.Warnings[len(back.Warnings)-1].Message, "has the state of then: data, and not data2")

	// And on to another host.
	w.moved("pi")
	assert.Equal(t, []string{"web v1 running"}, w.is("pi"))
	w.hosts["pi"].reads("data2/history", "what happened")
}

// What cannot be moved is told, and what was broken off is ended.
func TestStateMigrateWithinAHostIsBrokenOff(t *testing.T) {
	for _, at := range []string{"halting", "starting", "committed"} {
		w := mounting(t)
		r := state.MigrateRequest{Service: "web", ToHost: "nas"}
		w.killsMove(r, at)
		w.engines["nas"].Fail = func(call string) error {
			if call == "remove" && at != "committed" {
				return fault.New(fault.EngineUnavailable, "gone", "")
			}
			return nil
		}
		if at != "committed" {
			err := w.unmoved(t.Context(), w.jobs, subject{name: "web", host: "nas"})
			assert.Error(t, err, "what is left is where the registry has it: nothing begins there")
		}
		w.engines["nas"].Fail = nil
		report, err := w.core.Repair(t.Context(), deploy.RepairRequest{}, quiet)
		require.NoError(t, err)
		require.Len(t, report.Services, 1)
		assert.Equal(t, deploy.Mended, report.Services[0].Status, "%+v", report.Services[0].Problem)
		assert.Equal(t, "data", w.mounted())
		w.moved("nas")
		assert.Equal(t, "data2", w.mounted())
	}
	w := mounting(t)
	w.edit(`"target": "/data"`, `"target": "/data/deep"`)
	_, err := w.moves("nas", "")
	assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
	assert.ErrorContains(t, err, "data2 is deep in volume data")
}

// mounted is the volume that web has for its data.
func (w *wandering) mounted() string {
	w.t.Helper()
	c, err := w.engines["nas"].Container(w.t.Context(), "web")
	require.NoError(w.t, err)
	require.Equal(w.t, deploy.Running, c.State)
	running := 0
	for _, line := range w.is("nas") {
		if strings.HasSuffix(line, "running") {
			running++
		}
	}
	assert.Equal(w.t, 1, running)
	return c.Spec.Mounts[0].Volume
}

// Who has no record of a move, or has the host by another name, goes by the container that
// is kept there.
func TestMovedByTheNameOfItsContainer(t *testing.T) {
	for name, forget := range map[string]func(w *wandering){
		"another machine": func(w *wandering) { require.NoError(w.t, state.Moves(moves(w.jobs)).Remove("nas", "web")) },
		"another name": func(w *wandering) {
			w.edit(`"nas": {"docker"`, `"box": {"docker"`)
			w.edit(`"deploy": {"host": "nas"}`, `"deploy": {"host": "box"}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWandering(t)
			w.moved("pi")
			forget(w)
			host := w.loadedOf().HostOf()
			refused := func(err error) {
				t.Helper()
				assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
				assert.ErrorContains(t, err, "container web.g1-moved-to-pi of host "+host+" says that web was moved to pi")
			}
			refused(w.bundles())
			refused(w.deployable())
			_, err := w.core.Rollback(t.Context(), rollout.RollbackRequest{Service: "web"}, quiet)
			refused(err)
			_, err = w.mendFirst(t.Context(), told{w.engines["nas"], "nas"}, w.jobs, subject{name: "web", host: host})
			refused(err)
			assert.Equal(t, []string{"web.g1-moved-to-pi v1 exited"}, w.is("nas"))
			w.names("pi")
			if name == "another name" {
				w.edit(`"deploy": {"host": "box"}`, `"deploy": {"host": "pi"}`)
			}
			require.NoError(t, w.bundles())
			w.moved(host)
			assert.Equal(t, []string{"web v1 running", "web.g1 v1 exited"}, w.is("nas"))
			w.edit(`"hints": ["web"], "deploy": {"host": "pi"}`, `"hints": ["web"], "deploy": {"host": "`+host+`"}`)
			require.NoError(t, w.deployable())
		})
	}
}
