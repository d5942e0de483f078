package job_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/job"
)

func spec(services ...string) job.Spec {
	return job.Spec{Tool: "build", Services: services, Input: map[string][]string{"services": services}}
}

func newStore(t *testing.T) *job.Store {
	t.Helper()
	return &job.Store{Dir: filepath.Join(t.TempDir(), "state")}
}

func get(t *testing.T, store *job.Store, id string) *job.Job {
	t.Helper()
	j, err := store.Get(t.Context(), id)
	require.NoError(t, err)
	return j
}

// codeOf is the code of a job's problem; empty when there is none.
func codeOf(j *job.Job) fault.Code {
	if j.Problem == nil {
		return ""
	}
	return j.Problem.Code
}

func wait(t *testing.T, store *job.Store, id string) *job.Job {
	t.Helper()
	j, err := store.Wait(t.Context(), job.GetRequest{ID: id, Wait: 30}, nil)
	require.NoError(t, err)
	return j
}

// However the work ends, the record says so, and the result is there.
func TestHowAJobEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		result *answer
		well   bool
		err    error
		state  job.State
		code   fault.Code
	}{
		"well":                 {&answer{"yes"}, true, nil, job.Succeeded, ""},
		"with a bad result":    {&answer{"no"}, false, nil, job.Failed, ""},
		"with an error":        {nil, false, fault.New(fault.EvalFailed, "broken", "mend it"), job.Failed, fault.EvalFailed},
		"canceled by its call": {&answer{"half"}, false, fmt.Errorf("stop: %w", context.Canceled), job.Canceled, fault.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			store := newStore(t)
			run, err := store.Begin(t.Context(), spec("ha"))
			require.NoError(t, err)
			assert.Equal(t, job.Running, get(t, store, run.ID).State)
			got, err := job.Do(t.Context(), run, func(context.Context) (*answer, bool, error) { return c.result, c.well, c.err })
			assert.Equal(t, c.result, got)
			assert.Equal(t, c.err, err)

			j := get(t, &job.Store{Dir: store.Dir}, run.ID)
			assert.Equal(t, c.state, j.State)
			assert.NotEmpty(t, j.Finished)
			assert.Equal(t, c.code, codeOf(j))
			var kept *answer
			found, err := store.Result(run.ID, &kept)
			require.NoError(t, err)
			assert.Equal(t, c.result != nil, found)
			assert.Equal(t, c.result, kept)
			var input map[string][]string
			require.NoError(t, store.Input(run.ID, &input))
			assert.Equal(t, map[string][]string{"services": {"ha"}}, input)

			again, err := store.Begin(t.Context(), spec("ha"))
			require.NoError(t, err, "its services are free again")
			require.Error(t, again.Fail(errors.New("never mind")))
		})
	}
}

// A panic of the work goes on, to whoever keeps the process alive. The job has
// failed then, and holds nothing.
func TestPanicOfTheWork(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		work  func()
		seen  any
		stack string
		says  string
	}{
		"a panic":                      {explode, "a sack of flour", "job_test.explode", "panic: a sack of flour"},
		"a goroutine that ends itself": {runtime.Goexit, nil, "", "the work ended itself"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := newStore(t)
			run, err := store.Begin(t.Context(), spec("ha"))
			require.NoError(t, err)
			var seen any
			var stack string
			var working context.Context
			var caller sync.WaitGroup
			caller.Go(func() {
				defer func() {
					if seen = recover(); seen != nil {
						stack = string(debug.Stack())
					}
				}()
				_, _ = job.Do(t.Context(), run, func(ctx context.Context) (*answer, bool, error) {
					working = ctx
					run.Report(job.Progress{Done: 1, Total: 2, Message: "half"})
					c.work()
					return nil, true, nil
				})
			})
			caller.Wait()
			assert.Equal(t, c.seen, seen)
			assert.Contains(t, stack, c.stack, "where it came from is still known")
			assert.Error(t, working.Err(), "nobody watches any more")

			j := get(t, store, run.ID)
			assert.Equal(t, job.Failed, j.State)
			require.Equal(t, fault.Internal, codeOf(j))
			assert.Equal(t, c.says, j.Problem.Message)
			assert.Equal(t, job.Progress{Done: 1, Total: 2, Message: "half"}, j.Progress)
			again, err := store.Begin(t.Context(), spec("ha"))
			require.NoError(t, err, "its services are free again")
			require.Error(t, again.Fail(errors.New("never mind")))
		})
	}
}

func explode() { panic("a sack of flour") }

func TestJobThatIsNotThere(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	for _, id := range []string{"build-1", "", ".", "..", "../state", "a/b"} {
		_, err := store.Get(t.Context(), id)
		assert.Equal(t, fault.NotFound, fault.CodeOf(err), id)
	}
	run, err := store.Begin(t.Context(), spec("ha"))
	require.NoError(t, err)
	require.Error(t, run.Fail(errors.New("never mind")))
	_, err = store.Get(t.Context(), run.ID[:len(run.ID)-1])
	assert.Equal(t, "did you mean "+run.ID+"?", fault.Of(err).Hint)

	_, err = store.Get(t.Context(), strings.Repeat("x", 300))
	assert.Equal(t, fault.NotFound, fault.CodeOf(err))
}

// A damaged record is told, and keeps nobody from anything; unless its process
// is alive, because nobody knows what it works on.
func TestDamagedRecord(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	p := start(t, store, "", nil)
	record := filepath.Join(store.Dir, "jobs", p.id, "job.json")
	whole, err := os.ReadFile(record)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(record, whole[:10], 0o600))
	_, err = store.Get(t.Context(), p.id)
	assert.ErrorContains(t, err, "damaged")
	assert.Contains(t, fault.Of(err).Hint, filepath.Dir(record))
	_, err = store.Begin(t.Context(), spec("grafana"))
	assert.Equal(t, fault.Locked, fault.CodeOf(err))
	listing, err := store.List(t.Context(), job.ListRequest{})
	require.NoError(t, err)
	assert.Equal(t, p.id, listing.Jobs[0].ID)
	assert.NotNil(t, listing.Jobs[0].Problem)

	require.NoError(t, p.cmd.Process.Kill())
	_ = p.cmd.Wait()
	run, err := store.Begin(t.Context(), spec("ha"))
	require.NoError(t, err)
	require.Error(t, run.Fail(errors.New("never mind")))
}

// The newest come first, whatever tool they are of, and old ones are removed.
func TestJobsAreListedAndPruned(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	store.Now = func() time.Time { now = now.Add(time.Second); return now }
	begin := func(tool string) string {
		run, err := store.Begin(t.Context(), job.Spec{Tool: tool, Services: []string{"ha"}})
		require.NoError(t, err)
		_, err = job.Do(t.Context(), run, func(context.Context) (*answer, bool, error) { return nil, true, nil })
		require.NoError(t, err)
		return run.ID
	}
	first := begin("state_bundle")
	for range 99 {
		begin("build")
	}
	assert.Equal(t, job.Succeeded, get(t, store, first).State)
	last := begin("build")
	listing, err := store.List(t.Context(), job.ListRequest{Limit: 2})
	require.NoError(t, err)
	assert.Equal(t, 100, listing.Count)
	assert.Equal(t, last, listing.Jobs[0].ID)
	_, err = store.Get(t.Context(), first)
	assert.Equal(t, fault.NotFound, fault.CodeOf(err))
}

// Where nothing can be written there is no job, and a reason.
func TestNoPlaceForJobs(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := (&job.Store{Dir: filepath.Join(file, "state")}).Begin(t.Context(), spec("ha"))
	require.Error(t, err)

	full := t.TempDir()
	require.NoError(t, syscall.Mount("tmpfs", full, "tmpfs", 0, "size=64k"))
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(full, syscall.MNT_DETACH)) })
	store := &job.Store{Dir: full}
	run, err := store.Begin(t.Context(), spec("ha"))
	require.NoError(t, err)
	filler, err := os.Create(filepath.Join(full, "filler"))
	require.NoError(t, err)
	_, err = io.CopyN(filler, zeros{}, 1<<20)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NoError(t, filler.Close())
	_, err = job.Do(t.Context(), run, func(context.Context) (*answer, bool, error) { return &answer{"x"}, true, nil })
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
	assert.ErrorContains(t, err, "the disk is full")
	_, err = store.Begin(t.Context(), spec("ha"))
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))

	require.NoError(t, os.Remove(filler.Name()))
	assert.Equal(t, job.Interrupted, get(t, store, run.ID).State, "its end could not be written")
	_, err = store.Begin(t.Context(), spec("ha"))
	require.NoError(t, err)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
