package build_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/build"
	"homelab/internal/fault"
	"homelab/internal/plan"
)

// A plan that is not what there is to do any more is not carried out.
func TestPlanThatMoved(t *testing.T) {
	t.Parallel()
	l := newLab(t, "a", "b")
	first, err := l.planner.Plan(t.Context(), plan.Request{})
	require.NoError(t, err)
	assert.Equal(t, first.PlanID, l.want(build.Request{PlanID: first.PlanID, DryRun: true}).PlanID)
	l.r.Write("a/file", "newer")
	_, err = l.build(t.Context(), build.Request{PlanID: first.PlanID})
	assert.Equal(t, fault.Conflict, fault.CodeOf(err))
	assert.Empty(t, l.nix.built)
}

// What was evaluated while somebody was editing belongs to no state.
func TestEditedWhileEvaluating(t *testing.T) {
	t.Parallel()
	l := newLab(t, "a")
	order, err := l.planner.Order(t.Context(), plan.Request{}, "")
	require.NoError(t, err)
	l.r.Write("a/file", "newer")
	for range 2 {
		_, moved, err := order.Evaluate(t.Context(), []string{"a"}, false)
		require.NoError(t, err)
		assert.True(t, moved)
	}
	assert.Equal(t, []string{"a", "a"}, l.nix.evaluated)

	// It is told, and a plan that was named is not carried out.
	l.nix.edit = func() { l.r.Write("a/file", fmt.Sprint(len(l.nix.evaluated))) }
	report := l.want(build.Request{DryRun: true})
	assert.Equal(t, "edited", report.Warnings[0].Code)
	assert.Equal(t, plan.StateDirty, report.Head.State)
	assert.Empty(t, report.Services[0].Edits, "with what it was built nobody knows")
	l.r.Commit("two")
	report = l.want(build.Request{Services: []string{"a"}, DryRun: true})
	assert.Equal(t, plan.StateDirty, report.Head.State, "it was clean before")
	p, err := l.planner.Plan(t.Context(), plan.Request{})
	require.NoError(t, err)
	_, err = l.build(t.Context(), build.Request{PlanID: p.PlanID})
	assert.Equal(t, fault.Conflict, fault.CodeOf(err))
	assert.Empty(t, l.nix.built)
}
