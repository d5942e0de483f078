package treetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Mount makes a file system of that kind and so many bytes, and mounts it for as long as
// the test lasts. It is in a file that takes no more room than is written.
func Mount(t *testing.T, kind string, size int64, options ...string) (folder string) {
	t.Helper()
	disk, folder := filepath.Join(t.TempDir(), "disk"), t.TempDir()
	require.NoError(t, os.WriteFile(disk, nil, 0o600))
	require.NoError(t, os.Truncate(disk, size))
	said, err := exec.Command("mkfs."+kind, append(append([]string{"-q"}, options...), disk)...).CombinedOutput()
	require.NoError(t, err, "%s", said)
	said, err = exec.Command("mount", "-t", kind, "-o", "loop", disk, folder).CombinedOutput()
	require.NoError(t, err, "%s", said)
	t.Cleanup(func() { // who was killed may still be about to leave
		require.Eventually(t, func() bool { return unix.Unmount(folder, 0) == nil }, time.Minute, 10*time.Millisecond, "somebody has something of it open")
	})
	return folder
}
