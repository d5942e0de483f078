package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"homelab/internal/durable"
	"homelab/internal/fault"
)

// Spec is a job to begin.
type Spec struct {
	Tool     string
	Services []string
	Input    any // arguments, as JSON
}

// Run is a job that this process does.
type Run struct {
	ID  string
	Dir string // of its record

	store *Store
	job   *Job
	held  *os.File // its lock

	mu       sync.Mutex
	progress Progress
	canceled bool
}

// Tool is what the job is one of.
func (r *Run) Tool() string { return r.job.Tool }

// Logs makes the folder for what the job writes meanwhile.
func (r *Run) Logs() (string, error) {
	folder := filepath.Join(r.Dir, "logs")
	if err := os.Mkdir(folder, 0o700); err != nil {
		return "", durable.Explain(err)
	}
	return folder, nil
}

// Report says how far the job has come.
func (r *Run) Report(p Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress = p
}

// Begin begins a job in this process. [fault.Locked] when another one works on
// one of its services. The caller calls [Run.Do].
func (s *Store) Begin(ctx context.Context, spec Spec) (*Run, error) {
	j, held, err := s.begin(ctx, spec, Running, false)
	if err != nil {
		return nil, err
	}
	return s.run(j, held), nil
}

// Detach begins a job for a process of its own, which start starts: it is given
// the job's name and its lock, as an open file that the process has to inherit,
// so that the job is locked at every moment. See [Store.Adopt].
func (s *Store) Detach(ctx context.Context, spec Spec, start func(id string, lock *os.File) error) (*Job, error) {
	j, held, err := s.begin(ctx, spec, Queued, true)
	if err != nil {
		return nil, err
	}
	err = start(j.ID, held)
	if closed := held.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.folder(j.ID)), s.forget(j.ID))
	}
	return j, nil
}

func (s *Store) begin(ctx context.Context, spec Spec, state State, background bool) (*Job, *os.File, error) {
	input, err := json.Marshal(spec.Input)
	if err != nil {
		return nil, nil, err
	}
	j := &Job{
		ID: s.newID(spec.Tool), Tool: spec.Tool, Services: append([]string{}, spec.Services...),
		State: state, Background: background, Created: stamp(s.now()),
	}
	held, err := s.claim(ctx, j, input)
	return j, held, err
}

// Adopt continues a detached job in this process, which has inherited its lock.
func (s *Store) Adopt(id string, lock *os.File) (*Run, error) {
	j, err := s.read(id)
	if err != nil {
		return nil, err
	}
	if j.State != Queued {
		return nil, fault.Newf(fault.Conflict, "", "job %s is %s", id, j.State)
	}
	j.State = Running
	if err := s.write(j); err != nil {
		return nil, err
	}
	return s.run(j, lock), nil
}

func (s *Store) run(j *Job, held *os.File) *Run {
	return &Run{ID: j.ID, Dir: s.folder(j.ID), store: s, job: j, held: held}
}

// Do does the work and records how it ended: with an error, with a result that
// went well or not, or with a panic, which goes on. It returns what the work
// returned, and an error of its own when that could not be recorded.
func Do[R any](ctx context.Context, r *Run, work func(ctx context.Context) (*R, bool, error)) (*R, error) {
	working, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { r.watch(working, stop) })
	rest := func() { stop(); watch.Wait() }
	over := false
	defer func() {
		if !over {
			rest()
			r.crashed(recover())
		}
	}()
	result, well, err := work(working)
	over = true
	rest()
	var recorded any
	if result != nil {
		recorded = result
	}
	if failed := r.finish(recorded, well, err); failed != nil && err == nil {
		err = failed
	}
	return result, err
}

// crashed records a panic and lets it go on; nil is that of a goroutine that
// ended itself. This process may live on, and must not keep the services.
func (r *Run) crashed(value any) {
	message := "the work ended itself"
	if value != nil {
		message = fmt.Sprintf("panic: %v", value)
	}
	// The panic says more than why it could not be recorded: then the job counts
	// as interrupted.
	_ = r.finish(nil, false, fault.New(fault.Internal, message, "this is a defect of homelab: please report it with the call that led here"))
	if value != nil {
		panic(value)
	}
}

// Fail records that the job ended before its work began, and returns err.
func (r *Run) Fail(err error) error { return errors.Join(err, r.finish(nil, false, err)) }

// watch keeps the progress on disk, and stops the work when somebody asks for
// it.
func (r *Run) watch(ctx context.Context, stop func()) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	var told Progress
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		r.mu.Lock()
		now := r.progress
		if _, err := os.Lstat(filepath.Join(r.Dir, "cancel")); err == nil {
			r.canceled = true
		}
		canceled := r.canceled
		r.mu.Unlock()
		if canceled {
			stop()
			return
		}
		if raw, err := json.Marshal(now); err == nil && now != told {
			// Progress is a courtesy, and not worth a failure.
			if durable.WriteFile(filepath.Join(r.Dir, "progress.json"), raw) == nil {
				told = now
			}
		}
	}
}

// finish records the end.
func (r *Run) finish(result any, well bool, err error) error {
	defer r.held.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	j := r.job
	j.Progress, j.Finished = r.progress, stamp(r.store.now())
	switch {
	case err == nil && well:
		j.State = Succeeded
	case err == nil:
		j.State = Failed
	case !errors.Is(err, context.Canceled):
		j.State, j.Problem = Failed, problemOf(err)
	case r.canceled || !j.Background:
		j.State, j.Problem = Canceled, problemOf(err)
	default: // its process was told to end
		j.State, j.Problem = Interrupted, problemOf(err)
	}
	if r.canceled && j.State == Failed {
		j.State = Canceled
	}
	if result != nil {
		raw, err := json.Marshal(result)
		if err != nil {
			return err
		}
		if err := durable.WriteFile(filepath.Join(r.Dir, "result.json"), raw); err != nil {
			return fmt.Errorf("record the result of job %s: %w", j.ID, err)
		}
	}
	ctx, stop := context.WithTimeoutCause(context.Background(), patience,
		fault.New(fault.Locked, "another process holds it", "end the process that holds it, it may be stopped; then call again"))
	defer stop()
	unlock, err := r.store.claims(ctx)
	if err != nil {
		return fmt.Errorf("record the end of job %s: %w", j.ID, err)
	}
	defer unlock()
	if err := r.store.write(j); err != nil {
		return fmt.Errorf("record the end of job %s: %w", j.ID, err)
	}
	return r.store.forget(j.ID)
}
