package nix_test

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/nix"
)

// The folder of builds is on a disk of 4 MiB.
func TestRealDiskIsFull(t *testing.T) {
	lab := broken(t)
	target := lab.target(t, "full")
	small := t.TempDir()
	require.NoError(t, syscall.Mount("none", small, "tmpfs", 0, "size=4m"), "this test needs root")
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(small, syscall.MNT_DETACH)) })
	t.Setenv("TMPDIR", small)
	// Since Nix 2.30 builds do not follow TMPDIR.
	t.Setenv("NIX_CONFIG", os.Getenv("NIX_CONFIG")+"build-dir = "+small+"\n")

	_, err := realise(t, nix.Nix{}, nix.Realisation{Drv: target.Drv})
	assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
	assert.Equal(t, nix.NoSpace, failure(t, err).Kind)
	assert.Equal(t, target.Drv, failure(t, err).Drv)
	assert.Equal(t, 1, failure(t, err).Exit)
	assert.Contains(t, fault.Of(err).Hint, "nix-collect-garbage")
}
