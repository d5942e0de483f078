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

func root(t *testing.T, path string) *os.Root {
	t.Helper()
	r, err := os.OpenRoot(path)
	require.NoError(t, err)
	t.Cleanup(func() { r.Close() })
	return r
}

// pair is a source and the sink that it sends to.
type pair struct {
	*mirror.Source
	sink  *mirror.Sink
	place string // of the copy
	end   chan error
}

// connect copies a folder to a place that is not there yet.
func connect(t *testing.T, tree string, exclude ...string) *pair {
	t.Helper()
	return connectTo(t, tree, filepath.Join(t.TempDir(), "copy"), exclude...)
}

func connectTo(t *testing.T, tree, place string, exclude ...string) *pair {
	t.Helper()
	here, there := net.Pipe()
	source, err := mirror.NewSource(here, mirror.Tree{Root: root(t, tree), Exclude: exclude})
	require.NoError(t, err)
	sink, err := mirror.NewSink(there, mirror.Place{Root: root(t, filepath.Dir(place)), Name: filepath.Base(place), Privileged: true})
	require.NoError(t, err)
	p := &pair{source, sink, place, make(chan error, 1)}
	p.serve(t)
	t.Cleanup(func() {
		_ = source.Close()
		<-p.end
		_ = sink.Close()
	})
	return p
}

func (p *pair) serve(t *testing.T) {
	ctx := t.Context()
	go func() {
		p.end <- p.sink.Serve(ctx)
		close(p.end)
	}()
}

// live and final do a pass that must succeed.
func (p *pair) live(t *testing.T) *mirror.Report  { t.Helper(); return p.must(t, false) }
func (p *pair) final(t *testing.T) *mirror.Report { t.Helper(); return p.must(t, true) }

func (p *pair) must(t *testing.T, final bool) *mirror.Report {
	t.Helper()
	report, err := p.Pass(t.Context(), final)
	require.NoError(t, err)
	return report
}

// same holds a copy against its tree. What is a hole and what zeros depends on the
// file system, and on some on what was there before.
func same(t *testing.T, tree, copy string) {
	t.Helper()
	want, got := treetest.Read(t, tree), treetest.Read(t, copy)
	const ext4 = 0xef53
	holes := kindOf(t, tree) == ext4 && kindOf(t, copy) == ext4
	for path, a := range want {
		if !holes {
			there := got[path]
			a.Holes, there.Holes = "", ""
			got[path] = there
		}
		assert.Equal(t, a, got[path], "%q", path)
		delete(got, path)
	}
	require.Empty(t, got)
	require.False(t, t.Failed())
}

func kindOf(t *testing.T, path string) int64 {
	var stat unix.Statfs_t
	require.NoError(t, unix.Statfs(path, &stat))
	return int64(stat.Type)
}

func TestEverythingIsCopied(t *testing.T) {
	tree := t.TempDir()
	treetest.Nasty(t, tree)
	p := connect(t, tree)
	report := p.live(t)
	same(t, tree, p.place)
	assert.Equal(t, int64(len(treetest.Read(t, tree))), report.Entries)
	assert.Less(t, report.Read, int64(4<<20), "holes are not read")

	treetest.Beyond(t, tree)
	treetest.Times(t, tree, 1_300_000_000, 20)
	report = p.final(t)
	assert.Equal(t, int64(3), report.Skipped)
	assert.Equal(t, []mirror.Skipped{{"fifo", "fifo"}, {"null", "device"}, {"socket", "socket"}}, report.Noted)
	for _, path := range []string{"fifo", "null", "socket"} {
		require.NoError(t, os.Remove(filepath.Join(tree, path)))
	}
	treetest.Times(t, tree, 1_300_000_000, 20)
	same(t, tree, p.place)
	require.NoError(t, p.Close())
	require.NoError(t, <-p.end)
}

// later has the source look at the clock of the future, where all that is there
// now is old.
func (p *pair) later(by time.Duration) { p.SetClock(by) }

func TestNothingChangedSendsNothing(t *testing.T) {
	tree := t.TempDir()
	treetest.Nasty(t, tree)
	p := connect(t, tree)
	p.later(time.Hour)
	first := p.live(t)
	assert.Positive(t, first.Read)
	for _, final := range []bool{false, true, false, true} {
		report := p.must(t, final)
		assert.Zero(t, report.Sent)
		assert.Zero(t, report.Read)
		assert.Equal(t, first.Entries, report.Entries)
	}
	same(t, tree, p.place)
}
