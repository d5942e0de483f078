package state_test

import (
	"maps"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/state"
	"homelab/registry"
)

// within has web, which publishes a port, go to other places on its host.
func (j *journey) within(version string) (*state.Migrator, state.Migrating) {
	j.t.Helper()
	x := j.migrating(version)
	x.Sources = j.items
	x.Items = []registry.StateItem{{Volume: "moved"}, {Path: "/etc/moved.conf"}, {Volume: "page"}}
	x.Target.Spec.Ports = []deploy.Port{{Host: 80, Container: 80, Protocol: "tcp"}}
	require.NoError(j.t, j.nas.engine.Stop(j.t.Context(), "web", 0))
	require.NoError(j.t, j.nas.engine.Remove(j.t.Context(), x.Container.ID))
	spec := x.Target.Spec
	spec.Image = "web:v1"
	id, err := j.nas.engine.Create(j.t.Context(), "web", spec, map[string]string{deploy.LabelService: "web", deploy.LabelGeneration: "3"})
	require.NoError(j.t, err)
	require.NoError(j.t, j.nas.engine.Start(j.t.Context(), id))
	x.Container = j.nas.current()
	m := j.migrator()
	m.To = j.nas.end()
	return m, x
}

// didNotMove fails unless all is as it was.
func (j *journey) didNotMove(about ...any) {
	j.t.Helper()
	require.Equal(j.t, []string{"web running unless-stopped"}, j.nas.is(), about...)
	content, ours := j.nas.content()
	require.Equal(j.t, itsState, content, about...)
	require.Equal(j.t, 1, ours, about...) // of an earlier restore
	j.idle(about...)
}

// didMove fails unless another container runs with a copy, and the one before has kept its
// own.
func (j *journey) didMove(about ...any) {
	j.t.Helper()
	require.Equal(j.t, []string{"web running unless-stopped", "web.g3 exited no"}, j.nas.is(), about...)
	want := maps.Clone(itsState)
	maps.Copy(want, map[string]string{"volumes/moved/history": "what happened", "volumes/moved/sub/deep": "down there", "etc/moved.conf": "settings", "volumes/page/page": "page"})
	content, _ := j.nas.content()
	require.Equal(j.t, want, content, about...)
	require.Equal(j.t, []string{"nas to nas"}, j.settled[len(j.settled)-1:], about...)
	j.idle(about...)
}

// A service goes to other places on its host, also from a path to a volume and back, though
// it publishes a port and has one name.
func TestMigrateWithinAHost(t *testing.T) {
	onJourney(t, func(j *journey) {
		t := j.t
		m, x := j.within("v1")
		items, err := state.PreviewMigration(t.Context(), &x, j.nas, j.nas)
		require.NoError(t, err)
		assert.Equal(t, []any{"page", "/srv/none", int64(2)}, []any{items[2].Name, items[2].From, items[2].Comes.Entries})
		done, err := m.Migrate(t.Context(), x)
		require.NoError(t, err)
		require.NoError(t, done.Unfinished)
		j.didMove()
		assert.Equal(t, []any{"web", 4, "web.g3"}, []any{done.Container, done.Generation, done.Kept})
		assert.Equal(t, 4, j.nas.current().Generation())

		j.nas.put("volumes/moved/history", "what came since")
		x.Items, x.Sources, x.Container = append(x.Sources[:2:2], registry.StateItem{Path: "/srv/new"}), x.Items, j.nas.current()
		done, err = m.Migrate(t.Context(), x)
		require.NoError(t, err)
		require.NoError(t, done.Unfinished)
		assert.Equal(t, []string{"web running unless-stopped", "web.g3 exited no", "web.g4 exited no"}, j.nas.is())
		content, _ := j.nas.content()
		assert.Equal(t, []string{"what came since", "settings", "page"}, []string{content["volumes/data/history"], content["etc/web.conf"], content["srv/new/page"]})
		report := state.MigrateReport{Service: "web", From: "nas", To: "nas", Preview: &state.MigratePreview{Items: items}, Done: done}
		report.TellMoved("nas", &registry.State{Restore: "Forward the port."})
		assert.Equal(t, []string{"web.g4 is kept, stopped, and the state as it was then in data, /etc/web.conf, /srv/none: when nothing needs that any more, remove it"}, report.Todo)
	})
}

// What fails until the commit leaves it as it was.
func TestMigrateWithinAHostFails(t *testing.T) {
	for name, row := range map[string]struct {
		code   fault.Code
		change func(j *journey, x *state.Migrating)
	}{
		"unhealthy there":           {fault.Unhealthy, func(_ *journey, x *state.Migrating) { x.Target.Spec.Image = "web:sick" }},
		"silent when it is started": {fault.HostUnreachable, func(j *journey, _ *state.Migrating) { j.on("nas start", j.nas.briefly) }},
		"started, and then silent": {fault.HostUnreachable, func(j *journey, _ *state.Migrating) {
			j.on("nas start", func() {
				for _, c := range j.nas.is() {
					if c == "web.g4 created no" {
						require.NoError(j.t, j.nas.engine.Start(j.t.Context(), "web.g4"))
					}
				}
				j.nas.hush(true)
				time.AfterFunc(40*time.Second, func() { j.nas.hush(false) })
			})
		}},
		"one place by two names": {fault.Precondition, func(j *journey, x *state.Migrating) {
			x.Items[0].Volume = "../volumes/data"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			onJourney(t, func(j *journey) {
				m, x := j.within("v1")
				row.change(j, &x)
				_, err := m.Migrate(j.t.Context(), x)
				assert.Equal(j.t, row.code, fault.CodeOf(err), "%v", err)
				assert.ErrorContains(j.t, err, "web runs on nas as before")
				j.didNotMove()
			})
		})
	}
}

// Whoever is killed leaves one that runs, with all of its state, and the other as it was.
func TestMigrateWithinAHostIsKilled(t *testing.T) {
	stayed, gone := 0, 0
	for n, killed := 0, true; killed; n++ {
		onJourney(t, func(j *journey) {
			m, x := j.within("v1")
			killed = j.killedAt(n, func() error {
				done, err := m.Migrate(j.t.Context(), x)
				if err == nil {
					err = done.Unfinished
				}
				return err
			})
			repair := func() error { _, err := m.Repair(j.t.Context(), "web"); return err }
			j.killedAt(n*7%23, repair)
			require.NoError(j.t, repair(), "killed at %d", n)
			if j.nas.current().Generation() == 3 {
				j.didNotMove("killed at", n)
				stayed++
			} else {
				j.didMove("killed at", n)
				gone++
			}
		})
	}
	assert.Greater(t, stayed, 60)
	assert.Greater(t, gone, 20)
}

// Others of the service are not taken for the one that is left.
func TestMigrateWithinAHostAmongOthers(t *testing.T) {
	onJourney(t, func(j *journey) {
		t := j.t
		m, x := j.within("v1")
		id := j.nas.another("web.g2", "no")
		j.on("fill", func() { require.NoError(t, j.nas.engine.Start(t.Context(), id)) })
		_, err := m.Migrate(t.Context(), x)
		require.Equal(t, fault.Conflict, fault.CodeOf(err), "%v", err)
		assert.ErrorContains(t, err, "web.g2, another container of web, runs on nas")
		found, err := filepath.Glob(j.nas.dir + "/volumes/moved/*")
		require.NoError(t, err)
		assert.Empty(t, found)
		j.idle()
	})
}

// The one that is left is ended, though somebody starts it after the commit.
func TestMigrateWithinAHostWhoseOldIsStarted(t *testing.T) {
	onJourney(t, func(j *journey) {
		t := j.t
		m, x := j.within("v1")
		j.on("nas rename", func() { panic(dead{}) })
		require.PanicsWithValue(t, dead{}, func() { _, _ = m.Migrate(t.Context(), x) })
		j.nas.engine.Crash()
		require.NoError(t, j.nas.engine.Start(t.Context(), x.Container.ID))
		_, err := m.Repair(t.Context(), "web")
		require.NoError(t, err)
		j.didMove()
	})
}
