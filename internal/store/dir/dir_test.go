package dir_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"homelab/internal/bundle"
	"homelab/internal/fault"
	"homelab/internal/state"
	"homelab/internal/state/statetest"
	"homelab/internal/store/dir"
)

func place(_ *testing.T, folder string) statetest.Place {
	return statetest.Place{
		Folder: folder,
		Open:   func(context.Context) (state.Files, error) { return dir.Open(folder) },
	}
}

func open(t *testing.T, folder string) *dir.Folder {
	t.Helper()
	files, err := dir.Open(folder)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, files.Close()) })
	return files
}

func TestFiles(t *testing.T) { statetest.Files(t, place) }

// A place that is not there may be a disk that is not mounted.
func TestNoFolder(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "nas")
	_, err := dir.Open(missing)
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
	assert.Contains(t, fault.Of(err).Hint, "mount")
	assert.NoDirExists(t, missing)
}

func TestReadOnly(t *testing.T) {
	folder := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", folder, "tmpfs", unix.MS_RDONLY, ""))
	t.Cleanup(func() { assert.NoError(t, unix.Unmount(folder, unix.MNT_DETACH)) })
	err := open(t, folder).Put(t.Context(), "a/x", strings.NewReader("x"))
	assert.Equal(t, fault.Denied, fault.CodeOf(err))
}

func TestOnlyTheUserCanRead(t *testing.T) {
	folder := t.TempDir()
	require.NoError(t, open(t, folder).Put(t.Context(), "a/x", strings.NewReader("x")))
	for name, mode := range map[string]os.FileMode{"a": 0o700, "a/x": 0o600} {
		info, err := os.Stat(filepath.Join(folder, name))
		require.NoError(t, err)
		assert.Equal(t, mode, info.Mode().Perm(), name)
	}
}

// Leftovers have no lock. Whoever is killed loses his.
func TestLeftoversAreSwept(t *testing.T) {
	folder := t.TempDir()
	files := open(t, folder)
	require.NoError(t, os.Mkdir(filepath.Join(folder, "a"), 0o700))
	dead, live := filepath.Join(folder, "a", ".new-dead"), filepath.Join(folder, "a", ".new-live")
	require.NoError(t, os.WriteFile(dead, nil, 0o600))
	writer, err := os.Create(live)
	require.NoError(t, err)
	defer writer.Close()
	require.NoError(t, unix.Flock(int(writer.Fd()), unix.LOCK_EX))
	require.NoError(t, files.Put(t.Context(), "a/x", strings.NewReader("x")))
	assert.NoFileExists(t, dead)
	assert.FileExists(t, live)
}

// Others can write where bundles are kept, and lay traps.
func TestNothingLeadsOutside(t *testing.T) {
	folder, outside := t.TempDir(), t.TempDir()
	files := open(t, folder)
	require.NoError(t, os.WriteFile(filepath.Join(outside, "x"), []byte("secret"), 0o600))
	require.NoError(t, os.Symlink(outside, filepath.Join(folder, "a")))
	require.NoError(t, os.Mkdir(filepath.Join(folder, "b"), 0o700))
	require.NoError(t, os.Symlink(filepath.Join(outside, "x"), filepath.Join(folder, "b", "x")))
	require.NoError(t, unix.Mkfifo(filepath.Join(folder, "b", "pipe"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "loose"), nil, 0o600))

	assert.Error(t, files.Put(t.Context(), "a/y", bytes.NewReader(nil)))
	assert.Error(t, files.Remove(t.Context(), "a/x"))
	for _, name := range []string{"a/x", "b/x", "b/pipe"} {
		_, err := files.Open(t.Context(), name)
		assert.Error(t, err, name)
	}
	found, err := files.List(t.Context(), "")
	require.NoError(t, err)
	assert.Empty(t, found)
	entries, err := os.ReadDir(outside)
	require.NoError(t, err)
	assert.Len(t, entries, 1)
}

// Where a rename cannot keep from writing over, a second name can.
func TestFileSystemWithoutSuchARename(t *testing.T) {
	dir.RenameWith(t, unix.EINVAL)
	folder := t.TempDir()
	files := open(t, folder)
	require.NoError(t, files.Put(t.Context(), "a/x", strings.NewReader("x")))
	taken := func() { require.NoError(t, os.WriteFile(filepath.Join(folder, "a", "y"), []byte("first"), 0o600)) }
	err := files.Put(t.Context(), "a/y", io.MultiReader(strings.NewReader("second"), then(taken)))
	assert.Equal(t, fault.Conflict, fault.CodeOf(err))
	entries, err := os.ReadDir(filepath.Join(folder, "a"))
	require.NoError(t, err)
	assert.Len(t, entries, 2)
	content, err := os.ReadFile(filepath.Join(folder, "a", "y"))
	require.NoError(t, err)
	assert.Equal(t, "first", string(content))
}

type then func()

func (f then) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}

func TestStore(t *testing.T) {
	statetest.Store(t, func(t *testing.T) statetest.Ground {
		folder := t.TempDir()
		return statetest.Ground{
			Open: func(context.Context) (state.Store, error) {
				files, err := dir.Open(folder)
				return state.NewStore(files), err
			},
			Flips: 30,
			Cuts:  30,
			Data:  func(t *testing.T) map[string]int64 { return statetest.FilesBelow(t, folder) },
		}
	})
}

// A folder that is gone in the midst, with all that is in it, is an error, and is not
// made again: it may have been a disk.
func TestFolderVanishes(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "nas")
	require.NoError(t, os.Mkdir(folder, 0o700))
	files := open(t, folder)
	gone := func() { require.NoError(t, os.RemoveAll(folder)) }
	err := files.Put(t.Context(), "a/x", io.MultiReader(bytes.NewReader(statetest.Noise(1<<20)), then(gone)))
	require.Error(t, err)
	assert.NotEqual(t, fault.Internal, fault.CodeOf(err), "%v", err)
	assert.NoDirExists(t, folder)
	require.NoError(t, os.Mkdir(folder, 0o700))
	again := open(t, folder)
	found, err := again.List(t.Context(), "")
	require.NoError(t, err)
	assert.Empty(t, found)
	require.NoError(t, again.Put(t.Context(), "a/x", strings.NewReader("x")))
}

// A bundle that was renamed is not the one that is asked for.
func TestRenamedBundle(t *testing.T) {
	folder := t.TempDir()
	store := state.NewStore(open(t, folder))
	order := statetest.Save(t, store, "wiki")
	other := state.NewID(order.Created)
	require.NoError(t, os.Rename(filepath.Join(folder, "wiki", order.ID+".bundle"), filepath.Join(folder, "wiki", other+".bundle")))
	_, err := store.Open(t.Context(), "wiki", other, bundle.Trust{})
	assert.Equal(t, fault.BundleIncompatible, fault.CodeOf(err))
}
