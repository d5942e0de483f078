package mirror_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"homelab/internal/fault"
	"homelab/internal/mirror"
)

// relayed is a tree and a copy whose two ends serve.
type relayed struct {
	*mirror.Relay
	tree, copy   string
	source, sink net.Conn   // of the relay
	ends         chan error // what the two end with
}

func newRelayed(t *testing.T, copy string) *relayed {
	t.Helper()
	r := &relayed{tree: t.TempDir(), copy: copy, ends: make(chan error, 2)}
	require.NoError(t, os.WriteFile(r.tree+"/large", []byte(strings.Repeat("0123456789abcdef", 1<<16)), 0o600))
	tree, err := os.OpenRoot(r.tree)
	require.NoError(t, err)
	there, err := os.OpenRoot(copy)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, errors.Join(tree.Close(), there.Close())) })
	var of, to net.Conn
	r.source, of = net.Pipe()
	r.sink, to = net.Pipe()
	go func() {
		source, err := mirror.NewSource(of, mirror.Tree{Root: tree})
		if err == nil {
			err = source.Serve(context.Background())
			err = errors.Join(err, source.Close())
		}
		r.ends <- err
	}()
	sink, err := mirror.NewSink(to, mirror.Place{Root: there, Name: ".", Privileged: true})
	require.NoError(t, err)
	go func() {
		err := sink.Serve(context.Background())
		r.ends <- errors.Join(err, sink.Close())
	}()
	r.Relay = mirror.NewRelay(r.source, r.sink)
	return r
}

// over closes the relay, and waits for both ends.
func (r *relayed) over() {
	_ = r.Close() // what it says is that of the sink
	<-r.ends
	<-r.ends
}

// What is relayed is the tree, pass by pass.
func TestRelay(t *testing.T) {
	r := newRelayed(t, t.TempDir())
	first, err := r.Pass(t.Context(), false)
	require.NoError(t, err)
	assert.Greater(t, first.Sent, int64(1<<20))
	require.NoError(t, os.WriteFile(r.tree+"/more", []byte("more"), 0o600))
	last, err := r.Pass(t.Context(), true)
	require.NoError(t, err)
	assert.Equal(t, int64(3), last.Entries)
	assert.Less(t, last.Sent, int64(1<<16))
	same(t, r.tree, r.copy)
	r.over()
}

// Whatever fails is told as it was said where it failed, and ends both ends.
func TestRelayFails(t *testing.T) {
	for name, c := range map[string]struct {
		code fault.Code
		says string
		do   func(t *testing.T, r *relayed) context.Context
	}{
		"the disk is full": {fault.Precondition, "no space left", func(t *testing.T, r *relayed) context.Context {
			require.NoError(t, os.WriteFile(r.tree+"/large", []byte(strings.Repeat("0123456789abcdef", 1<<18)), 0o600))
			return t.Context()
		}},
		"the tree is gone": {fault.Conflict, "was replaced", func(t *testing.T, r *relayed) context.Context {
			require.NoError(t, os.RemoveAll(r.tree))
			return t.Context()
		}},
		"the source is cut": {fault.HostUnreachable, "cut", func(t *testing.T, r *relayed) context.Context {
			require.NoError(t, r.source.Close())
			return t.Context()
		}},
		"the sink is cut": {fault.HostUnreachable, "cut", func(t *testing.T, r *relayed) context.Context {
			require.NoError(t, r.sink.Close())
			return t.Context()
		}},
		"it is canceled": {fault.Canceled, "", func(t *testing.T, r *relayed) context.Context {
			ctx, stop := context.WithCancel(t.Context())
			stop()
			return ctx
		}},
	} {
		t.Run(name, func(t *testing.T) {
			small := filepath.Join(t.TempDir(), "small")
			require.NoError(t, os.Mkdir(small, 0o700))
			require.NoError(t, unix.Mount("tmpfs", small, "tmpfs", 0, "size=2m"))
			t.Cleanup(func() { _ = unix.Unmount(small, unix.MNT_DETACH) })
			r := newRelayed(t, small)
			ctx := c.do(t, r)
			_, err := r.Pass(ctx, false)
			assert.Equal(t, c.code, fault.CodeOf(err), "%v", err)
			assert.ErrorContains(t, err, c.says)
			_, again := r.Pass(t.Context(), true)
			assert.Equal(t, err, again, "it is of no use any more")
			r.over()
		})
	}
}
