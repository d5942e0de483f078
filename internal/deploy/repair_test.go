package deploy_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/fault"
)

// A journal of another engine, or one that others have gone past, undoes nothing.
func TestJournalsThatDoNotApply(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("v1")
		y.must("v2")
		entry := &deploy.Entry{Service: "web", Host: "nas", Container: "web", Step: "gate", Generation: 1, Old: "gone", Token: "t", Engine: "another"}
		require.NoError(t, y.journal.Write(entry))
		_, err := y.run("v3")
		assert.Equal(t, fault.Precondition, fault.CodeOf(err))
		assert.ErrorContains(t, err, "another engine")

		entry.Engine = ""
		require.NoError(t, y.journal.Write(entry))
		s := y.must("v3")
		assert.Contains(t, s.Repaired, "out of date")
		assert.Contains(t, y.is(), "web v3 running unless-stopped")
	})
}

// Two machines, one generation: the one whose switch was broken off finds the other's in
// its place, and nothing to bring back.
func TestOthersHaveGoneOn(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("v1")
		y.crash("rename new", "v2") // the old one is stopped, and has no name
		mine := y.journal
		y.journal = deploy.Journal{Dir: quick(t)}
		// The others had looked before ours was made.
		ours := y.named("web.g2").ID
		y.engine.Label(ours, deploy.LabelGeneration, "1")
		require.NoError(t, y.engine.Rename(t.Context(), ours, "ours"))
		theirs := y.must("v3")
		assert.Equal(t, 2, theirs.Generation)

		y.journal = mine
		did, err := y.repair()
		require.NoError(t, err)
		assert.Contains(t, did, "is out of date")
		assert.Equal(t, theirs.ID, y.named("web").ID)
		assert.Contains(t, y.is(), "web v3 running unless-stopped")
		y.quiet()
	})
}

// One of theirs that never ran has taken nobody's place.
func TestOthersWereBrokenOffToo(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("v1")
		y.crash("rename new", "v2")
		mine := y.journal
		y.journal = deploy.Journal{Dir: quick(t)}
		y.crash("start", "v3")

		y.journal = mine
		_, err := y.repair()
		assert.Equal(t, fault.RollbackFailed, fault.CodeOf(err), "they have the name")
		assert.Contains(t, y.is(), "web.g1 v1 running unless-stopped", "it runs all the same")
	})
}

// Somebody starts a kept generation by hand after a crash: nothing is started beside it.
func TestSomebodyHelpedThemselves(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("v1")
		y.must("v2")
		y.crash("rename new", "v3")
		require.NoError(t, y.engine.Start(t.Context(), "web.g1"))
		did, err := y.repair()
		require.NoError(t, err)
		assert.Contains(t, did, "is out of date")
		assert.NotContains(t, y.is(), "web v2 running unless-stopped")
		y.must("v3")
		assert.Contains(t, y.is(), "web v3 running unless-stopped")
		assert.Contains(t, y.is(), "web.g1 v1 exited no", "what ran is kept")
	})
}

// A switch that was over but for the journal is not gone back from, whatever became of
// the new version since.
func TestStoppedAfterItWasOver(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("v1")
		y.crash("finish", "v2")
		require.NoError(t, y.engine.Stop(t.Context(), "web", time.Second))
		did, err := y.repair()
		require.NoError(t, err)
		assert.Contains(t, did, "is finished")
		assert.Equal(t, []string{"web v2 exited unless-stopped", "web.g1 v1 exited no"}, y.is())
		y.quiet()
	})
}

// But as long as the old one runs it is not stopped for a new one that has ended.
func TestEndedBeforeItWasOver(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("v1")
		y.crashing("finish", func(r *deploy.Runner) {
			_, _ = r.Run(context.Background(), y.overlap("v2"))
		})
		require.NoError(t, y.engine.Stop(t.Context(), "web.g2", time.Second))
		did, err := y.repair()
		require.NoError(t, err)
		assert.Contains(t, did, "is undone; the version before runs")
		assert.Equal(t, []string{"web v1 running unless-stopped"}, y.is())
	})
}

// The old one may be about to end all the same, and is not taken for one that runs.
func TestEndedWhileTheOldOneEnds(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("slow")
		y.crashing("finish", func(r *deploy.Runner) {
			_, _ = r.Run(context.Background(), y.overlap("v2"))
		})
		over, stop := context.WithTimeout(t.Context(), deploytest.SlowStop/4)
		defer stop()
		require.Error(t, y.engine.Stop(over, "web", time.Second))
		require.NoError(t, y.engine.Stop(t.Context(), "web.g2", time.Second))
		_, err := y.repair()
		require.NoError(t, err)
		time.Sleep(2 * deploytest.SlowStop)
		assert.Equal(t, []string{"web slow running unless-stopped"}, y.is())
	})
}

// A new version that has served for long is judged by what it is now.
func TestRestartedSince(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("v1")
		y.crash("gate", "v2")
		y.engine.Wear(y.named("web").ID, 2)
		did, err := y.repair()
		require.NoError(t, err)
		assert.Contains(t, did, "is finished")
		assert.Contains(t, y.is(), "web v2 running unless-stopped")
	})
}

// A repair that has begun to bring the old version back does so, cancel or not.
func TestRepairIsCanceled(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("v1")
		y.crash("gate", "sick")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		y.engine.Fail = func(call string) error {
			if call == "remove" || call == "stop" {
				cancel()
			}
			return nil
		}
		_, err := y.runner(y.engine).Repair(ctx, "web")
		require.NoError(t, err)
		assert.Equal(t, []string{"web v1 running unless-stopped"}, y.is())
		y.quiet()
	})
}

// The registry can give the container another name between a crash and its repair.
func TestRenamedBeforeTheRepair(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		for _, step := range []string{"stop", "rename new", "gate", "finish"} {
			y := newYard(t)
			y.must("v1")
			y.crash(step, "v2")
			target := y.target("v3")
			target.Spec.Container = "site"
			s, err := y.runner(y.engine).Run(t.Context(), target)
			require.NoError(t, err, step)
			assert.NotEmpty(t, s.Repaired)
			running := []string{}
			for _, line := range y.is() {
				if line != "site.g1 v1 exited no" && line != "web.g1 v1 exited no" && line != "site.g2 v2 exited no" {
					running = append(running, line)
				}
			}
			assert.Equal(t, []string{"site v3 running unless-stopped"}, running, "%s: %v", step, y.is())
		}
	})
}

// What is brought back and is not healthy is told.
func TestRepairTellsOfASickOne(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		first := y.must("v1")
		y.crash("rename new", "v2")
		y.engine.Sicken(first.ID)
		did, err := y.repair()
		require.NoError(t, err)
		assert.Contains(t, did, "is undone; the version before runs, and is not healthy: ")
		assert.Equal(t, []string{"web v1 running unless-stopped"}, y.is())
	})
}
