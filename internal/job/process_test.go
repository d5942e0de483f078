package job_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
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
