package gitrepo

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Any difference in the stat data is a doubt, and so is equality when the file
// was written in the second of the index's own time.
func TestUnchangedOnlyBeyondDoubt(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(path, []byte("x"), 0o644))
	var st unix.Stat_t
	require.NoError(t, unix.Stat(path, &st))
	stamp := stampOf(&st)
	entry := func() *indexEntry {
		e := &indexEntry{
			mtime: [2]uint32{uint32(stamp.Mtime[0]), uint32(stamp.Mtime[1])},
			ctime: [2]uint32{uint32(stamp.Ctime[0]), uint32(stamp.Ctime[1])},
			ino:   uint32(stamp.Inode), uid: st.Uid, gid: st.Gid, size: uint32(stamp.Size),
		}
		e.mode = modeOf(&st)
		return e
	}
	later := stamp.Mtime[0] + 1
	assert.True(t, entry().unchanged(&st, later))
	assert.False(t, entry().unchanged(&st, stamp.Mtime[0]), "the same second")
	assert.False(t, entry().unchanged(&st, stamp.Mtime[0]-1), "the index is older")
	for name, change := range map[string]func(e *indexEntry){
		"mode": func(e *indexEntry) { e.mode ^= 0o111 }, "size": func(e *indexEntry) { e.size++ },
		"inode": func(e *indexEntry) { e.ino++ }, "owner": func(e *indexEntry) { e.uid++ }, "group": func(e *indexEntry) { e.gid++ },
		"time": func(e *indexEntry) { e.mtime[0]++ }, "nanoseconds": func(e *indexEntry) { e.mtime[1] ^= 3 },
		"time of change": func(e *indexEntry) { e.ctime[1] ^= 3 },
	} {
		e := entry()
		change(e)
		assert.False(t, e.unchanged(&st, later), name)
	}
	coarse := entry()
	coarse.mtime[1], coarse.ctime[1] = 0, 0
	assert.True(t, coarse.unchanged(&st, later), "an index without nanoseconds")

	require.NoError(t, os.Truncate(path, 0))
	require.NoError(t, unix.Stat(path, &st))
	stamp = stampOf(&st)
	assert.False(t, entry().unchanged(&st, stamp.Mtime[0]+1), "a size that git did not believe")
	empty := entry()
	empty.hash = emptyBlob
	assert.True(t, empty.unchanged(&st, stamp.Mtime[0]+1), "an empty file")
}
