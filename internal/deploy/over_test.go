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
