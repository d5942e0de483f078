package cache_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/cache"
)

func TestKeepsTheNewest(t *testing.T) {
	t.Parallel()
	d := cache.Dir{Path: filepath.Join(t.TempDir(), "a", "b"), Most: 3}
	_, ok := d.Get("0")
	assert.False(t, ok)
	for i := range 5 {
		key := fmt.Sprint(i)
		d.Put(key, []byte(key))
		value, ok := d.Get(key)
		assert.True(t, ok)
		assert.Equal(t, key, string(value))
		old := time.Now().Add(time.Duration(i-10) * time.Minute)
		require.NoError(t, os.Chtimes(filepath.Join(d.Path, key+".json"), old, old))
	}
	for i := range 5 {
		_, ok := d.Get(fmt.Sprint(i))
		assert.Equal(t, i >= 2, ok, i)
	}
	entries, err := os.ReadDir(d.Path)
	require.NoError(t, err)
	assert.Len(t, entries, 3, "nothing half written stays")
}

func TestCannotBeWritten(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, d := range []cache.Dir{{}, {Path: file, Most: 1}, {Path: filepath.Join(file, "below"), Most: 1}} {
		d.Put("key", []byte("value"))
		_, ok := d.Get("key")
		assert.False(t, ok)
	}
}
