package state_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/fault"
	"homelab/internal/state"
	"homelab/registry"
)

// another makes a container of an earlier generation, which does not run.
func (s *side) another(name, restart string) (id string) {
	s.j.t.Helper()
	spec := s.j.target("v1").Spec
	spec.Restart = restart
	id, err := s.engine.Create(s.j.t.Context(), name, spec, map[string]string{deploy.LabelService: "web", deploy.LabelGeneration: "2"})
	require.NoError(s.j.t, err)
	return id
}

// What somebody has started of the service meanwhile, on either host, is seen before the
// one is stopped, and before the other one is committed.
func TestMigrateIsMeddledWith(t *testing.T) {
	for _, host := range []string{"nas", "pi"} {
		for _, call := range []string{"fill", "pi start"} {
			t.Run(host+" "+call, func(t *testing.T) {
				onJourney(t, func(j *journey) {
					t := j.t
					at := map[string]*side{"nas": j.nas, "pi": j.pi}[host]
					id := at.another("web.g2", "no")
					started := j.nas.current().Started
					j.on(call, func() { require.NoError(t, at.engine.Start(t.Context(), id)) })
					_, err := j.migrator().Migrate(t.Context(), j.migrating("v1"))
					require.Equal(t, fault.Conflict, fault.CodeOf(err), "%v", err)
					assert.ErrorContains(t, err, "web.g2, another container of web, runs on "+host)
					assert.Contains(t, at.is(), "web.g2 running no")
					assert.Equal(t, call == "fill", j.nas.current().Started.Equal(started) && j.nas.current().State == deploy.Running)
					content, ours := j.pi.content()
					assert.Equal(t, stale, content)
					assert.Zero(t, ours)
					j.idle()
				})
			})
		}
	}
}

// What was there of the service does not come back by itself beside the one that came.
func TestMigrateToWhereItWas(t *testing.T) {
	onJourney(t, func(j *journey) {
		t := j.t
		j.pi.another("web", "always")
		_, err := j.migrator().Migrate(t.Context(), j.migrating("v1"))
		require.NoError(t, err)
		assert.Equal(t, []string{"web running unless-stopped", "web.g2 created no"}, j.pi.is())
	})
}

// What somebody has made where nothing was is kept.
func TestMigrateKeepsWhatComesMeanwhile(t *testing.T) {
	onJourney(t, func(j *journey) {
		t := j.t
		j.on("fill", func() { j.pi.put("srv/none/theirs", "of somebody") })
		done, err := j.migrator().Migrate(t.Context(), j.migrating("v1"))
		require.NoError(t, err)
		require.NoError(t, done.Unfinished)
		content, _ := j.pi.content()
		assert.Equal(t, itsState, content)
		kept, err := filepath.Glob(j.pi.dir + "/srv/.homelab-*/old/none/theirs")
		require.NoError(t, err)
		require.Len(t, kept, 1)
		theirs, err := os.ReadFile(kept[0])
		require.NoError(t, err)
		assert.Equal(t, "of somebody", string(theirs))
	})
}

// A container that somebody has removed cannot run as before, and is told so.
func TestMigrateWhoseContainerIsRemoved(t *testing.T) {
	onJourney(t, func(j *journey) {
		t := j.t
		x := j.migrating("v1")
		j.on("pi start", func() { require.NoError(t, j.nas.engine.Remove(t.Context(), x.Container.ID)) })
		_, err := j.migrator().Migrate(t.Context(), x)
		require.Equal(t, fault.RollbackFailed, fault.CodeOf(err), "%v", err)
		assert.NotContains(t, err.Error(), "as before")
		assert.ErrorContains(t, err, "nothing of web runs on nas")
		assert.Empty(t, j.pi.is())
		content, _ := j.nas.content()
		assert.Equal(t, itsState, content)
		j.idle()
	})
}

// What would go aside is what is there, and not the folder that it is in.
func TestPreviewMigration(t *testing.T) {
	onJourney(t, func(j *journey) {
		t := j.t
		j.pi.put("etc/web.conf", "of long ago")
		require.NoError(t, os.Mkdir(j.pi.dir+"/srv/none", 0o755))
		items, err := state.PreviewMigration(t.Context(), new(j.migrating("v1")), j.nas, j.pi)
		require.NoError(t, err)
		there := []int64{}
		for _, item := range items {
			there = append(there, item.There.Entries)
		}
		assert.Equal(t, []int64{1, 1, 0}, there)
		assert.EqualValues(t, []int64{4, 23}, []int64{items[0].Comes.Entries, items[0].Comes.Bytes})
		j.items[0].Exclude = []string{"sub"}
		left, err := state.PreviewMigration(t.Context(), new(j.migrating("v1")), j.nas, j.pi)
		require.NoError(t, err)
		assert.Equal(t, []int64{2, 13, 1}, []int64{left[0].Comes.Entries, left[0].Comes.Bytes, left[0].There.Entries}, "what is excluded does not come")
		report := state.MigrateReport{To: "pi", Preview: &state.MigratePreview{Items: items[1:2]}, Done: &state.Migrated{ID: "ID"}}
		report.TellMoved("pi", &registry.State{})
		assert.Contains(t, report.Todo[len(report.Todo)-1], "--commit ID removes it")

		require.NoError(t, os.RemoveAll(j.pi.pathOf(j.items[0])))
		items, err = state.PreviewMigration(t.Context(), new(j.migrating("v1")), j.nas, j.pi)
		require.NoError(t, err)
		assert.Zero(t, items[0].There)
		assert.NoDirExists(t, j.pi.pathOf(j.items[0]), "it is only looked")
		require.NoError(t, os.RemoveAll(j.nas.pathOf(j.items[0])))
		_, err = state.PreviewMigration(t.Context(), new(j.migrating("v1")), j.nas, j.pi)
		require.NoError(t, err)
		assert.NoDirExists(t, j.nas.pathOf(j.items[0]), "nor here")
	})
}

// What the other host cannot have is told before anything is stopped, also when paths
// come only with the state.
func TestMigrateToWhereItCannotBe(t *testing.T) {
	onJourney(t, func(j *journey) {
		t := j.t
		const late = deploytest.Nowhere + "/late"
		j.items[2].Path = late
		j.nas.put(late+"/sub/page", "page")
		require.NoError(t, os.Mkdir(j.pi.dir+deploytest.Nowhere, 0o755))
		for says, change := range map[string]func(*state.Migrating){
			"/none.env": func(x *state.Migrating) { x.Target.Spec.EnvFiles = []string{deploytest.Nowhere + "/none.env"} },
			"/never":    func(x *state.Migrating) { x.Target.Spec.Mounts[0].Source = deploytest.Nowhere + "/never" },
			"web:v9":    func(x *state.Migrating) { x.Target.Spec.Image = "web:v9" },
		} {
			x := j.migrating("v1")
			x.Target.Spec.Mounts = []deploy.Mount{{Source: "/srv", Target: "/all"}, {Source: late, Target: "/late"}, {Source: late + "/sub", Target: "/sub"}}
			change(&x)
			started := j.nas.current().Started
			_, err := j.migrator().Migrate(t.Context(), x)
			require.ErrorContains(t, err, says)
			assert.Equal(t, started, j.nas.current().Started)
			assert.Equal(t, []string{"web running unless-stopped"}, j.nas.is())
			assert.Empty(t, j.pi.is())
			j.idle()
		}
	})
}

// A folder may take the place of a file; a file cannot take that of a folder, which an
// engine makes where a file was to be mounted, and a preview says so.
func TestMigrateOntoAnotherKind(t *testing.T) {
	onJourney(t, func(j *journey) {
		t := j.t
		j.pi.put("srv/none", "a file")
		_, err := state.PreviewMigration(t.Context(), new(j.migrating("v1")), j.nas, j.pi)
		require.NoError(t, err)
		_, err = j.migrator().Migrate(t.Context(), j.migrating("v1"))
		require.NoError(t, err)
		content, _ := j.pi.content()
		assert.Equal(t, itsState, content)
	})
	onJourney(t, func(j *journey) {
		t := j.t
		require.NoError(t, os.Mkdir(j.pi.dir+"/etc/web.conf", 0o755))
		_, err := state.PreviewMigration(t.Context(), new(j.migrating("v1")), j.nas, j.pi)
		assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
		assert.ErrorContains(t, err, "/etc/web.conf is a file, and where it goes")
		started := j.nas.current().Started
		_, err = j.migrator().Migrate(t.Context(), j.migrating("v1"))
		require.Error(t, err)
		assert.Equal(t, started, j.nas.current().Started, "it is not stopped for that")
		j.stayed()
	})
}

// A container that comes when nobody waits for it any more goes with the next migration;
// what somebody else has made stays.
func TestMigrateAfterOneThatCameLate(t *testing.T) {
	onJourney(t, func(j *journey) {
		t := j.t
		j.pi.late = true
		_, err := j.migrator().Migrate(t.Context(), j.migrating("v1"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		j.stayed()
		time.Sleep(2 * time.Hour)
		require.Equal(t, []string{"web.g4 created no"}, j.pi.is())
		j.pi.another("web.g2", "no")
		done, err := j.migrator().Migrate(t.Context(), j.migrating("v1"))
		require.NoError(t, err)
		require.NoError(t, done.Unfinished)
		assert.Equal(t, []string{"web running unless-stopped", "web.g2 created no"}, j.pi.is())
	})
}
