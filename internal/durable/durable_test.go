package durable_test

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/durable"
	"homelab/internal/fault"
)

func names(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	found := []string{}
	for _, entry := range entries {
		found = append(found, entry.Name())
	}
	return found
}

// Whoever has the old file open goes on reading the old content.
func TestFilesAreReplaced(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "file")
	require.NoError(t, durable.WriteFile(path, []byte("old")))
	reader, err := os.Open(path)
	require.NoError(t, err)
	defer reader.Close()
	require.NoError(t, durable.WriteFile(path, []byte("new")))
	content := make([]byte, 10)
	n, err := reader.Read(content)
	require.NoError(t, err)
	assert.Equal(t, "old", string(content[:n]))
	now, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "new", string(now))
	assert.Equal(t, []string{"file"}, names(t, folder))
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

// A disk that is full leaves the old content, and nothing else.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	require.NoError(t, syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=16k"))
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(folder, syscall.MNT_DETACH)) })
	path := filepath.Join(folder, "file")
	require.NoError(t, durable.WriteFile(path, []byte("old")))
	err := durable.WriteFile(path, bytes.Repeat([]byte("new"), 100_000))
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
	assert.ErrorContains(t, err, "the disk is full")
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "old", string(content))
	assert.Equal(t, []string{"file"}, names(t, folder))
}

func TestNoFolder(t *testing.T) {
	t.Parallel()
	assert.ErrorIs(t, durable.WriteFile(filepath.Join(t.TempDir(), "none", "file"), nil), os.ErrNotExist)
}
