package state_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/state"
)

func TestIDs(t *testing.T) {
	id := state.NewID(time.Date(2026, 3, 14, 13, 0, 0, 0, time.FixedZone("", 3600)))
	assert.Regexp(t, `^20260314T120000Z-[0-9a-f]{8}$`, id)
	require.NoError(t, state.CheckBundle("wiki", id))
	for _, row := range []struct{ service, id string }{
		{"", id}, {"..", id}, {"a/b", id}, {".x", id},
		{"wiki", ""}, {"wiki", "../x"}, {"wiki", "20260314T120000Z"}, {"wiki", "20261314T120000Z-00000000"}, {"wiki", id + "\n"},
	} {
		err := state.CheckBundle(row.service, row.id)
		assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err), row)
	}
}
