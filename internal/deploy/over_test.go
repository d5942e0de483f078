package deploy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
)

// What was to take the place of one container takes that of no other.
func TestSomebodyElseWasFaster(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		over := func(version, id string) error {
			target := y.target(version)
			target.Over = &id
			_, err := y.runner(y.engine).Run(t.Context(), target)
			return err
		}
		require.NoError(t, over("v1", ""), "there is none, as expected")
		assert.Equal(t, fault.Conflict, fault.CodeOf(over("v2", "")), "there is one now")
		first := y.must("v1")
		require.NoError(t, over("v2", first.ID))
		before := y.is()
		assert.Equal(t, fault.Conflict, fault.CodeOf(over("v3", first.ID)), "it is another one now")
		assert.Equal(t, before, y.is())
		y.quiet()
	})
}

// Nor is that given up for an earlier version.
func TestSomebodyElseWasFasterThanTheWayBack(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("v1")
		second := y.must("v2")
		third := y.must("v3")
		back := func(id string) error {
			target := y.target("v3")
			target.Over = &id
			_, err := y.runner(y.engine).Rollback(t.Context(), target, 1)
			return err
		}
		assert.Equal(t, fault.Conflict, fault.CodeOf(back(second.ID)))
		assert.Contains(t, y.is(), "web v3 running unless-stopped")
		require.NoError(t, back(third.ID))
		assert.Contains(t, y.is(), "web v1 running unless-stopped")
	})
}
