package nar_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/command"
	"homelab/internal/nar"
)

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
		file := nar.File{Path: name, Executable: info.Mode()&0o100 != 0, Folder: entry.IsDir(), Read: func() ([]byte, error) { return os.ReadFile(path) }}
		if file.Link = info.Mode().Type() == fs.ModeSymlink; file.Link {
			file.Read = func() ([]byte, error) {
				target, err := os.Readlink(path)
				return []byte(target), err
			}
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
	}
}

// An empty folder may turn out to have something in it.
func TestFolderThatIsNotEmpty(t *testing.T) {
	t.Parallel()
	file := nar.File{Path: "a/b", Read: func() ([]byte, error) { return nil, nil }}
	want, err := nar.Hash([]nar.File{file})
	require.NoError(t, err)
	got, err := nar.Hash([]nar.File{{Path: "a", Folder: true}, file})
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	_, err := nar.Hash([]nar.File{{Path: "a/b", Read: func() ([]byte, error) { return nil, broken }}})
	assert.ErrorIs(t, err, broken)
}
