package dir

import (
	"context"
	"errors"
	"time"

	"homelab/internal/fault"
)

// How long a file system may take for one thing. Where it is mounted from a machine
// that is gone it may never answer, and nobody can end such a call.
var (
	patience     = 30 * time.Second // to open, name or remove
	dataPatience = 5 * time.Minute  // to read or write a part, to write all of it to the disk, to list
)

// begins is called before each call of the file system; tests have it hang.
var begins = func() {}

// within calls a file system that may never answer. Then the call is left alone, which
// costs a thread until it returns, and late gets what comes of it; nil: nobody cares.
func within[T any](ctx context.Context, path string, most time.Duration, call func() (T, error), late func(T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	start := begins
	go func() {
		start()
		value, err := call()
		done <- result{value, err}
	}()
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.value, r.err
	case <-timer.C:
	case <-ctx.Done():
	}
	if late != nil {
		go func() { r := <-done; late(r.value, r.err) }()
	}
	var none T
	if errors.Is(ctx.Err(), context.Canceled) {
		return none, ctx.Err()
	}
	return none, &silent{fault.Newf(fault.HostUnreachable, "see whether the machine that it is on is up, and mount it again; what waits for it ends when it answers", "%s does not answer", path)}
}

// silent is the error of a call that was left alone: what it works on is still its.
type silent struct{ fault *fault.Error }

func (s *silent) Error() string { return s.fault.Error() }
func (s *silent) Unwrap() error { return s.fault }

// isSilent says whether a call was left alone.
func isSilent(err error) bool {
	var s *silent
	return errors.As(err, &s)
}

// counted is what a call comes to that reads or writes.
type counted struct {
	n   int
	err error
}

// do is within for what has no result, and goes on when ctx is over: it is waited for.
func (f *Folder) do(most time.Duration, call func() error) error {
	_, err := within(context.Background(), f.path, most, func() (struct{}, error) { return struct{}{}, call() }, nil)
	return err
}
