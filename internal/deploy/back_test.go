package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/fault"
)

// An engine goes on with a stop whose caller is gone: what is brought back then must
// not end behind its back.
func TestCanceledWhileItStops(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("slow")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := y.runner(y.engine)
		r.Report = func(message string) {
			if message == "web: stop" {
				time.AfterFunc(deploytest.SlowStop/4, cancel)
			}
		}
		_, err := r.Run(ctx, y.target("v2"))
		assert.Equal(t, fault.Canceled, fault.CodeOf(err))
		assert.ErrorContains(t, err, "the version before runs")
		time.Sleep(2 * deploytest.SlowStop)
		assert.Equal(t, []string{"web slow running unless-stopped"}, y.is())
		y.quiet()

		// The same for whoever repairs after a crash.
		c, err := y.engine.Container(t.Context(), "web")
		require.NoError(t, err)
		require.NoError(t, y.journal.Write(&deploy.Entry{
			Service: "web", Host: "nas", Container: "web", Step: "stop", Stopping: true, Generation: 7, Made: true, Token: "gone",
			Old: c.ID, OldName: "web", Restart: "unless-stopped", Grace: "1s",
		}))
		over, stop := context.WithTimeout(t.Context(), deploytest.SlowStop/4)
		defer stop()
		require.Error(t, y.engine.Stop(over, c.ID, time.Second))
		_, err = y.repair()
		require.NoError(t, err)
		time.Sleep(2 * deploytest.SlowStop)
		assert.Equal(t, []string{"web slow running unless-stopped"}, y.is())
	})
}

// A journal that cannot be written does not keep the old version down, and a new one
// that cannot be removed neither.
func TestNothingKeepsTheOldVersionDown(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("v1")
		r := y.runner(y.engine)
		r.Report = func(message string) {
			if message == "web: rename old" {
				require.NoError(t, os.RemoveAll(y.journal.Dir))
				require.NoError(t, os.WriteFile(y.journal.Dir, nil, 0o600))
			}
		}
		_, err := r.Run(t.Context(), y.target("v2"))
		require.Error(t, err)
		assert.Equal(t, []string{"web v1 running unless-stopped"}, y.is())

		y = newYard(t)
		y.must("v1")
		y.refuses("remove", errors.New("device or resource busy"))
		_, err = y.run("sick")
		assert.ErrorContains(t, err, "the version before runs")
		assert.Contains(t, y.is(), "web v1 running unless-stopped")
		y.engine.Fail = nil
		y.must("v2")
		assert.Equal(t, []string{"web v2 running unless-stopped", "web.g1 v1 exited no"}, y.is())
		y.quiet()
	})
}

// A sick version does not block the next one.
func TestSickVersionIsReplaced(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("v1")
		c, err := y.engine.Container(t.Context(), "web")
		require.NoError(t, err)
		y.engine.Fail = func(call string) error {
			if call == "start" { // of the old one: it will be sick from then on
				y.engine.Sicken(c.ID)
			}
			return nil
		}
		_, err = y.run("sick")
		assert.Equal(t, fault.RollbackFailed, fault.CodeOf(err), "it runs, and is no better")
		assert.Equal(t, []string{"web v1 running unless-stopped"}, y.is())
		y.engine.Fail = nil
		y.must("v2")
		assert.Contains(t, y.is(), "web v2 running unless-stopped")
	})
}

// What was stopped on purpose is not started by a switch that fails.
func TestStoppedOnPurpose(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		first := y.must("v1")
		require.NoError(t, y.engine.Stop(t.Context(), "web", time.Second))
		for _, version := range []string{"sick", "short"} {
			_, err := y.run(version)
			assert.Equal(t, fault.Unhealthy, fault.CodeOf(err))
			assert.ErrorContains(t, err, "the version before is as it was, stopped")
			assert.Equal(t, []string{"web v1 exited unless-stopped"}, y.is())
			assert.Equal(t, first.ID, y.named("web").ID)
		}
		assert.Zero(t, y.must("v2").Downtime, "nothing ran before")
		assert.Equal(t, []string{"web v2 running unless-stopped", "web.g1 v1 exited no"}, y.is())
	})
}

// Somebody takes the name while nobody has it: the old one runs all the same, and gets
// its name back when it is free.
func TestNameIsTakenMeanwhile(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("v1")
		foreign := ""
		r := y.when("rename new", func() { foreign = y.foreign("web") })
		_, err := r.Run(t.Context(), y.target("v2"))
		assert.Equal(t, fault.RollbackFailed, fault.CodeOf(err))
		assert.ErrorContains(t, err, "the name web is taken")
		assert.Equal(t, []string{"web.g1 v1 running unless-stopped"}, y.is())
		_, err = y.run("v2")
		assert.Equal(t, fault.RollbackFailed, fault.CodeOf(err))
		y.engine.Vanish(foreign)
		y.must("v2")
		assert.Equal(t, []string{"web v2 running unless-stopped", "web.g1 v1 exited no"}, y.is())
		y.quiet()
	})
}

// Somebody removes the old one meanwhile: there is nothing to go back to, and nothing in
// the way of the next.
func TestOldIsGone(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		first := y.must("v1")
		_, err := y.when("start", func() { y.engine.Vanish(first.ID) }).Run(t.Context(), y.target("sick"))
		assert.Equal(t, fault.RollbackFailed, fault.CodeOf(err))
		assert.ErrorContains(t, err, first.ID[:12]+", is gone: somebody has removed it")
		assert.Empty(t, y.is())
		y.quiet()
		y.must("v2")

		second := y.named("web").ID
		y.crash("start", "v3")
		y.engine.Vanish(second)
		s := y.must("v1")
		assert.Contains(t, s.Repaired, "is gone")
		assert.Equal(t, []string{"web v1 running unless-stopped"}, y.is())
	})
}

// An old version that cannot be started keeps nobody from running another one.
func TestOldCannotBeStarted(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		at := func(version string, port int) (*deploy.Switched, error) {
			target := y.target(version)
			target.Spec.Ports = []deploy.Port{{Host: port, Container: 80, Protocol: "tcp"}}
			return y.when("back", func() { y.engine.Taken = map[int]bool{8001: true} }).Run(t.Context(), target)
		}
		_, err := at("v1", 8001)
		require.NoError(t, err)
		_, err = at("sick", 8001)
		assert.Equal(t, fault.RollbackFailed, fault.CodeOf(err))
		assert.ErrorContains(t, err, "port 8001 of the host is taken")
		assert.Equal(t, []string{"web v1 exited unless-stopped"}, y.is())
		_, err = at("sick", 8002)
		assert.Equal(t, fault.RollbackFailed, fault.CodeOf(err), "it was to run, and does not")
		s, err := at("v2", 8002)
		require.NoError(t, err)
		assert.Contains(t, s.Repaired, "port 8001 of the host is taken")
		assert.Equal(t, []string{"web v2 running unless-stopped", "web.g1 v1 exited no"}, y.is())
		y.quiet()

		_, err = at("v1", 8001)
		assert.Equal(t, fault.Conflict, fault.CodeOf(err))
		assert.Contains(t, y.is(), "web v2 running unless-stopped")
	})
}

// It does once what was in its way is gone.
func TestOldCanBeStartedAgain(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		target := y.target("v1")
		target.Spec.Ports = []deploy.Port{{Host: 8001, Container: 80, Protocol: "tcp"}}
		_, err := y.runner(y.engine).Run(t.Context(), target)
		require.NoError(t, err)
		_, err = y.when("back", func() { y.engine.Taken = map[int]bool{8001: true} }).Run(t.Context(), y.target("sick"))
		assert.Equal(t, fault.RollbackFailed, fault.CodeOf(err))
		_, err = y.repair()
		assert.Equal(t, fault.RollbackFailed, fault.CodeOf(err))
		y.engine.Taken = nil
		did, err := y.repair()
		require.NoError(t, err)
		assert.Contains(t, did, "is undone; the version before runs")
		assert.Equal(t, []string{"web v1 running unless-stopped"}, y.is())
		y.quiet()
	})
}

// One that does not end stays what it was, and the next run begins with it.
func TestOldDoesNotEnd(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("stuck")
		for range 2 {
			_, err := y.run("v2")
			assert.Equal(t, fault.RollbackFailed, fault.CodeOf(err))
			assert.ErrorContains(t, err, "did not receive an exit event")
			assert.Equal(t, []string{"web stuck running unless-stopped"}, y.is())
		}
		y.engine.Unstick(y.named("web").ID)
		y.must("v2")
		assert.Equal(t, []string{"web v2 running unless-stopped", "web.g1 stuck exited no"}, y.is())
		y.quiet()
	})
}

// With overlap the new one stays then: it is the better of two.
func TestOldDoesNotEndWithOverlap(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("stuck")
		_, err := y.runner(y.engine).Run(t.Context(), y.overlap("v2"))
		assert.Equal(t, fault.Precondition, fault.CodeOf(err))
		assert.ErrorContains(t, err, "the new version runs")
		assert.Equal(t, []string{"web v2 running unless-stopped", "web.g1 stuck running no"}, y.is())
		y.engine.Unstick(y.named("web.g1").ID)
		y.must("v2")
		assert.Equal(t, []string{"web v2 running unless-stopped", "web.g1 stuck exited no"}, y.is())
		y.quiet()
	})
}

// A restart policy that cannot be changed does not keep the old one down either.
func TestPolicyCannotBeChanged(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("v1")
		r := y.when("back", func() {
			y.refuses("restart", errors.New("cannot update"))
		})
		_, err := r.Run(t.Context(), y.target("sick"))
		assert.Equal(t, fault.RollbackFailed, fault.CodeOf(err))
		assert.Equal(t, []string{"web v1 running no"}, y.is())
		y.engine.Fail = nil
		_, err = y.repair()
		require.NoError(t, err)
		assert.Equal(t, []string{"web v1 running unless-stopped"}, y.is())
	})
}

// An engine cannot change the policy of one that ends at that moment.
func TestOldEndsJustNow(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("v1")
		refused := false
		y.engine.Fail = func(call string) error {
			if call == "restart" && !refused {
				refused = true
				return fmt.Errorf("cannot update a stopped container: %w", deploy.ErrRefused)
			}
			return nil
		}
		y.must("v2")
		assert.True(t, refused)
		assert.Equal(t, []string{"web v2 running unless-stopped", "web.g1 v1 exited no"}, y.is())
	})
}

// What an engine refuses to change it may have changed by half: the policy is set again.
func TestPolicyIsSetAgain(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("v1")
		calls := 0
		y.engine.Fail = func(call string) error {
			if call != "restart" {
				return nil
			}
			if calls++; calls <= 2 {
				return fmt.Errorf("cannot update: %w", deploy.ErrRefused)
			}
			return nil
		}
		_, err := y.run("v2")
		assert.ErrorContains(t, err, "the version before runs")
		assert.Equal(t, 3, calls, "of the old one twice, then once more; the new one never had another")
		assert.Equal(t, []string{"web v1 running unless-stopped"}, y.is())
	})
}

// What never stopped need not show that it is well: the engine may have restarted it
// long ago.
func TestOldIsNotJudgedForThePast(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("v1")
		y.engine.Wear(y.named("web").ID, 3)
		_, err := y.runner(y.engine).Run(t.Context(), y.overlap("sick"))
		assert.Equal(t, fault.Unhealthy, fault.CodeOf(err))
		assert.ErrorContains(t, err, "the version before runs")
	})
}
