package harness

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/rollout"
)

// A panic is the failure of one service, and it is kept where it was.
func TestGuarded(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "panic.log")
	err := guarded(log, func() error { panic("no such thing") })
	assert.Equal(t, fault.Internal, fault.CodeOf(err))
	assert.ErrorContains(t, err, "panic: no such thing")
	assert.Contains(t, fault.Of(err).Hint, log)
	stack, err := os.ReadFile(log)
	require.NoError(t, err)
	assert.Contains(t, string(stack), "TestGuarded")

	no := errors.New("no")
	assert.Equal(t, no, guarded(log, func() error { return no }))
	assert.NoError(t, guarded(log, func() error { return nil }))
}

// What was passed for the id of a preview is told where it can be known.
func TestStale(t *testing.T) {
	t.Parallel()
	preview := &rollout.Report{PreviewID: strings.Repeat("a", 64), PlanID: strings.Repeat("b", 64)}
	for confirm, want := range map[string]fault.Code{
		"aaaaaaaaaaa":           fault.InvalidArgument,
		strings.Repeat("b", 64): fault.InvalidArgument,
		"bbbbbbbbbbbb":          fault.InvalidArgument,
		"cccccccccccc":          fault.Conflict,
		"aaaaaaaaaaaac":         fault.Conflict,
	} {
		assert.Equal(t, want, fault.CodeOf(stale(confirm, preview)), confirm)
	}
}
