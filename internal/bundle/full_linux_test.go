package bundle_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"homelab/internal/bundle"
	"homelab/internal/fault"
)

func TestExtractingOntoAFullDisk(t *testing.T) {
	tree, into := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(tree, "large"), []byte(strings.Repeat("x", 1<<20)), 0o600))
	data, _ := write(t, order(t, tree))
	require.NoError(t, unix.Mount("tmpfs", into, "tmpfs", 0, "size=256k"))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(into, unix.MNT_DETACH)) })
	_, err := extract(t, data, into, bundle.Extraction{}, bundle.Trust{})
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
	assert.ErrorContains(t, err, `no space is left to extract "items/0/large"`)
}
