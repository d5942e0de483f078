package deploy_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/fault"
)

// A container that the registry gives another name makes room for the new one, and
// gets its name back when that fails.
func TestRenamed(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("v1")
		renamed := func(version string) error {
			target := y.target(version)
			target.Spec.Container = "site"
			_, err := y.runner(y.engine).Run(t.Context(), target)
			return err
		}
		require.Error(t, renamed("sick"))
		assert.Equal(t, []string{"web v1 running unless-stopped"}, y.is())
		require.NoError(t, renamed("v2"))
		assert.Equal(t, []string{"site v2 running unless-stopped", "site.g1 v1 exited no"}, y.is())
		require.NoError(t, renamed("v2"))
		y.quiet()
	})
}

// The version that ran last is kept, whatever its number.
func TestTheLastOneIsKept(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("v1")
		y.must("v2")
		y.must("v3")
		_, err := y.runner(y.engine).Rollback(t.Context(), y.target("v3"), 1)
		require.NoError(t, err)
		y.must("v2")
		assert.Contains(t, y.is(), "web.g1 v1 exited no", "%v", y.is())
	})
}

// The registry's new name is also for one that does not run just now: left as it was,
// the engine would start it again beside the new one.
func TestRenamedWhileItIsStopped(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("v1")
		require.NoError(t, y.engine.Stop(t.Context(), "web", time.Second))
		target := y.target("v2")
		target.Spec.Container = "site"
		_, err := y.runner(y.engine).Run(t.Context(), target)
		require.NoError(t, err)
		assert.Equal(t, []string{"site v2 running unless-stopped", "site.g1 v1 exited no"}, y.is())
	})
}

// Whoever has paused a container copies it, perhaps.
func TestPausedIsLeftAlone(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("v1")
		y.must("v2")
		require.NoError(t, y.engine.Pause(t.Context(), y.named("web").ID))
		_, err := y.run("v3")
		assert.Equal(t, fault.Conflict, fault.CodeOf(err))
		assert.ErrorContains(t, err, "container web is paused")
		_, err = y.runner(y.engine).Rollback(t.Context(), y.target("v2"), 1)
		assert.Equal(t, fault.Conflict, fault.CodeOf(err))
		assert.Equal(t, []string{"web v2 paused unless-stopped", "web.g1 v1 exited no"}, y.is())
		y.quiet()
	})
}

// Of two that run nobody here knows which one is meant.
func TestTwoRun(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("v1")
		y.must("v2")
		require.NoError(t, y.engine.Start(t.Context(), "web.g1"))
		for _, stopped := range []bool{false, true} {
			if stopped {
				require.NoError(t, y.engine.Stop(t.Context(), "web", time.Second))
			}
			_, err := y.run("v3")
			assert.Equal(t, fault.Conflict, fault.CodeOf(err))
			assert.ErrorContains(t, err, "web.g1 runs beside web")
			_, err = y.runner(y.engine).Rollback(t.Context(), y.target("v2"), 1)
			assert.Equal(t, fault.Conflict, fault.CodeOf(err))
		}
		assert.Equal(t, []string{"web v2 exited unless-stopped", "web.g1 v1 running no"}, y.is())
	})
}

// A name that something else has keeps nobody from being put aside: not somebody
// else's, and not that of another container of the same generation.
func TestKeptNameIsTaken(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		first := y.must("v1")
		taken := y.foreign("web.g1")
		y.must("v2")
		assert.Equal(t, []string{"web v2 running unless-stopped", "web.g1-" + first.ID[:12] + " v1 exited no"}, y.is())
		_, err := y.run("sick")
		assert.Equal(t, fault.Unhealthy, fault.CodeOf(err))
		_, err = y.runner(y.engine).Rollback(t.Context(), y.target("v2"), 1)
		require.NoError(t, err)
		assert.Equal(t, []string{"web v1 running unless-stopped", "web.g2 v2 exited no"}, y.is())
		assert.Equal(t, taken, y.named("web.g1").ID)
	})
}

// Labels that others have written are no reason to fail.
func TestGarbageLabels(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		for _, generation := range []string{"", "x", "-3", "9223372036854775807", "99999999999999999999999"} {
			for _, gate := range []string{"", "x", "null", "{}", `{"kind":"exec"}`, `{"kind":"tcp","timeout":-1,"interval":-1}`} {
				y := newYard(t)
				y.must("v1")
				id := y.named("web").ID
				y.engine.Label(id, deploy.LabelGeneration, generation)
				y.engine.Label(id, deploy.LabelGate, gate)
				_, err := y.run("sick")
				assert.Equal(t, fault.Unhealthy, fault.CodeOf(err), "%q %q", generation, gate)
				s := y.must("v2")
				assert.Equal(t, 1, s.Generation)
				assert.Equal(t, []string{"web v2 running unless-stopped", "web.g0 v1 exited no"}, y.is())
				y.quiet()
			}
		}
	})
}

// What cannot be removed is in nobody's way.
func TestNothingCanBeRemoved(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.refuses("remove", errors.New("device or resource busy"))
		for _, version := range []string{"v1", "v2", "v3", "v1", "v2"} {
			y.must(version)
			y.quiet()
		}
		assert.Len(t, y.is(), 5)
		y.engine.Fail = nil
		y.must("v3")
		assert.Equal(t, []string{"web v3 running unless-stopped", "web.g4 v1 exited no", "web.g5 v2 exited no"}, y.is())
	})
}

// Another machine is faster: what it runs is not joined by the old one.
func TestAnotherIsFaster(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("v1")
		r := y.when("rename new", func() {
			mine := y.journal
			y.journal = deploy.Journal{Dir: quick(t)}
			y.must("v3")
			y.journal = mine
		})
		_, err := r.Run(t.Context(), y.target("v2"))
		assert.Error(t, err)
		assert.ErrorContains(t, err, "generation 3 runs, which somebody else has put in its place")
		assert.Contains(t, y.is(), "web v3 running unless-stopped")
		assert.Contains(t, y.is(), "web.g1 v1 exited no")
		y.quiet()
	})
}
