package job_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/job"
)

// One job at a time works on a service, whichever process it is in.
func TestOneWriterForEachService(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	p := start(t, store, "", nil)
	_, err := store.Begin(t.Context(), spec("grafana", "ha"))
	assert.Equal(t, fault.Locked, fault.CodeOf(err))
	assert.ErrorContains(t, err, "ha: job "+p.id+" works on it")
	assert.NotContains(t, err.Error(), "grafana")
	other, err := store.Begin(t.Context(), spec("grafana"))
	require.NoError(t, err)
	require.Error(t, other.Fail(errors.New("never mind")))

	require.NoError(t, p.stdin.Close())
	assert.Equal(t, job.Succeeded, wait(t, store, p.id).State)
	listing, err := store.List(t.Context(), job.ListRequest{})
	require.NoError(t, err)
	assert.Equal(t, 2, listing.Count, "what was refused left nothing")
}

// Nobody waits for the lock of the store longer than the call it is for: whoever
// holds it may be stopped. The end of a job is recorded all the same.
func TestTheLockOfTheStoreIsHeld(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	run, err := store.Begin(t.Context(), spec("ha"))
	require.NoError(t, err)
	lock, err := os.OpenFile(filepath.Join(store.Dir, "claims.lock"), os.O_RDWR, 0)
	require.NoError(t, err)
	defer lock.Close()
	require.NoError(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))

	for name, call := range map[string]func(context.Context) error{
		"begin":  func(ctx context.Context) error { _, err := store.Begin(ctx, spec("grafana")); return err },
		"detach": func(ctx context.Context) error { _, err := store.Detach(ctx, spec("grafana"), nil); return err },
		"get":    func(ctx context.Context) error { _, err := store.Get(ctx, run.ID); return err },
		"list":   func(ctx context.Context) error { _, err := store.List(ctx, job.ListRequest{}); return err },
		"wait": func(ctx context.Context) error {
			_, err := store.Wait(ctx, job.GetRequest{ID: run.ID, Wait: 30}, nil)
			return err
		},
		"cancel": func(ctx context.Context) error {
			_, err := store.Cancel(ctx, job.CancelRequest{ID: run.ID})
			return err
		},
	} {
		ctx, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
		err := call(ctx)
		stop()
		assert.ErrorIs(t, err, context.DeadlineExceeded, name)
	}

	canceled, stop := context.WithCancel(t.Context())
	stop()
	ended := make(chan error)
	go func() {
		_, err := job.Do(canceled, run, func(ctx context.Context) (*answer, bool, error) { return nil, false, ctx.Err() })
		ended <- err
	}()
	select {
	case err := <-ended:
		t.Fatalf("it did not wait for the lock: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	require.NoError(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_UN))
	assert.Equal(t, context.Canceled, <-ended)
	assert.Equal(t, job.Canceled, get(t, store, run.ID).State)
}

// Of many that begin at the same moment one gets the service.
func TestManyBeginAtOnce(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	var mu sync.Mutex
	var begun []*job.Run
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			run, err := (&job.Store{Dir: store.Dir}).Begin(t.Context(), spec("ha"))
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				begun = append(begun, run)
				return
			}
			assert.Equal(t, fault.Locked, fault.CodeOf(err))
		})
	}
	wait.Wait()
	require.Len(t, begun, 1)
	listing, err := store.List(t.Context(), job.ListRequest{})
	require.NoError(t, err)
	assert.Equal(t, 1, listing.Count)
	require.Error(t, begun[0].Fail(errors.New("never mind")))
}
