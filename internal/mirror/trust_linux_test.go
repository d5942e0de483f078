package mirror_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// What is written through a memory map gets its time late, and only once until the
// page is written to the disk: a copy that trusts times loses it.
func TestWritesThroughAMemoryMapAreCopied(t *testing.T) {
	for name, tree := range places(t) {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(tree, "mapped")
			require.NoError(t, os.WriteFile(path, make([]byte, 3<<20), 0o600))
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			require.NoError(t, err)
			defer f.Close()
			data, err := unix.Mmap(int(f.Fd()), 0, 3<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			require.NoError(t, err)
			defer func() { require.NoError(t, unix.Munmap(data)) }()
			data[1<<20] = 1

			p := connect(t, tree)
			p.later(time.Hour) // the times that the file has are old
			for range 4 {
				p.live(t)
				same(t, tree, p.place)
				data[1<<20]++
				data[2<<20]++
			}
			p.final(t)
			same(t, tree, p.place)
		})
	}
}

// A file is read again until its times are older than the sync before it was read.
func TestYoungFilesAreReadAgain(t *testing.T) {
	tree := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(tree, "f"), []byte("hello"), 0o600))
	p := connect(t, tree)
	for range 3 {
		report := p.live(t)
		assert.Equal(t, int64(5), report.Read)
		assert.Equal(t, int64(5), report.Suspect)
	}
	p.later(time.Minute)
	assert.Equal(t, int64(5), p.final(t).Read)
	assert.Equal(t, int64(5), p.final(t).Read, "a final pass does not sync, so the last live one counts")
	assert.Equal(t, int64(5), p.live(t).Read)
	assert.Zero(t, p.live(t).Read)
	assert.Zero(t, p.final(t).Read)
}

// When the clock went back, what is written now can have any time.
func TestAClockThatGoesBack(t *testing.T) {
	tree := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(tree, "f"), []byte("hello"), 0o600))
	p := connect(t, tree)
	p.later(time.Hour)
	p.live(t)
	require.Zero(t, p.live(t).Read)
	p.later(2 * time.Hour)
	require.Zero(t, p.live(t).Read, "forward it does no harm")
	p.later(time.Hour)
	assert.Equal(t, int64(5), p.final(t).Read)
	assert.Equal(t, int64(5), p.final(t).Read, "nothing was synced since")
	p.live(t)
	assert.Zero(t, p.final(t).Read)
}

// Where times prove nothing, everything is read in every pass.
func TestMemoryIsReadInEveryPass(t *testing.T) {
	tree := places(t)["memory"]
	require.NoError(t, os.WriteFile(filepath.Join(tree, "f"), []byte("hello"), 0o600))
	p := connect(t, tree)
	p.later(time.Hour)
	for i := range 4 {
		report := p.must(t, i%2 == 1)
		assert.Equal(t, int64(5), report.Read)
		assert.Equal(t, int64(5), report.Suspect)
	}
}

// What is mounted below the tree is of another device, of which nothing is known.
func TestWhatIsMountedBelowIsReadInEveryPass(t *testing.T) {
	tree := t.TempDir()
	below := filepath.Join(tree, "below")
	require.NoError(t, os.Mkdir(below, 0o700))
	require.NoError(t, unix.Mount("tmpfs", below, "tmpfs", 0, "size=1m"))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(below, unix.MNT_DETACH)) })
	require.NoError(t, os.WriteFile(filepath.Join(tree, "f"), []byte("hello"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(below, "g"), []byte("you"), 0o600))
	p := connect(t, tree)
	p.later(time.Hour)
	p.live(t)
	assert.Equal(t, int64(3), p.live(t).Read)
	same(t, tree, p.place)
}
