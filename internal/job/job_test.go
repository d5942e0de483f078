package job_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
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

// TestMain lets the test binary be the process of a job.
func TestMain(m *testing.M) {
	if dir := os.Getenv("HOMELAB_TEST_JOB"); dir != "" {
		if err := beProcess(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// beProcess begins a job, or adopts the one whose name it is given, says its
// name, and works until standard input ends.
func beProcess(dir string) error {
	store := &job.Store{Dir: dir}
	var run *job.Run
	var err error
	if id := os.Getenv("HOMELAB_TEST_ADOPT"); id != "" {
		run, err = store.Adopt(id, os.NewFile(3, "lock"))
	} else {
		run, err = store.Begin(context.Background(), spec("ha"))
	}
	if err != nil {
		return err
	}
	fmt.Println(run.ID)
	_, err = job.Do(context.Background(), run, func(ctx context.Context) (*answer, bool, error) {
		run.Report(job.Progress{Done: 1, Total: 2, Message: "half"})
		ended := make(chan struct{})
		go func() { _, _ = io.Copy(io.Discard, os.Stdin); close(ended) }()
		select {
		case <-ended:
			return &answer{"done"}, true, nil
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	})
	return err
}

type answer struct {
	Said string `json:"said"`
}

func spec(services ...string) job.Spec {
	return job.Spec{Tool: "build", Services: services, Input: map[string]any{"services": services}}
}

func newStore(t *testing.T) *job.Store {
	t.Helper()
	return &job.Store{Dir: filepath.Join(t.TempDir(), "state")}
}

// process runs a job in a process of its own.
type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	id    string
}

func start(t *testing.T, store *job.Store, adopt string, lock *os.File) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "HOMELAB_TEST_JOB="+store.Dir, "HOMELAB_TEST_ADOPT="+adopt)
	cmd.Stderr = os.Stderr
	if lock != nil {
		cmd.ExtraFiles = []*os.File{lock}
	}
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	return &process{cmd, stdin, strings.TrimSpace(line)}
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

// A job whose process is killed is interrupted, and holds nothing.
func TestKilledProcess(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	p := start(t, store, "", nil)
	assert.Equal(t, job.Running, get(t, store, p.id).State)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGKILL))
	_ = p.cmd.Wait()

	run, err := store.Begin(t.Context(), spec("ha"))
	require.NoError(t, err, "a new job repairs what it finds")
	j := get(t, store, p.id)
	assert.Equal(t, job.Interrupted, j.State)
	assert.Equal(t, "call build again", j.Problem.Hint)
	require.Error(t, run.Fail(errors.New("never mind")))
}

// Progress and a wish to stop pass from process to process.
func TestProgressAndCancelAcrossProcesses(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	p := start(t, store, "", nil)
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	_, err := store.Wait(ctx, job.GetRequest{ID: p.id, Wait: 30}, func(progress job.Progress) {
		assert.Equal(t, job.Progress{Done: 1, Total: 2, Message: "half"}, progress)
		stop()
	})
	require.ErrorIs(t, err, context.Canceled, "progress was told")

	j, err := store.Cancel(t.Context(), job.CancelRequest{ID: p.id})
	require.NoError(t, err)
	assert.Equal(t, job.Canceled, j.State)
	assert.Equal(t, job.Progress{Done: 1, Total: 2, Message: "half"}, j.Progress)
	again, err := store.Cancel(t.Context(), job.CancelRequest{ID: p.id})
	require.NoError(t, err, "it is over")
	assert.Equal(t, j, again)
}

// A detached job is locked while it passes from one process to the next.
func TestDetachedJob(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	var p *process
	j, err := store.Detach(t.Context(), spec("ha"), func(id string, lock *os.File) error {
		assert.Equal(t, job.Queued, get(t, store, id).State, "locked before its process is there")
		p = start(t, store, id, lock)
		return nil
	})
	require.NoError(t, err)
	assert.True(t, j.Background)
	assert.Equal(t, j.ID, p.id)
	assert.Equal(t, job.Running, get(t, store, j.ID).State)
	_, err = store.Begin(t.Context(), spec("ha"))
	assert.Equal(t, fault.Locked, fault.CodeOf(err))
	require.NoError(t, p.stdin.Close())
	assert.Equal(t, job.Succeeded, wait(t, store, j.ID).State)
}

func TestDetachedJobThatDoesNotStart(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	_, err := store.Detach(t.Context(), spec("ha"), func(string, *os.File) error { return errors.New("no more processes") })
	require.ErrorContains(t, err, "no more processes")
	listing, err := store.List(t.Context(), job.ListRequest{})
	require.NoError(t, err)
	assert.Equal(t, &job.Listing{Jobs: []job.Job{}}, listing)

	// A process that ends before it takes over.
	j, err := store.Detach(t.Context(), spec("ha"), func(string, *os.File) error { return nil })
	require.NoError(t, err)
	assert.Equal(t, job.Interrupted, get(t, store, j.ID).State)
}

// What a process said that ended before it took over, or crashed, is told with
// its job.
func TestLastWordsOfAProcess(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		log     string
		state   job.State
		code    fault.Code
		message string
		hint    string // LOG is the name of the log
	}{
		"nothing": {"", job.Interrupted, fault.Canceled, "the process that ran it ended before the work did", "call build again"},
		"a failure": {
			`{"code":"precondition","message":"git is not installed","hint":"install it","retryable":false}` + "\n",
			job.Failed, fault.Precondition, "the process that was to do it failed: git is not installed", "install it; the log of that process is LOG",
		},
		"a failure without a remedy": {
			`{"code":"conflict","message":"it moved","hint":"","retryable":false}` + "\n",
			job.Failed, fault.Conflict, "the process that was to do it failed: it moved", "call build again; the log of that process is LOG",
		},
		"that it was told to end": {
			`{"code":"canceled","message":"the call was canceled","hint":"","retryable":false}` + "\n",
			job.Interrupted, fault.Canceled, "the process that was to do it failed: the call was canceled", "call build again; the log of that process is LOG",
		},
		"a crash": {
			"panic: a sack of flour\n\ngoroutine 1 [running]:\nmain.main()\n\tmain.go:1 +0x1\n",
			job.Interrupted, fault.Internal, "the process that ran it ended before the work did; it said: panic: a sack of flour", "read LOG, then call build again",
		},
		"that it cannot be loaded": {
			"one\nhomelab: libc.so is missing\n\n",
			job.Interrupted, fault.Internal, "the process that ran it ended before the work did; it said: homelab: libc.so is missing", "read LOG, then call build again",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := newStore(t)
			j, err := store.Detach(t.Context(), spec("ha"), func(id string, _ *os.File) error {
				return os.WriteFile(store.WorkerLog(id), []byte(c.log), 0o600)
			})
			require.NoError(t, err)
			j = get(t, store, j.ID)
			assert.Equal(t, c.state, j.State)
			assert.NotEmpty(t, j.Finished)
			assert.Equal(t, &job.Problem{Code: c.code, Message: c.message, Hint: strings.Replace(c.hint, "LOG", store.WorkerLog(j.ID), 1)}, j.Problem)
		})
	}
}

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

// Only a job that waits for its process is adopted.
func TestAdoptedOnce(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	run, err := store.Begin(t.Context(), spec("ha"))
	require.NoError(t, err)
	_, err = store.Adopt(run.ID, nil)
	assert.Equal(t, fault.Conflict, fault.CodeOf(err))
	require.Error(t, run.Fail(errors.New("never mind")))
}

// A process of a detached job that is told to end was not asked by the user.
func TestDetachedAndInterrupted(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	var run *job.Run
	j, err := store.Detach(t.Context(), spec("ha"), func(id string, lock *os.File) error {
		fd, err := syscall.Dup(int(lock.Fd()))
		require.NoError(t, err)
		run, err = store.Adopt(id, os.NewFile(uintptr(fd), "lock"))
		return err
	})
	require.NoError(t, err)
	_, err = job.Do(t.Context(), run, func(context.Context) (*answer, bool, error) { return nil, false, context.Canceled })
	require.Error(t, err)
	assert.Equal(t, job.Interrupted, get(t, store, j.ID).State)
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
