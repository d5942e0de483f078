package mirror_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"homelab/internal/fault"
	"homelab/internal/mirror"
	"homelab/internal/tree/treetest"
)

// wire is an end of a stream to which something happens after so many bytes.
type wire struct {
	net.Conn
	left   int
	happen func() error // nil error: goes on
	once   sync.Once
}

func (w *wire) Write(data []byte) (int, error) {
	if w.left -= len(data); w.left >= 0 {
		return w.Conn.Write(data)
	}
	var err error
	w.once.Do(func() { err = w.happen() })
	if err != nil {
		_, _ = w.Conn.Write(data[:max(0, w.left+len(data))])
		_ = w.Conn.Close()
		return 0, err
	}
	return w.Conn.Write(data)
}

// between has something happen in the pass that begins after the setup.
func between(t *testing.T, tree string, at int, happen func() error) *pair {
	t.Helper()
	place := filepath.Join(t.TempDir(), "copy")
	here, there := net.Pipe()
	source, err := mirror.NewSource(&wire{Conn: here, left: at, happen: happen}, mirror.Tree{Root: root(t, tree)})
	require.NoError(t, err)
	sink, err := mirror.NewSink(there, mirror.Place{Root: root(t, filepath.Dir(place)), Name: "copy"})
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

// Whatever happens in the last pass is a conflict that names it. In a live pass it
// is none, and comes again.
func TestChangesInAPass(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 256<<10)
	for name, c := range map[string]struct {
		change func(tree string) error
		names  string
	}{
		"it grows": {func(tree string) error {
			f, err := os.OpenFile(tree+"/large", os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteString("more")
				err = errors.Join(err, f.Close())
			}
			return err
		}, "large"},
		"it shrinks":           {func(tree string) error { return os.Truncate(tree+"/large", 300<<10) }, "large"},
		"it vanishes":          {func(tree string) error { return os.Remove(tree + "/large") }, "large"},
		"it is replaced":       {func(tree string) error { return os.Rename(tree+"/other", tree+"/large") }, "large"},
		"an earlier one grows": {func(tree string) error { return os.WriteFile(tree+"/a", []byte("longer"), 0o600) }, `"a"`},
		"an earlier one comes": {func(tree string) error { return os.WriteFile(tree+"/0", nil, 0o600) }, `"."`},
		"a later one vanishes": {func(tree string) error { return os.Remove(tree + "/z/last") }, ""},
		"a folder becomes a link": {func(tree string) error {
			return errors.Join(os.Rename(tree+"/z", tree+"/y"), os.Symlink("/etc", tree+"/z"))
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, final := range []bool{false, true} {
				tree := t.TempDir()
				require.NoError(t, os.WriteFile(tree+"/a", []byte("first"), 0o600))
				require.NoError(t, os.WriteFile(tree+"/large", []byte(large), 0o600))
				require.NoError(t, os.WriteFile(tree+"/other", []byte("other"), 0o600))
				require.NoError(t, os.Mkdir(tree+"/z", 0o700))
				require.NoError(t, os.WriteFile(tree+"/z/last", []byte("last"), 0o600))
				p := between(t, tree, 1, func() error { return c.change(tree) })
				report, err := p.Pass(t.Context(), final)
				if final {
					require.Equal(t, fault.Conflict, fault.CodeOf(err), "%v", err)
					assert.ErrorContains(t, err, c.names)
					assert.Equal(t, fault.Conflict, fault.CodeOf(<-p.end), "the other end is told")
					continue
				}
				require.NoError(t, err)
				p.final(t)
				same(t, tree, p.place)
				_ = report
			}
		})
	}
}

// A stream that breaks off, anywhere, ends both ends, and another try succeeds.
func TestAStreamThatIsCut(t *testing.T) {
	tree := t.TempDir()
	treetest.Nasty(t, tree)
	require.NoError(t, os.WriteFile(tree+"/large", make([]byte, 3<<20), 0o600))
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		p := between(t, tree, random.IntN(3<<20), func() error { return unix.EPIPE })
		_, err := p.Pass(t.Context(), false)
		require.Equal(t, fault.HostUnreachable, fault.CodeOf(err), "%v", err)
		require.Equal(t, fault.HostUnreachable, fault.CodeOf(<-p.end))
		_, again := p.Pass(t.Context(), false)
		require.Equal(t, err, again)
	}
	p := connect(t, tree)
	p.live(t)
	same(t, tree, p.place)
}

func TestTheCopyHasNoRoom(t *testing.T) {
	tree, into := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(tree+"/large", bytes.Repeat([]byte("x"), 8<<20), 0o600))
	require.NoError(t, unix.Mount("tmpfs", into, "tmpfs", 0, "size=1m"))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(into, unix.MNT_DETACH)) })
	p := connectTo(t, tree, into+"/copy")
	_, err := p.Pass(t.Context(), false)
	require.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
	assert.ErrorContains(t, err, "no space is left for the copy of")
	assert.ErrorContains(t, err, "large")
	assert.Contains(t, fault.Of(err).Hint, "make room")
	assert.ErrorContains(t, <-p.end, "no space is left")
}

func TestTheCopyCannotHaveAttributes(t *testing.T) {
	tree, into := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(tree+"/f", nil, 0o600))
	require.NoError(t, unix.Setxattr(tree+"/f", "user.x", []byte("y"), 0))
	require.NoError(t, unix.Mount("ramfs", into, "ramfs", 0, ""))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(into, unix.MNT_DETACH)) })
	_, err := connectTo(t, tree, into+"/copy").Pass(t.Context(), false)
	require.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
	assert.ErrorContains(t, err, "has attributes that the file system of the copy does not take: user.x")
	require.NoError(t, unix.Removexattr(tree+"/f", "user.x"))
	p := connectTo(t, tree, into+"/other")
	p.live(t)
	same(t, tree, p.place)
}

func TestPlacesThatAreTaken(t *testing.T) {
	tree, into := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(into+"/copy", nil, 0o600))
	_, err := connectTo(t, tree, into+"/copy").Pass(t.Context(), false)
	assert.Equal(t, fault.Conflict, fault.CodeOf(err), "%v", err)
	full := recorded{bytes.NewReader(mirror.Forge([]mirror.Forged{{Kind: "folder"}})), io.Discard}
	sink, err := mirror.NewSink(full, mirror.Place{Root: root(t, into), Name: "."})
	require.NoError(t, err)
	err = sink.Serve(t.Context())
	assert.Equal(t, fault.Conflict, fault.CodeOf(err))
	assert.ErrorContains(t, err, "is not empty")
	for _, name := range []string{"", "..", "a/b"} {
		_, err := mirror.NewSink(nil, mirror.Place{Root: root(t, into), Name: name})
		assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err), "%q", name)
	}
}

func TestTreesThatAreNone(t *testing.T) {
	tree := t.TempDir()
	require.NoError(t, os.Symlink("/etc", tree+"/link"))
	require.NoError(t, os.MkdirAll(tree+"/deep/"+strings.Repeat("d/", 300), 0o700))
	for name, want := range map[string]fault.Code{"link": fault.InvalidArgument, "gone": fault.NotFound, "deep": fault.Precondition} {
		here, there := net.Pipe()
		source, err := mirror.NewSource(here, mirror.Tree{Root: root(t, tree), Name: name})
		require.NoError(t, err)
		sink, err := mirror.NewSink(there, mirror.Place{Root: root(t, t.TempDir()), Name: "copy"})
		require.NoError(t, err)
		end := make(chan error, 1)
		go func() { end <- sink.Serve(t.Context()) }()
		_, err = source.Pass(t.Context(), false)
		assert.Equal(t, want, fault.CodeOf(err), "%s: %v", name, err)
		assert.Equal(t, want, fault.CodeOf(<-end), name)
	}
	_, err := mirror.NewSource(nil, mirror.Tree{Root: root(t, tree), Exclude: []string{"[a"}})
	assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err))
	_, err = mirror.NewSource(nil, mirror.Tree{Root: root(t, tree), Name: "a/b"})
	assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err))
}

func TestCanceling(t *testing.T) {
	tree := t.TempDir()
	require.NoError(t, os.WriteFile(tree+"/large", bytes.Repeat([]byte("x"), 8<<20), 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	p := between(t, tree, 1<<20, func() error { cancel(); return nil })
	_, err := p.Pass(ctx, false)
	assert.Equal(t, fault.Canceled, fault.CodeOf(err), "%v", err)
	assert.Error(t, <-p.end)

	here, there := net.Pipe() // nobody is at the other end
	source, err := mirror.NewSource(here, mirror.Tree{Root: root(t, tree)})
	require.NoError(t, err)
	ctx, cancel = context.WithCancel(t.Context())
	go func() { _, _ = io.CopyN(io.Discard, there, 100); cancel() }()
	_, err = source.Pass(ctx, false)
	assert.Equal(t, fault.Canceled, fault.CodeOf(err), "%v", err)
}
