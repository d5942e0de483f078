package state_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/state"
	"homelab/registry"
)

func TestMigrate(t *testing.T) {
	onJourney(t, func(j *journey) {
		t := j.t
		done, err := j.migrator().Migrate(t.Context(), j.migrating("v1"))
		require.NoError(t, err)
		require.NoError(t, done.Unfinished)
		j.gone()
		assert.Equal(t, []any{"web", 4, "web.g3-moved-to-pi"}, []any{done.Container, done.Generation, done.Kept})
		assert.Equal(t, "/nix/store/v1", j.pi.current().Labels[deploy.LabelOut])
		assert.Positive(t, done.Bytes)
		assert.Greater(t, done.Passes, 1)
		assert.Equal(t, int64(7), done.Entries)

		j.pi.put("volumes/data/history", "what came since")
		back := state.Migrator{From: j.pi.end(), To: j.nas.end(), Dir: filepath.Join(j.dir, "state")}
		x := j.migrating("v1")
		x.Container = j.pi.current()
		_, err = back.Migrate(t.Context(), x)
		require.NoError(t, err)
		assert.Equal(t, []string{"web running unless-stopped", "web.g3 exited no"}, j.nas.is())
		assert.Equal(t, []string{"web.g4-moved-to-nas exited no"}, j.pi.is())
		assert.Equal(t, 5, j.nas.current().Generation())
		content, _ := j.nas.content()
		assert.Equal(t, "what came since", content["volumes/data/history"])
		j.idle()
	})
}

// What fails until the commit leaves the service where it was.
func TestMigrateFails(t *testing.T) {
	for name, row := range map[string]struct {
		code   fault.Code
		change func(j *journey, x *state.Migrating)
	}{
		"unhealthy there": {fault.Unhealthy, func(j *journey, x *state.Migrating) { x.Target = j.target("sick") }},
		"no image there":  {fault.NotFound, func(j *journey, x *state.Migrating) { x.Target = j.target("v9") }},
		"no such item": {fault.NotFound, func(j *journey, x *state.Migrating) {
			x.Items = append(slices.Clone(j.items), registry.StateItem{Volume: "none"})
		}},
		"too long":     {fault.Precondition, func(j *journey, x *state.Migrating) { x.Budget = time.Millisecond }},
		"slow of late": {fault.Precondition, func(_ *journey, x *state.Migrating) { x.Known = state.Pace{Freeze: x.Budget / 2, Wake: x.Budget/2 + 1} }},
		"started by somebody": {fault.Conflict, func(j *journey, x *state.Migrating) {
			j.on("pi start", func() { require.NoError(j.t, j.nas.engine.Start(context.Background(), x.Container.ID)) })
		}},
		"somebody writes there": {fault.Conflict, func(j *journey, _ *state.Migrating) {
			j.on("nas stop", func() {
				staged, err := filepath.Glob(j.pi.dir + "/volumes/data/.homelab-*")
				require.NoError(j.t, err)
				require.Len(j.t, staged, 1)
				require.NoError(j.t, os.WriteFile(staged[0]+"/new/stray", nil, 0o600))
			})
		}},
		"given up while it stops": {fault.Timeout, func(j *journey, x *state.Migrating) {
			require.NoError(j.t, j.nas.engine.Stop(j.t.Context(), "web", 0))
			require.NoError(j.t, j.nas.engine.Remove(j.t.Context(), x.Container.ID))
			j.nas.runs("slow")
			x.Container = j.nas.current()
			j.on("nas stop", func() { j.nas.impatient = true })
		}},
		"silent when it is stopped": {fault.HostUnreachable, func(j *journey, x *state.Migrating) {
			j.on("nas stop", j.nas.briefly)
		}},
		"silent when it is started": {fault.HostUnreachable, func(j *journey, x *state.Migrating) {
			j.on("pi start", j.pi.briefly)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			onJourney(t, func(j *journey) {
				x := j.migrating("v1")
				row.change(j, &x)
				_, err := j.migrator().Migrate(j.t.Context(), x)
				assert.Equal(j.t, row.code, fault.CodeOf(err), "%v", err)
				assert.ErrorContains(j.t, err, "web runs on nas as before")
				time.Sleep(time.Second) // what is on its way comes
				j.stayed()
			})
		})
	}
}

// on does something when something is called for the first time.
func (j *journey) on(call string, do func()) {
	j.meddle = func(name string) {
		if name == call {
			j.meddle = nil
			do()
		}
	}
}

// killedAt does something, and says whether it was killed at its n-th chance.
func (j *journey) killedAt(n int, do func() error) (killed bool) {
	j.kill = func() {
		if n--; n < 0 {
			panic(dead{})
		}
	}
	defer func() {
		j.kill = nil
		if r := recover(); r != nil {
			require.Equal(j.t, dead{}, r)
			killed = true
		}
	}()
	require.NoError(j.t, do())
	return false
}

// Whoever is killed before or after any call and any change of a disk leaves a service
// that runs on one of the hosts after the repair, which may be killed as well.
func TestMigrateIsKilled(t *testing.T) {
	stayed, gone := 0, 0
	for n, killed := 0, true; killed; n++ {
		onJourney(t, func(j *journey) {
			killed = j.killedAt(n, func() error {
				done, err := j.migrator().Migrate(j.t.Context(), j.migrating("v1"))
				if err == nil {
					err = done.Unfinished
				}
				return err
			})
			j.killedAt(n*7%23, func() error { _, err := j.migrator().Repair(j.t.Context(), "web"); return err })
			_, err := j.migrator().Repair(j.t.Context(), "web")
			require.NoError(j.t, err, "killed at %d", n)
			if j.nas.current() != nil {
				j.stayed("killed at", n)
				stayed++
			} else {
				j.gone("killed at", n)
				gone++
			}
		})
	}
	assert.Greater(t, stayed, 60)
	assert.Greater(t, gone, 20)
}

// A host that is silent for long holds nobody up: the service runs again where it was
// though the other host may have started it, and that is ended when it answers.
func TestMigrateToAHostThatIsCut(t *testing.T) {
	for _, call := range []string{"pi create", "nas stop", "pi start"} {
		onJourney(t, func(j *journey) {
			t := j.t
			j.on(call, func() {
				if call == "pi start" {
					j.pi.started()
				}
				if call == "nas stop" {
					j.nas.briefly()
				}
				j.pi.hush(true)
			})
			began := time.Now()
			_, err := j.migrator().Migrate(t.Context(), j.migrating("v1"))
			assert.Equal(t, fault.HostUnreachable, fault.CodeOf(err), "%s: %v", call, err)
			assert.ErrorContains(t, err, "web runs on nas as before, but: what was brought to pi cannot be removed yet")
			assert.Less(t, time.Since(began), time.Minute)
			assert.Equal(t, []string{"web running unless-stopped"}, j.nas.is())
			started := j.nas.current().Started
			_, err = j.migrator().Migrate(t.Context(), j.migrating("v1"))
			assert.Equal(t, fault.Conflict, fault.CodeOf(err), "%v", err)
			assert.Contains(t, fault.Of(err).Hint, "gone for good, remove "+j.dir)
			_, err = j.migrator().Repair(t.Context(), "web")
			assert.Equal(t, fault.HostUnreachable, fault.CodeOf(err), "%v", err)
			j.pi.hush(false)
			_, err = j.migrator().Repair(t.Context(), "web")
			require.NoError(t, err)
			j.stayed(call)
			assert.Equal(t, started, j.nas.current().Started, "%s: it is not stopped once more", call)
		})
	}
}

// started has the container run that was made.
func (s *side) started() {
	all, err := s.engine.List(context.Background())
	require.NoError(s.j.t, err)
	for _, c := range all {
		require.NoError(s.j.t, s.engine.Start(context.Background(), c.ID))
	}
}

// A host that is silent when its service has moved is told later.
func TestMigrateFromAHostThatIsCut(t *testing.T) {
	onJourney(t, func(j *journey) {
		t := j.t
		j.on("settle", func() { j.nas.hush(true) })
		done, err := j.migrator().Migrate(t.Context(), j.migrating("v1"))
		require.NoError(t, err)
		assert.Equal(t, fault.HostUnreachable, fault.CodeOf(done.Unfinished), "%v", done.Unfinished)
		assert.Equal(t, []string{"web running unless-stopped"}, j.pi.is())
		j.nas.hush(false)
		what, err := j.migrator().Repair(t.Context(), "web")
		require.NoError(t, err)
		assert.Contains(t, what, "it runs on pi")
		j.gone()
	})
}

// A host that is restarted between the commit and what follows starts nothing by itself.
func TestMigrateToAHostThatIsRestarted(t *testing.T) {
	onJourney(t, func(j *journey) {
		j.on("settle", func() { panic(dead{}) })
		require.PanicsWithValue(j.t, dead{}, func() { _, _ = j.migrator().Migrate(j.t.Context(), j.migrating("v1")) })
		j.pi.engine.Crash()
		require.NotContains(j.t, strings.Join(j.pi.is(), " "), "running")
		_, err := j.migrator().Repair(j.t.Context(), "web")
		require.NoError(j.t, err)
		j.gone()
	})
}

// A disk that is full on the other host stops nothing.
func TestMigrateToAFullDisk(t *testing.T) {
	onJourney(t, func(j *journey) {
		t := j.t
		volume := j.pi.pathOf(j.items[0])
		require.NoError(t, unix.Mount("tmpfs", volume, "tmpfs", 0, "size=256k"))
		t.Cleanup(func() { _ = unix.Unmount(volume, unix.MNT_DETACH) })
		j.pi.put("volumes/data/stale", "of long ago")
		large := filepath.Join(j.nas.pathOf(j.items[0]), "large")
		require.NoError(t, os.WriteFile(large, []byte(strings.Repeat("large", 1<<18)), 0o600))
		started := j.nas.current().Started
		time.Sleep(time.Second)
		_, err := j.migrator().Migrate(t.Context(), j.migrating("v1"))
		assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
		assert.ErrorContains(t, err, "no space left")
		assert.Equal(t, started, j.nas.current().Started)
		require.NoError(t, os.Remove(large))
		j.stayed()
	})
}

// Who cancels has the service where it was.
func TestMigrateIsCanceled(t *testing.T) {
	for _, call := range []string{"fill", "nas stop", "pi start"} {
		onJourney(t, func(j *journey) {
			ctx, stop := context.WithCancel(j.t.Context())
			j.on(call, stop)
			_, err := j.migrator().Migrate(ctx, j.migrating("v1"))
			require.Error(j.t, err)
			j.stayed(call)
		})
	}
}

// Who comes while somebody ends a migration is told who that is, and when to come again.
func TestMigrateIsRepairedByAnother(t *testing.T) {
	onJourney(t, func(j *journey) {
		t := j.t
		x := j.migrating("v1")
		j.on("pi start", func() { panic(dead{}) })
		require.PanicsWithValue(t, dead{}, func() { _, _ = j.migrator().Migrate(t.Context(), x) })
		watchdog := j.migrator()
		watchdog.By = "its watchdog"
		began := time.Now()
		j.on("nas start", func() {
			_, err := j.migrator().Repair(t.Context(), "web")
			assert.Equal(t, fault.Locked, fault.CodeOf(err), "%v", err)
			assert.ErrorContains(t, err, fmt.Sprintf("its watchdog (process %d) works on the migration of web since %s", os.Getpid(), began.UTC().Format(time.RFC3339)))
			until := began.Add(4*time.Minute + 15*time.Second + x.Container.Spec.StopGrace).UTC().Format(time.RFC3339)
			assert.Contains(t, fault.Of(err).Hint, "call again after "+until)
		})
		_, err := watchdog.Repair(t.Context(), "web")
		require.NoError(t, err)
		assert.Nil(t, j.meddle, "it came")
		j.stayed()
	})
}

// A disk that takes longer for the last than the service may be away keeps nobody waiting:
// it runs where it was as soon as the budget is over.
func TestMigrateToASlowDisk(t *testing.T) {
	for name, row := range map[string]struct{ full, cancel bool }{
		"the budget is over": {}, "somebody cancels": {cancel: true}, "in the last pass": {full: true}, "canceled in the last pass": {true, true},
	} {
		t.Run(name, func(t *testing.T) {
			onJourney(t, func(j *journey) {
				t := j.t
				j.flush = 5 * time.Minute
				x := j.migrating("v1")
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				var began time.Time
				j.on("nas stop", func() {
					began = time.Now()
					j.full.Store(row.full)
					if row.cancel {
						time.AfterFunc(time.Minute, stop)
					}
				})
				_, err := j.migrator().Migrate(ctx, x)
				if row.cancel {
					assert.ErrorIs(t, err, context.Canceled)
				} else {
					assert.Equal(t, fault.Timeout, fault.CodeOf(err), "%v", err)
				}
				assert.ErrorContains(t, err, "web runs on nas as before")
				require.NotNil(t, j.nas.current(), "it is where it was")
				assert.LessOrEqual(t, j.nas.current().Started.Sub(began), x.Budget+x.Container.Spec.StopGrace)
				j.flush = 0
				j.stayed()
			})
		})
	}
}
