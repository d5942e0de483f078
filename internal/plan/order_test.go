package plan_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
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

// What services are to run is told without asking Nix, where an equal state was
// evaluated before.
func TestOrderTellsWhatIsWanted(t *testing.T) {
	t.Parallel()
	r, n, p := flakeHomelab(t)
	wanted := func(mode plan.Mode) map[string]string {
		order, err := p.Order(t.Context(), plan.Request{Mode: mode}, "")
		require.NoError(t, err)
		n.evals = nil
		outs, err := order.Wanted(t.Context())
		require.NoError(t, err)
		assert.Empty(t, n.evals)
		return outs
	}
	assert.Empty(t, wanted(plan.Hints))
	exact := wanted(plan.Exact)
	assert.NotEmpty(t, exact["ha"])
	assert.Equal(t, exact, wanted(plan.Hints))
	r.Write("services/ha/config.yaml", "new")
	assert.Empty(t, wanted(plan.Hints), "of another state")
	p.Source.CacheDir = ""
	assert.NotEmpty(t, wanted(plan.Exact)["ha"], "although nothing is kept")
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

// What was evaluated before does not turn one broken target into the failure of
// all.
func TestOrderWithOneBrokenTarget(t *testing.T) {
	t.Parallel()
	_, n, p := flakeHomelab(t)
	order, err := p.Order(t.Context(), plan.Request{Services: []string{"ha"}}, "")
	require.NoError(t, err)
	_, _, err = order.Evaluate(t.Context(), []string{ha}, false)
	require.NoError(t, err)
	n.fail = fault.New(fault.EvalFailed, "broken set", "mend it")
	known, _, err := order.Evaluate(t.Context(), []string{ha, "packages.aarch64-linux.prom"}, false)
	require.NoError(t, err)
	assert.NoError(t, known[ha].Err)
	assert.Equal(t, n.fail, known["packages.aarch64-linux.prom"].Err)
	_, _, err = order.Evaluate(t.Context(), []string{ha}, true)
	require.NoError(t, err)

	n.fail = fault.New(fault.Precondition, "no daemon", "start it")
	_, _, err = order.Evaluate(t.Context(), []string{"packages.aarch64-linux.prom"}, false)
	assert.Equal(t, n.fail, err)
}

// Two flakes of one repository do not answer for each other, and a registry in a
// file belongs to the flake beside it.
func TestOrderOfAFlakeInAFolder(t *testing.T) {
	t.Parallel()
	r, n, p := flakeHomelab(t)
	r.Write("sub/flake.nix", "{ }")
	r.Write("sub/homelab.json", homelab)
	r.Commit("sub")
	var refs []string
	n.asked = func(ref string) { refs = append(refs, ref) }
	for _, setting := range []string{"", r.Path("sub/homelab.json"), "", r.Path("sub/homelab.json")} {
		p.Source.Setting = setting
		order, err := p.Order(t.Context(), plan.Request{Services: []string{"ha"}}, "")
		require.NoError(t, err)
		_, _, err = order.Evaluate(t.Context(), []string{ha}, false)
		require.NoError(t, err)
	}
	require.Len(t, refs, 2, "each once")
	assert.True(t, strings.HasSuffix(refs[0], "??"), refs[0])
	assert.True(t, strings.HasSuffix(refs[1], "??sub"), refs[1])
}

// That a flake has no registry is remembered as what it has is.
func TestFlakeWithoutARegistryIsRemembered(t *testing.T) {
	t.Parallel()
	r, n, p := flakeHomelab(t)
	r.Write("homelab.json", homelab)
	r.Commit("a file besides")
	n.fail = fault.New(fault.NotFound, "the flake has no attribute homelab", "add it")
	for range 2 {
		got, err := p.Plan(t.Context(), plan.Request{})
		require.NoError(t, err)
		assert.Equal(t, "registryFallback", got.Warnings[0].Code)
	}
	assert.Len(t, n.evals, 1)
}
