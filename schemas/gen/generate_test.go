package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const folder = ".."

func TestCommittedSchemasAreTheGeneratedOnes(t *testing.T) {
	assert.Equal(t, generated(t), schemasIn(t, folder), "run make schemas and commit what it writes")
}

func TestWriteReplacesWhatIsThere(t *testing.T) {
	folder := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(folder, "tools"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "tools", "gone.input.json"), []byte("{}"), 0o644))
	require.NoError(t, write(folder))
	assert.Equal(t, generated(t), schemasIn(t, folder))
}

func generated(t *testing.T) map[string]string {
	t.Helper()
	files, err := generate()
	require.NoError(t, err)
	texts := map[string]string{}
	for name, data := range files {
		texts[name] = string(data)
	}
	return texts
}

func schemasIn(t *testing.T, folder string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := fs.WalkDir(os.DirFS(folder), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".json" {
			return err
		}
		data, err := os.ReadFile(filepath.Join(folder, path))
		found[path] = string(data)
		return err
	})
	require.NoError(t, err)
	return found
}
