package deploy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/fault"
)

// An earlier generation runs again as it was.
func TestRollback(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		first := y.must("v1")
		y.must("v2")
		s, err := y.runner(y.engine).Rollback(t.Context(), y.target("v2"), 1)
		require.NoError(t, err)
		assert.Equal(t, []int{1, 2}, []int{s.Generation, s.Before})
		assert.Equal(t, first.ID, s.ID)
		assert.Equal(t, []string{"web v1 running unless-stopped", "web.g2 v2 exited no"}, y.is())
		_, err = y.runner(y.engine).Rollback(t.Context(), y.target("v2"), 7)
		assert.Equal(t, fault.NotFound, fault.CodeOf(err))
		assert.Equal(t, "it has [2]", fault.Of(err).Hint)
		y.quiet()
	})
}

// Two machines can make one generation each: what a preview shows is what runs then.
func TestRollbackToOneOfTwo(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("v1")
		later := y.must("v2").ID
		y.must("v3")
		y.engine.Label(later, deploy.LabelGeneration, "1")
		all, err := y.engine.List(t.Context())
		require.NoError(t, err)
		_, others := deploy.Generations(all, "web", "web")
		assert.Equal(t, later, others[0].ID)
		s, err := y.runner(y.engine).Rollback(t.Context(), y.target("v3"), 1)
		require.NoError(t, err)
		assert.Equal(t, later, s.ID)
	})
}

// A generation that was gone back to, and failed, does not come back by itself.
func TestRollbackFails(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		for name, breaks := range map[string]func(y *yard){
			"sick": func(y *yard) { y.engine.Sicken(y.named("web.g1").ID) },
			"ends": func(y *yard) { y.engine.End(y.named("web.g1").ID) },
		} {
			y := newYard(t)
			y.must("v1")
			y.must("v2")
			breaks(y)
			_, err := y.runner(y.engine).Rollback(t.Context(), y.target("v2"), 1)
			assert.Equal(t, fault.Unhealthy, fault.CodeOf(err), name)
			assert.ErrorContains(t, err, "the version before runs")
			assert.Equal(t, []string{"web v2 running unless-stopped", "web.g1 v1 exited no"}, y.is(), name)
			y.quiet()
		}
	})
}

// An earlier generation has to pass what it passed once, not what came later, and
// restarts as the registry says now.
func TestRollbackToAnotherGate(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("v1")
		y.must("v2")
		target := y.target("v2")
		target.Gate = deploy.Gate{Kind: "http", Port: deploytest.PagePort, Path: "/new", Interval: time.Millisecond, Timeout: 20 * time.Millisecond}
		target.Spec.Restart = "always"
		_, err := y.runner(y.engine).Rollback(t.Context(), target, 1)
		require.NoError(t, err)
		assert.Equal(t, []string{"web v1 running always", "web.g2 v2 exited no"}, y.is())

		// From one that is stopped, and then from none.
		require.NoError(t, y.engine.Stop(t.Context(), "web", time.Second))
		_, err = y.runner(y.engine).Rollback(t.Context(), target, 2)
		require.NoError(t, err)
		assert.Equal(t, []string{"web v2 running always", "web.g1 v1 exited no"}, y.is())
		y.engine.Vanish(y.named("web").ID)
		_, err = y.runner(y.engine).Rollback(t.Context(), target, 1)
		require.NoError(t, err)
		assert.Equal(t, []string{"web v1 running always"}, y.is())
	})
}

// Something else may answer for a container that has ended.
func TestGateLooksAgain(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.engine.Command = func(c deploy.Container, _ []string) (int, string) {
			y.engine.Vanish(c.ID)
			return 0, ""
		}
		target := y.target("v1")
		target.Gate = deploy.Gate{Kind: "exec", Command: []string{"true"}, Interval: time.Millisecond, Timeout: time.Second}
		_, err := y.runner(y.engine).Run(t.Context(), target)
		assert.Equal(t, fault.Conflict, fault.CodeOf(err))
		assert.ErrorContains(t, err, "the new container is gone")
	})
}
