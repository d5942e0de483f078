package plan_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/plan"
)

const ha = "packages.x86_64-linux.ha"

// An order evaluates the tree that was planned: a revision as it was, the work
// tree as it is.
func TestOrderEvaluatesWhatWasPlanned(t *testing.T) {
	t.Parallel()
	r, n, p := flakeHomelab(t)
	old := r.Rev("HEAD")
	r.Write("services/ha/config.yaml", "new")
	r.Commit("two")
	for _, c := range []struct{ head, commit string }{{old, old[:7]}, {"", ""}} {
		order, err := p.Order(t.Context(), plan.Request{Head: c.head, Services: []string{"ha"}}, "")
		require.NoError(t, err)
		n.evals = nil
		for range 2 {
			_, moved, err := order.Evaluate(t.Context(), []string{ha}, false)
			require.NoError(t, err)
			assert.False(t, moved)
		}
		assert.Equal(t, []string{c.commit + " targets " + ha}, n.evals, "once")
	}
}

// What another version of Nix evaluated is not believed, nor what a flake
// outside of the repository was.
func TestOrderForgetsWhatMayHaveChanged(t *testing.T) {
	t.Parallel()
	r, n, p := flakeHomelab(t)
	evaluate := func() {
		order, err := p.Order(t.Context(), plan.Request{Services: []string{"ha"}}, "")
		require.NoError(t, err)
		_, _, err = order.Evaluate(t.Context(), []string{ha}, false)
		require.NoError(t, err)
	}
	evaluate()
	n.evals = nil
	evaluate()
	assert.Empty(t, n.evals)
	n.identity = "another"
	evaluate()
	assert.Equal(t, []string{" targets " + ha}, n.evals)

	p.Source.Setting = "flake:github:somebody/homelab"
	r.Commit("nothing")
	n.evals = nil
	evaluate()
	evaluate()
	assert.Len(t, n.evals, 4, "the registry and the target, each time")
}
