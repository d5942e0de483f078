package dir_test

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"homelab/internal/fault"
	"homelab/internal/store/dir"
)

// A file system that stops answering, at any call, holds nobody up. What is put when it
// answers again is there whole or not at all, and can be put again.
func TestHang(t *testing.T) {
	for nth := 1; ; nth++ {
		folder := t.TempDir()
		files := open(t, folder)
		require.NoError(t, files.Put(t.Context(), "a/old", strings.NewReader("old")))
		answer := dir.Hang(t, nth)
		err := files.Put(t.Context(), "a/new", strings.NewReader("new"))
		if err == nil {
			require.Greater(t, nth, 4)
			return
		}
		assert.Equal(t, fault.HostUnreachable, fault.CodeOf(err), "%v", err)
		assert.NotEmpty(t, fault.Of(err).Hint)
		_, err = files.List(t.Context(), "")
		assert.Equal(t, fault.HostUnreachable, fault.CodeOf(err), "%v", err)
		_, err = files.Open(t.Context(), "a/old")
		assert.Equal(t, fault.HostUnreachable, fault.CodeOf(err), "%v", err)
		assert.Equal(t, fault.HostUnreachable, fault.CodeOf(files.Remove(t.Context(), "a/gone")))
		_, err = dir.Open(folder)
		assert.Equal(t, fault.HostUnreachable, fault.CodeOf(err), "%v", err)
		answer()
		require.Eventually(t, func() bool {
			err := files.Put(t.Context(), "a/new", strings.NewReader("new"))
			return err == nil || fault.CodeOf(err) == fault.Conflict
		}, 10*time.Second, 10*time.Millisecond)
		content, err := os.ReadFile(folder + "/a/new")
		require.NoError(t, err)
		assert.Equal(t, "new", string(content))
		require.Eventually(t, func() bool { return len(listed(t, folder+"/a")) == 2 }, 10*time.Second, 10*time.Millisecond, "nothing is left over")
	}
}

func listed(t *testing.T, folder string) []os.DirEntry {
	t.Helper()
	found, err := os.ReadDir(folder)
	require.NoError(t, err)
	return found
}

// Reading from a file system that stops answering ends, also when it is given up.
func TestHangWhileReading(t *testing.T) {
	files := open(t, t.TempDir())
	require.NoError(t, files.Put(t.Context(), "a/x", strings.NewReader("content")))
	for _, canceled := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		reader, err := files.Open(ctx, "a/x")
		require.NoError(t, err)
		answer := dir.Hang(t, 2)
		one := make([]byte, 1)
		_, err = reader.Read(one)
		require.NoError(t, err)
		if canceled {
			cancel()
		}
		_, err = io.ReadAll(reader)
		if canceled {
			assert.ErrorIs(t, err, context.Canceled)
		} else {
			assert.Equal(t, fault.HostUnreachable, fault.CodeOf(err), "%v", err)
		}
		assert.Equal(t, "c", string(one))
		answer()
		_ = reader.Close() // it may take too long
	}
}

// A FUSE file system whose program does not answer is what a hard mount of a machine
// that is gone is: it waits for ever.
func TestRealHang(t *testing.T) {
	fuse, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	folder := t.TempDir()
	require.NoError(t, unix.Mount("nobody", folder, "fuse", 0, "fd="+strconv.Itoa(fuse)+",rootmode=40000,user_id=0,group_id=0"))
	t.Cleanup(func() {
		assert.NoError(t, unix.Unmount(folder, unix.MNT_DETACH))
		assert.NoError(t, unix.Close(fuse)) // ends what waits
	})
	dir.Hang(t, 1000)
	_, err = dir.Open(folder)
	assert.Equal(t, fault.HostUnreachable, fault.CodeOf(err), "%v", err)
	assert.False(t, errors.Is(err, context.DeadlineExceeded))
}
