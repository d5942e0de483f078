package swap_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"homelab/internal/fault"
	"homelab/internal/swap"
	"homelab/internal/tree/treetest"
)

// Names that are homelab's stay where they are, whoever made them, and come from no
// bundle.
func TestHostileNames(t *testing.T) {
	p := newPlace(t, false)
	write(t, p.path+"/.homelab-mine", "a file")
	write(t, p.path+"/.homelab-x/step-swapped", "")
	require.NoError(t, os.Symlink("/etc", p.path+"/.homelab-link"))
	p.with(func(target *swap.Target) { require.NoError(t, target.Swap(t.Context(), id)) })
	p.is(p.new)
	assert.FileExists(t, p.path+"/.homelab-mine")
	assert.Len(t, p.kept(), 1)
	p.with(func(target *swap.Target) {
		for _, name := range []string{"link", "mine", "x"} {
			assert.Error(t, target.Commit(t.Context(), name), name)
		}
		assert.Equal(t, fault.InvalidArgument, fault.CodeOf(second(target.Stage(t.Context(), "../x"))))
	})
	assert.FileExists(t, p.path+"/.homelab-x/step-swapped")

	p = newPlace(t, false)
	write(t, p.path+"/.homelab-"+id+"/new/.homelab-y/a", "")
	p.with(func(target *swap.Target) {
		assert.Equal(t, fault.BundleIncompatible, fault.CodeOf(target.Swap(t.Context(), id)))
	})
	p.is(p.old)

	// Somebody leads the way out of what is staged.
	p = newPlace(t, false)
	outside := t.TempDir()
	write(t, outside+"/precious", "")
	require.NoError(t, os.RemoveAll(p.path+"/.homelab-"+id+"/new"))
	require.NoError(t, os.Symlink(outside, p.path+"/.homelab-"+id+"/new"))
	p.with(func(target *swap.Target) {
		assert.Error(t, target.Swap(t.Context(), id))
		assert.Error(t, target.Discard(t.Context(), id))
	})
	assert.FileExists(t, outside+"/precious")
	p.is(p.old)
}

func second(_ *os.Root, _ string, err error) error { return err }

// What is mounted in it would go aside with it, and be removed.
func TestMounts(t *testing.T) {
	p := newPlace(t, false)
	inside := filepath.Join(p.path, "a", "in side")
	require.NoError(t, os.Mkdir(inside, 0o755))
	mounted := treetest.Read(t, p.path)
	require.NoError(t, unix.Mount(t.TempDir(), inside, "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(inside, unix.MNT_DETACH) })
	p.with(func(target *swap.Target) {
		err := target.Swap(t.Context(), id)
		assert.Equal(t, fault.Precondition, fault.CodeOf(err))
		assert.ErrorContains(t, err, inside+" is mounted")
		found, err := target.Look(t.Context(), 10)
		require.NoError(t, err)
		assert.Equal(t, []string{inside}, found.Mounts)
	})
	require.NoError(t, unix.Unmount(inside, 0))
	assert.Len(t, treetest.Read(t, p.path), len(mounted))

	p.with(func(target *swap.Target) { require.NoError(t, target.Swap(t.Context(), id)) })
	aside := filepath.Join(p.path, swap.Prefix+id, "old", "a")
	outside := t.TempDir()
	write(t, outside+"/precious", "")
	require.NoError(t, unix.Mount(outside, aside, "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(aside, unix.MNT_DETACH) })
	p.with(func(target *swap.Target) {
		assert.Equal(t, fault.Precondition, fault.CodeOf(target.Commit(t.Context(), id)))
	})
	assert.FileExists(t, outside+"/precious")
}

// A disk that is full can be swapped, and swapped back.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	write(t, dir+"/old", "old")
	target, err := swap.OpenFolder(dir)
	require.NoError(t, err)
	defer target.Close()
	root, name, err := target.Stage(t.Context(), id)
	require.NoError(t, err)
	defer root.Close()
	assert.Equal(t, ".", name)
	require.NoError(t, root.WriteFile("new", []byte("new"), 0o600))
	filler := make([]byte, 4096)
	var full error
	for n := 0; full == nil; n++ {
		if n == 9 {
			// Swapping needs room for a little to begin with, and none then.
			require.True(t, killedAt(t, 4, func(ctx context.Context) error { return target.Swap(ctx, id) }))
		}
		full = os.WriteFile(fmt.Sprintf("%s/%sfiller%d", dir, swap.Prefix, n), filler, 0o600)
	}
	require.ErrorIs(t, full, unix.ENOSPC)
	require.NoError(t, target.Swap(t.Context(), id))
	assert.FileExists(t, dir+"/new")
	assert.NoFileExists(t, dir+"/old")
	require.NoError(t, target.Back(t.Context(), id))
	assert.FileExists(t, dir+"/old")
	assert.NoFileExists(t, dir+"/new")
	err = target.Swap(t.Context(), id)
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
	assert.ErrorContains(t, err, "no space is left")
	assert.FileExists(t, dir+"/old")
	require.NoError(t, target.Discard(t.Context(), id))
}
