package durable_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/durable"
	"homelab/internal/fault"
)

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := durable.Lock(t.Context(), path)
	require.NoError(t, err)
	brief, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	_, err = durable.Lock(brief, path)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorContains(t, err, path)
	unlock()
	unlock, err = durable.Lock(t.Context(), path)
	require.NoError(t, err)
	unlock()

	_, err = durable.Lock(t.Context(), filepath.Join(path, "below a file"))
	assert.Equal(t, fault.Conflict, fault.CodeOf(err))
}

func TestPlaces(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	found, failed := durable.Places(dir)
	assert.Empty(t, found)
	assert.Empty(t, failed)
	web, db := durable.Place{Host: "pi", Service: "web"}, durable.Place{Host: "nas", Service: "db"}
	for _, p := range []durable.Place{web, db} {
		content, err := p.Read(dir)
		require.NoError(t, err)
		assert.Nil(t, content)
		require.NoError(t, p.Remove(dir))
		require.NoError(t, p.Write(dir, p))
	}
	content, err := web.Read(dir)
	require.NoError(t, err)
	assert.JSONEq(t, `{"Host":"pi","Service":"web"}`, string(content))
	found, failed = durable.Places(dir)
	assert.Equal(t, []durable.Place{db, web}, found)
	assert.Empty(t, failed)
	require.NoError(t, db.Remove(dir))
	found, _ = durable.Places(dir)
	assert.Equal(t, []durable.Place{web}, found)
}

// Who waits for a lock is told who has it, unless that one is gone.
func TestHold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	assert.Nil(t, durable.HeldBy(path))
	unlock, err := durable.Hold(t.Context(), path, "somebody with a long name", time.Hour)
	require.NoError(t, err)
	h := durable.HeldBy(path)
	require.NotNil(t, h)
	assert.Equal(t, []any{"somebody with a long name", os.Getpid(), time.Hour}, []any{h.By, h.PID, h.Until.Sub(h.Since)})
	_, err = durable.Hold(canceled(t), path, "another", 0)
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, h, durable.HeldBy(path))
	unlock()
	unlock, err = durable.Hold(t.Context(), path, "short", 0)
	require.NoError(t, err)
	defer unlock()
	h = durable.HeldBy(path)
	require.NotNil(t, h)
	assert.Equal(t, []any{"short", true}, []any{h.By, h.Until.IsZero()})

	ended := exec.CommandContext(t.Context(), "true")
	require.NoError(t, ended.Run())
	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, `{"by": "it", "pid": %d}`, ended.Process.Pid), 0o600))
	assert.Nil(t, durable.HeldBy(path), "it has ended")
}

func canceled(t *testing.T) context.Context {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	return ctx
}
