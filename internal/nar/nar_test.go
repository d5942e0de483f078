package nar_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/command"
	"homelab/internal/nar"
)

// holding is a file with a content.
func holding(f nar.File, content string) nar.File {
	f.Size, f.Open = int64(len(content)), func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }
	return f
}

// load is a tree on disk.
func load(t *testing.T, root string) []nar.File {
	t.Helper()
	var files []nar.File
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if below, err := os.ReadDir(path); err != nil || len(below) > 0 {
				return err
			}
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, _ := strings.CutPrefix(strings.TrimPrefix(path, root), "/")
		file := nar.File{
			Path: name, Executable: info.Mode()&0o100 != 0, Folder: entry.IsDir(), Size: info.Size(),
			Open: func() (io.ReadCloser, error) { return os.Open(path) },
		}
		if file.Link = info.Mode().Type() == fs.ModeSymlink; file.Link {
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			file = holding(file, target)
		}
		files = append(files, file)
		return nil
	}))
	return files
}

// What Nix says is the truth.
func TestLikeNix(t *testing.T) {
	t.Parallel()
	root := filepath.Join(t.TempDir(), "tree")
	write := func(name, content string, mode os.FileMode) {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), mode))
	}
	// In the order of whole paths a.b comes before a/b, in that of names after it.
	write("a/b", "8 bytes!", 0o644)
	write("a.b", "", 0o644)
	write("a-b", strings.Repeat("x", 70_000), 0o644)
	write("bin/run", "#!/bin/sh\n", 0o755)
	write("umlaut/ü\n", "odd", 0o644)
	require.NoError(t, os.Symlink("../a/b", filepath.Join(root, "bin/link")))
	require.NoError(t, os.MkdirAll(filepath.Join(root, "vendor/empty"), 0o755))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(root, "dangling")))
	for _, path := range []string{"", "a", "a.b", "a-b", "bin", "bin/run", "umlaut", "vendor", "vendor/empty"} {
		path = filepath.Join(root, path)
		result, err := command.Run(t.Context(), command.Cmd{Name: "nix", Args: []string{"--extra-experimental-features", "nix-command", "hash", "path", path}})
		require.NoError(t, err)
		require.Zero(t, result.Exit, "%s", result.Stderr)
		got, err := nar.Hash(load(t, path))
		require.NoError(t, err)
		assert.Equal(t, strings.TrimSpace(string(result.Stdout)), got, path)

		dumped, err := command.Run(t.Context(), command.Cmd{Name: "nix-store", Args: []string{"--dump", path}})
		require.NoError(t, err)
		assert.EqualValues(t, len(dumped.Stdout), nar.Size(load(t, path)), path)
	}
}

// An empty folder may turn out to have something in it.
func TestFolderThatIsNotEmpty(t *testing.T) {
	t.Parallel()
	file := holding(nar.File{Path: "a/b"}, "b")
	want, err := nar.Hash([]nar.File{file})
	require.NoError(t, err)
	got, err := nar.Hash([]nar.File{{Path: "a", Folder: true}, file})
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	_, err := nar.Hash([]nar.File{{Path: "a/b", Open: func() (io.ReadCloser, error) { return nil, broken }}})
	assert.ErrorIs(t, err, broken)
	for _, size := range []int64{3, 5} {
		changed := holding(nar.File{Path: "a/b"}, "four")
		changed.Size = size
		_, err = nar.Hash([]nar.File{changed})
		assert.ErrorContains(t, err, `"a/b" changed while it was read`)
	}
}

// zeros is a large content.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// However large a file is, it is never in memory as a whole.
func TestHashStreams(t *testing.T) {
	const size = 64 << 20
	file := nar.File{Size: size, Open: func() (io.ReadCloser, error) { return io.NopCloser(io.LimitReader(zeros{}, size)), nil }}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := nar.Hash([]nar.File{file})
	require.NoError(t, err)
	runtime.ReadMemStats(&after)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
}
