package mirror_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"homelab/internal/mirror"
	"homelab/internal/tree/treetest"
)

// kept copies a tree into a place that has a memory: passes, then it is kept.
func kept(t *testing.T, tree, place string, by time.Duration, passes int, exclude ...string) *mirror.Report {
	t.Helper()
	here, there := net.Pipe()
	source, err := mirror.NewSource(here, mirror.Tree{Root: root(t, tree), Exclude: exclude})
	require.NoError(t, err)
	source.SetClock(by)
	sink, err := mirror.NewSink(there, mirror.Place{Root: root(t, filepath.Dir(place)), Name: filepath.Base(place), Memory: "memory", Privileged: true})
	require.NoError(t, err)
	end, ctx := make(chan error, 1), t.Context()
	go func() { end <- source.Serve(ctx) }()
	var first *mirror.Report
	for i := range passes {
		report, err := sink.Pass(ctx, i > 0 && i == passes-1)
		require.NoError(t, err)
		if i == 0 {
			first = report
		}
	}
	require.NoError(t, sink.Keep(ctx))
	require.NoError(t, sink.Close())
	require.NoError(t, <-end)
	return first
}

// A copy that was kept is brought up to date by another source and another sink.
func TestACopyIsKept(t *testing.T) {
	tree, place := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	treetest.Nasty(t, tree)
	first := kept(t, tree, place, time.Hour, 2)
	same(t, tree, place)
	before := treetest.Read(t, place)
	again := kept(t, tree, place, time.Hour, 1)
	assert.Zero(t, again.Read)
	assert.Zero(t, again.Sent)
	assert.Equal(t, first.Entries, again.Entries)
	assert.Equal(t, before, treetest.Read(t, place))

	require.NoError(t, os.WriteFile(tree+"/plain.txt", []byte("another"), 0o600))
	require.NoError(t, os.RemoveAll(tree+"/modes"))
	changed := kept(t, tree, place, time.Hour, 2)
	assert.Less(t, changed.Sent, first.Sent/10)
	treetest.Times(t, tree, 1_300_000_000, 20)
	kept(t, tree, place, time.Hour, 2)
	same(t, tree, place)
}

// What is written through a memory map between two captures need not show in the times
// of its file: it is in the copy all the same.
func TestAMemoryMapIsWrittenToBetweenCaptures(t *testing.T) {
	for name, tree := range places(t) {
		t.Run(name, func(t *testing.T) {
			path, place := filepath.Join(tree, "mapped"), filepath.Join(t.TempDir(), "copy")
			require.NoError(t, os.WriteFile(path, make([]byte, 3<<20), 0o600))
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			require.NoError(t, err)
			defer f.Close()
			data, err := unix.Mmap(int(f.Fd()), 0, 3<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			require.NoError(t, err)
			defer func() { require.NoError(t, unix.Munmap(data)) }()
			for i := range 4 {
				data[1<<20]++ // the page is dirty when the copy is kept
				kept(t, tree, place, time.Duration(i+1)*time.Hour, 2)
				same(t, tree, place)
				data[2<<20]++
				kept(t, tree, place, time.Duration(i+1)*time.Hour, 1)
				same(t, tree, place)
			}
		})
	}
}

// What cannot be taken up is begun anew.
func TestACopyThatIsNotTakenUp(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, place string) (by time.Duration, exclude []string){
		"the clock went back": func(t *testing.T, place string) (time.Duration, []string) { return 0, nil },
		"no memory": func(t *testing.T, place string) (time.Duration, []string) {
			require.NoError(t, os.Remove(filepath.Dir(place)+"/memory"))
			return time.Hour, nil
		},
		"no copy": func(t *testing.T, place string) (time.Duration, []string) {
			require.NoError(t, os.RemoveAll(place))
			return time.Hour, nil
		},
		"cut short": func(t *testing.T, place string) (time.Duration, []string) {
			text, err := os.ReadFile(filepath.Dir(place) + "/memory")
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Dir(place)+"/memory", text[:len(text)-1], 0o600))
			return time.Hour, nil
		},
		"another boot": func(t *testing.T, place string) (time.Duration, []string) {
			text, err := os.ReadFile(filepath.Dir(place) + "/memory")
			require.NoError(t, err)
			text[10] ^= 1
			require.NoError(t, os.WriteFile(filepath.Dir(place)+"/memory", text, 0o600))
			return time.Hour, nil
		},
		"another boot of the source": func(t *testing.T, place string) (time.Duration, []string) {
			text, err := os.ReadFile(filepath.Dir(place) + "/memory")
			require.NoError(t, err)
			text[50] ^= 1
			require.NoError(t, os.WriteFile(filepath.Dir(place)+"/memory", text, 0o600))
			return time.Hour, nil
		},
		"something else is left out": func(t *testing.T, place string) (time.Duration, []string) {
			return time.Hour, []string{"none"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			tree, place := t.TempDir(), filepath.Join(t.TempDir(), "copy")
			require.NoError(t, os.MkdirAll(tree+"/a/b", 0o700))
			require.NoError(t, os.WriteFile(tree+"/a/f", []byte("hello"), 0o600))
			kept(t, tree, place, time.Hour, 2)
			by, exclude := spoil(t, place)
			assert.Equal(t, int64(5), kept(t, tree, place, by, 2, exclude...).Read)
			same(t, tree, place)
		})
	}
}
