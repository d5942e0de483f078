package sidecar_test

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/sidecar"
)

// call has an order done in this process, and talks to it.
func call(t *testing.T, o sidecar.Order, path string) (*sidecar.Call, chan error, error) {
	t.Helper()
	here, there := net.Pipe()
	over := make(chan error, 1)
	go func() { over <- o.Serve(t.Context(), there, path) }()
	c, err := sidecar.NewCall(t.Context(), here)
	return c, over, err
}

func TestCall(t *testing.T) {
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "page"), []byte("old"), 0o600))
	c, over, err := call(t, sidecar.Order{Swap: true, Name: "page", Shown: "/srv/page"}, folder)
	require.NoError(t, err)
	answer, err := c.Ask(t.Context(), sidecar.Request{Do: sidecar.Stage, ID: "1"})
	require.NoError(t, err)
	assert.Equal(t, "page", answer.Name)
	require.NoError(t, os.WriteFile(filepath.Join(folder, ".homelab-1/new/page"), []byte("new"), 0o600))
	for _, do := range []string{sidecar.Swap, sidecar.Back, sidecar.Swap} {
		_, err := c.Ask(t.Context(), sidecar.Request{Do: do, ID: "1"})
		require.NoError(t, err)
	}
	answer, err = c.Ask(t.Context(), sidecar.Request{Do: sidecar.Look, Most: 9})
	require.NoError(t, err)
	require.Len(t, answer.Found.Kept, 1)
	_, err = c.Ask(t.Context(), sidecar.Request{Do: sidecar.Discard, ID: "1"})
	assert.Equal(t, fault.Conflict, fault.CodeOf(err), "a failure keeps its code: %v", err)
	assert.NotEmpty(t, fault.Of(err).Hint)
	_, err = c.Ask(t.Context(), sidecar.Request{Do: sidecar.Commit, ID: "1"})
	require.NoError(t, err)
	_, err = c.Ask(t.Context(), sidecar.Request{Do: sidecar.Swap, ID: "2"})
	assert.ErrorContains(t, err, "/srv/page has nothing staged")
	_, err = c.Ask(t.Context(), sidecar.Request{Do: "format"})
	assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err), "%v", err)
	assert.False(t, c.Broken())
	require.NoError(t, c.Close())
	require.NoError(t, <-over)
	content, err := os.ReadFile(filepath.Join(folder, "page"))
	require.NoError(t, err)
	assert.Equal(t, "new", string(content))
}

// A target that is none is told with its code.
func TestCallOfNothing(t *testing.T) {
	_, over, err := call(t, sidecar.Order{Swap: true}, filepath.Join(t.TempDir(), "none"))
	assert.Equal(t, fault.NotFound, fault.CodeOf(err), "%v", err)
	require.NoError(t, <-over)
}

// What talks garbage, or no more, is no sidecar.
func TestCallIsCut(t *testing.T) {
	for what, says := range map[string]string{"nothing": "", "half": `{"name":`, "garbage": "hello\n", "too much": string(make([]byte, 17<<20))} {
		t.Run(what, func(t *testing.T) {
			here, there := net.Pipe()
			go func() {
				_, _ = io.WriteString(there, says) // the other end may have enough
				_ = there.Close()
			}()
			_, err := sidecar.NewCall(t.Context(), here)
			assert.Equal(t, fault.HostUnreachable, fault.CodeOf(err), "%v", err)
			_, err = here.Write(nil)
			assert.Error(t, err, "the stream is closed")
		})
	}
}

// A context that is over ends the waiting, and the call.
func TestCallIsGivenUp(t *testing.T) {
	here, there := net.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		_, _ = io.WriteString(there, "{}\n")
		_, _ = there.Read(make([]byte, 100)) // and no answer
		stop()
	}()
	c, err := sidecar.NewCall(ctx, here)
	require.NoError(t, err)
	_, err = c.Ask(ctx, sidecar.Request{Do: sidecar.Look})
	assert.ErrorIs(t, err, context.Canceled)
	assert.True(t, c.Broken())
	require.NoError(t, there.Close())
}

// What was staged is filled, and nothing else.
func TestFillOfWhatIsStaged(t *testing.T) {
	here, there := net.Pipe()
	err := sidecar.Order{Write: true, Staged: "1"}.Serve(t.Context(), there, t.TempDir())
	assert.Equal(t, fault.NotFound, fault.CodeOf(err), "%v", err)
	require.NoError(t, here.Close())
}
