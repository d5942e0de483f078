// Package cache keeps what can be computed again in files, for the next process.
//
// A cache that cannot be read or written costs time, not truth: its errors are
// dropped, and whoever reads from it must be able to tell whether what is there
// is still so.
package cache

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"

	"homelab/internal/durable"
)

// Dir is a folder of cached values. The zero Dir keeps nothing.
type Dir struct {
	Path string
	Most int // values; the ones written longest ago go first
}

func (d Dir) file(key string) string { return filepath.Join(d.Path, key+".json") }

// Get finds a value. The key must be fit for the name of a file.
func (d Dir) Get(key string) ([]byte, bool) {
	if d.Path == "" {
		return nil, false
	}
	value, err := os.ReadFile(d.file(key))
	return value, err == nil
}

// Put keeps a value. Readers see the whole of it, or the one before.
func (d Dir) Put(key string, value []byte) {
	if d.Path == "" || os.MkdirAll(d.Path, 0o700) != nil {
		return
	}
	if durable.WriteFile(d.file(key), value) != nil {
		return
	}
	d.prune()
}

// prune removes what is beyond Most, with what killed processes left behind.
func (d Dir) prune() {
	entries, err := os.ReadDir(d.Path)
	if err != nil || len(entries) <= d.Most {
		return
	}
	type aged struct {
		name string
		age  int64
	}
	var files []aged
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil {
			files = append(files, aged{entry.Name(), info.ModTime().UnixNano()})
		}
	}
	slices.SortFunc(files, func(a, b aged) int { return cmp.Compare(b.age, a.age) })
	for _, old := range files[min(len(files), d.Most):] {
		_ = os.Remove(filepath.Join(d.Path, old.name))
	}
}
