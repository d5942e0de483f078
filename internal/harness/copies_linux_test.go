package harness

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"homelab/internal/fault"
	"homelab/internal/state"
)

// asNobody does something as a user who is not root, as far as files go.
func asNobody(t *testing.T, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocks: the thread ends with it
		if assert.NoError(t, unix.Setfsuid(65534)) {
			do()
		}
	}()
	<-done
}

// Folders that nobody may write to, or read, do not stay behind.
func TestCopiesOfReadOnlyFolders(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "job")
	outside := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o777))
	require.NoError(t, os.Chmod(filepath.Dir(filepath.Dir(dir)), 0o755))
	require.NoError(t, os.Chmod(outside, 0o555))
	asNobody(t, func() {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "0/closed/below"), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "0/closed/below/file"), nil, 0o400))
		require.NoError(t, os.Symlink(outside, filepath.Join(dir, "0/closed/out")))
		require.NoError(t, os.Chmod(filepath.Join(dir, "0/closed/below"), 0))
		require.NoError(t, os.Chmod(filepath.Join(dir, "0/closed"), 0o555))
		require.NoError(t, os.Chmod(filepath.Join(dir, "0"), 0o555))
		require.ErrorIs(t, os.RemoveAll(dir), os.ErrPermission)
		assert.NoError(t, removeCopies(dir))
	})
	assert.NoDirExists(t, dir)
	info, err := os.Stat(outside)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o555), info.Mode().Perm(), "links lead nowhere")
}

// A full disk where the copies go, before the service is put to rest or while it is,
// leaves the service as it was and nothing behind.
func TestNoRoomForCopies(t *testing.T) {
	k := newKept(t, `"quiesce": {"kind": "pause"}`)
	k.runs("web", "v1", healthy)
	before := k.containers("nas")
	captures := filepath.Join(k.jobs.Dir, "captures")
	require.NoError(t, os.MkdirAll(captures, 0o700))
	require.NoError(t, syscall.Mount("tmpfs", captures, "tmpfs", 0, "size=1m"))
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(captures, syscall.MNT_DETACH)) })
	much := strings.Repeat("much", 1<<19)
	for _, late := range []bool{false, true} {
		paused := false
		if k.write("data/big", ""); !late {
			k.write("data/big", much)
		}
		k.engines["nas"].Fail = func(call string) error {
			if call == "pause" {
				paused = true
				k.write("data/big", much)
			}
			return nil
		}
		_, err := k.core.StateBundle(t.Context(), state.BundleRequest{Service: "web"}, quiet)
		assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
		assert.ErrorContains(t, err, "big")
		assert.NotEmpty(t, fault.Of(err).Hint)
		assert.Equal(t, late, paused)
		assert.Equal(t, []string{"web v1 running"}, k.is("nas"))
		assert.Equal(t, before, k.containers("nas"))
		left, err := os.ReadDir(captures)
		require.NoError(t, err)
		assert.Empty(t, left)
		entries, failed := rests(k.jobs).Entries()
		assert.Empty(t, failed)
		assert.Empty(t, entries)
	}
}

// A place for copies that is none is told before anything is put to rest.
func TestNoPlaceForCopies(t *testing.T) {
	k := newKept(t, `"quiesce": {"kind": "pause"}`)
	k.runs("web", "v1", healthy)
	require.NoError(t, os.MkdirAll(k.jobs.Dir, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(k.jobs.Dir, "captures"), nil, 0o600))
	_, err := k.core.StateBundle(t.Context(), state.BundleRequest{Service: "web"}, quiet)
	assert.Equal(t, fault.Conflict, fault.CodeOf(err), "%v", err)
	assert.NotEmpty(t, fault.Of(err).Hint)
}
