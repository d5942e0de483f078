package plan

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
)

// maxCached bounds the evaluated registries kept on disk.
const maxCached = 64

func (s *Source) cacheFile(key string) string {
	return filepath.Join(s.CacheDir, "registry", key+".json")
}

// cached finds an evaluated registry on disk.
func (s *Source) cached(key string) ([]byte, bool) {
	if s.CacheDir == "" {
		return nil, false
	}
	raw, err := os.ReadFile(s.cacheFile(key))
	return raw, err == nil
}

// keep stores an evaluated registry for later processes. A cache that cannot be
// written costs time, not truth: its errors are dropped.
func (s *Source) keep(key string, raw []byte) {
	if s.CacheDir == "" {
		return
	}
	file := s.cacheFile(key)
	dir := filepath.Dir(file)
	if os.MkdirAll(dir, 0o700) != nil {
		return
	}
	temp, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return
	}
	_, err = temp.Write(raw)
	if cmp.Or(err, temp.Close()) != nil || os.Rename(temp.Name(), file) != nil {
		_ = os.Remove(temp.Name())
		return
	}
	prune(dir)
}

// prune removes the oldest files beyond maxCached.
func prune(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) <= maxCached {
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
	for _, old := range files[min(len(files), maxCached):] {
		_ = os.Remove(filepath.Join(dir, old.name))
	}
}
