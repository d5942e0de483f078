package mirror_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"homelab/internal/fault"
	"homelab/internal/mirror"
	"homelab/internal/tree/treetest"
)

// The sink may be who asks for passes; the source then serves.
func TestTheSinkAsksForPasses(t *testing.T) {
	tree, into := t.TempDir(), t.TempDir()
	treetest.Nasty(t, tree)
	require.NoError(t, os.WriteFile(tree+"/cache", []byte("left out"), 0o600))
	here, there := net.Pipe()
	source, err := mirror.NewSource(here, mirror.Tree{Root: root(t, tree), Exclude: []string{"cache"}})
	require.NoError(t, err)
	sink, err := mirror.NewSink(there, mirror.Place{Root: root(t, into), Name: ".", Privileged: true})
	require.NoError(t, err)
	end, ctx := make(chan error, 1), t.Context()
	go func() { end <- source.Serve(ctx) }()
	first, err := sink.Pass(t.Context(), false)
	require.NoError(t, err)
	assert.Positive(t, first.Sent)
	require.NoError(t, os.WriteFile(tree+"/plain.txt", []byte("another"), 0o600))
	report, err := sink.Pass(t.Context(), true)
	require.NoError(t, err)
	assert.Less(t, report.Sent, first.Sent/10)
	assert.True(t, report.Final)
	require.NoError(t, sink.Sync())
	require.NoError(t, sink.Close())
	require.NoError(t, <-end)
	require.NoError(t, os.Remove(tree+"/cache"))
	treetest.Times(t, tree, 1_300_000_000, 20)
	treetest.Times(t, into, 1_300_000_000, 20)
	same(t, tree, into)
}

// A failure of the source reaches who asked.
func TestTheSinkHearsWhyThereIsNoCopy(t *testing.T) {
	here, there := net.Pipe()
	source, err := mirror.NewSource(here, mirror.Tree{Root: root(t, t.TempDir()), Name: "gone"})
	require.NoError(t, err)
	sink, err := mirror.NewSink(there, mirror.Place{Root: root(t, t.TempDir()), Name: "copy"})
	require.NoError(t, err)
	end, ctx := make(chan error, 1), t.Context()
	go func() { end <- source.Serve(ctx) }()
	_, err = sink.Pass(t.Context(), false)
	assert.Equal(t, fault.NotFound, fault.CodeOf(err), "%v", err)
	assert.Equal(t, fault.NotFound, fault.CodeOf(<-end))
}

// A file can be copied as well as a folder, also when it is replaced.
func TestAFileIsATree(t *testing.T) {
	tree, into := t.TempDir(), t.TempDir()
	write := func(text string) { require.NoError(t, os.WriteFile(tree+"/f", []byte(text), 0o640)) }
	write("one")
	here, there := net.Pipe()
	source, err := mirror.NewSource(here, mirror.Tree{Root: root(t, tree), Name: "f"})
	require.NoError(t, err)
	sink, err := mirror.NewSink(there, mirror.Place{Root: root(t, into), Name: "g"})
	require.NoError(t, err)
	p := &pair{source, sink, "", make(chan error, 1)}
	p.serve(t)
	for _, text := range []string{"one", "two and more", "3"} {
		write(text)
		p.live(t)
		got, err := os.ReadFile(into + "/g")
		require.NoError(t, err)
		assert.Equal(t, text, string(got))
		require.NoError(t, os.Remove(tree+"/f"))
	}
	require.NoError(t, source.Close())
	require.NoError(t, <-p.end)
}

func TestPrivilegesAreStripped(t *testing.T) {
	tree := t.TempDir()
	treetest.Nasty(t, tree)
	p := between(t, tree, 1<<40, nil)
	assert.Equal(t, int64(3), p.live(t).Stripped)
	got := treetest.Read(t, p.place)
	assert.Equal(t, uint32(unix.S_IFREG|0o755), got["modes/setuid"].Mode)
	assert.Equal(t, uint32(unix.S_IFREG|0o755), got["modes/setgid"].Mode)
	assert.NotContains(t, got["xattrs"].Xattrs, "security.capability")
}

// What a default ACL of the place hands on is no part of the copy.
func TestThePlaceHandsOnNothing(t *testing.T) {
	tree, into := t.TempDir(), t.TempDir()
	require.NoError(t, os.MkdirAll(tree+"/a/b", 0o750))
	require.NoError(t, os.WriteFile(tree+"/a/f", nil, 0o640))
	require.NoError(t, unix.Setxattr(into, "system.posix_acl_default", treetest.ACL(99), 0))
	p := connectTo(t, tree, into+"/copy")
	p.live(t)
	same(t, tree, p.place)
}

// recorded is a stream of which the source's part is there already.
type recorded struct {
	io.Reader
	io.Writer
}

func (recorded) Close() error { return nil }

// record is what a source sends for a tree in two passes.
func record(tb testing.TB, tree string) []byte {
	var sent bytes.Buffer
	here, there := net.Pipe()
	r, err := os.OpenRoot(tree)
	require.NoError(tb, err)
	defer r.Close()
	source, err := mirror.NewSource(here, mirror.Tree{Root: r})
	require.NoError(tb, err)
	into, err := os.OpenRoot(tb.TempDir())
	require.NoError(tb, err)
	defer into.Close()
	sink, err := mirror.NewSink(struct {
		io.Reader
		io.WriteCloser
	}{io.TeeReader(there, &sent), there}, mirror.Place{Root: into, Name: "copy"})
	require.NoError(tb, err)
	end := make(chan error, 1)
	go func() { end <- sink.Serve(context.Background()) }()
	for range 2 {
		_, err = source.Pass(context.Background(), false)
		require.NoError(tb, err)
		require.NoError(tb, os.Remove(tree+"/f"))
		require.NoError(tb, os.Symlink("x", tree+"/f"))
	}
	require.NoError(tb, source.Close())
	require.NoError(tb, <-end)
	require.NoError(tb, sink.Close())
	return sent.Bytes()
}

// Whatever comes, the sink ends, and nothing is made beside its place.
func FuzzSink(f *testing.F) {
	tree := f.TempDir()
	require.NoError(f, os.WriteFile(tree+"/f", []byte("hello"), 0o600))
	require.NoError(f, os.Link(tree+"/f", tree+"/g"))
	require.NoError(f, os.MkdirAll(tree+"/d/e", 0o700))
	require.NoError(f, os.WriteFile(tree+"/d/sparse", nil, 0o600))
	require.NoError(f, os.Truncate(tree+"/d/sparse", 1<<20))
	require.NoError(f, unix.Setxattr(tree+"/d", "user.x", []byte("y"), 0))
	good := record(f, tree)
	f.Add(good)
	f.Add(good[:len(good)/2])
	for _, c := range [][2]string{{"\x01e", "\x02.."}, {"\x01d", "\x01/"}, {"f", ".."}, {"sparse", "../../"}, {"user.x", "user/x"}} {
		f.Add(bytes.ReplaceAll(good, []byte(c[0]), []byte(c[1])))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		outer := t.TempDir()
		require.NoError(t, os.Mkdir(outer+"/in", 0o700))
		require.NoError(t, os.WriteFile(outer+"/in/beside", []byte("untouched"), 0o600))
		r, err := os.OpenRoot(filepath.Join(outer, "in"))
		require.NoError(t, err)
		defer r.Close()
		sink, err := mirror.NewSink(recorded{bytes.NewReader(data), io.Discard}, mirror.Place{Root: r, Name: "copy"})
		require.NoError(t, err)
		_ = sink.Serve(t.Context())
		require.NoError(t, sink.Close())
		assert.Equal(t, []string{"in"}, names(t, outer))
		assert.Subset(t, []string{"beside", "copy"}, names(t, outer+"/in"))
		beside, err := os.ReadFile(outer + "/in/beside")
		require.NoError(t, err)
		assert.Equal(t, "untouched", string(beside))
	})
}

func names(t *testing.T, folder string) []string {
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	all := []string{}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// What a source would never send is refused, each with nothing made outside.
func TestHostileStreams(t *testing.T) {
	for name, forged := range map[string][]mirror.Forged{
		"up":                    {{Kind: "folder"}, {Kind: "create", Name: ".."}},
		"a path":                {{Kind: "folder"}, {Kind: "create", Name: "a/b"}},
		"absolute":              {{Kind: "folder"}, {Kind: "folder", Name: "/tmp"}},
		"through a link":        {{Kind: "folder"}, {Kind: "symlink", Name: "l", Text: "/etc"}, {Kind: "enter", Name: "l"}},
		"into a link":           {{Kind: "folder"}, {Kind: "symlink", Name: "l", Text: "/etc/passwd"}, {Kind: "open", Name: "l"}},
		"over a link":           {{Kind: "folder"}, {Kind: "symlink", Name: "l", Text: "/tmp/x"}, {Kind: "create", Name: "l"}},
		"another name of above": {{Kind: "folder"}, {Kind: "link", Name: "l", Text: "../beside"}},
		"a name through a link": {{Kind: "folder"}, {Kind: "symlink", Name: "l", Text: "/etc"}, {Kind: "link", Name: "p", Text: "l/passwd"}},
		"a name of a link":      {{Kind: "folder"}, {Kind: "symlink", Name: "l", Text: "/etc/passwd"}, {Kind: "link", Name: "p", Text: "l"}},
		"twice":                 {{Kind: "folder"}, {Kind: "folder", Name: "a"}, {Kind: "leave"}, {Kind: "folder", Name: "a"}},
		"another tree":          {{Kind: "folder", Name: "other"}},
		"no tree any more":      {{Kind: "remove"}},
		"a tree that is a link": {{Kind: "symlink", Text: "/etc"}},
		"up and away":           {{Kind: "folder"}, {Kind: "leave"}, {Kind: "leave"}},
		"a file without end":    {{Kind: "create"}, {Kind: "done"}},
		"a folder in a file":    {{Kind: "folder"}, {Kind: "create", Name: "f"}, {Kind: "folder", Name: "d"}},
		"device attributes":     {{Kind: "folder"}, {Kind: "leave", Text: "trusted.overlay.redirect"}},
	} {
		into := t.TempDir()
		require.NoError(t, os.WriteFile(into+"/beside", []byte("untouched"), 0o600))
		sink, err := mirror.NewSink(recorded{bytes.NewReader(mirror.Forge(forged)), io.Discard}, mirror.Place{Root: root(t, into), Name: "copy"})
		require.NoError(t, err)
		err = sink.Serve(t.Context())
		assert.Contains(t, []fault.Code{fault.Precondition, fault.Conflict}, fault.CodeOf(err), "%s: %v", name, err)
		assert.NotContains(t, fault.Of(err).Message, "cut", name)
		assert.Subset(t, []string{"beside", "copy"}, names(t, into))
		require.NoError(t, sink.Close())
	}
}
