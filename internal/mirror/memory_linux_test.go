package mirror_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What is remembered between passes is little, also of a file that is huge and
// sparse.
func TestMemoryBetweenPasses(t *testing.T) {
	const files = 4000
	tree := t.TempDir()
	for i := range files {
		path := filepath.Join(tree, fmt.Sprint("d", i%20), fmt.Sprintf("a-name-as-files-have-%d", i))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
	}
	require.NoError(t, os.WriteFile(tree+"/huge", []byte("x"), 0o600))
	require.NoError(t, os.Truncate(tree+"/huge", 1<<43))
	p := connect(t, tree)
	p.live(t)
	p.final(t)
	with := heap()
	p.Forget()
	perEntry := (with - heap()) / files
	assert.Less(t, perEntry, int64(200+32))
	assert.Greater(t, perEntry, int64(100), "nothing was measured")
}

func heap() int64 {
	runtime.GC()
	runtime.GC() // what pools kept for one more
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
