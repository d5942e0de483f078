package durable

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lockPoll is how often it is looked whether a lock is free: waiting for it could not
// be given up.
const lockPoll = 5 * time.Millisecond

// Lock takes the lock on a file when nobody has it, and makes the file. It is let go
// of by unlock, and by the death of the process. One that is stopped meanwhile holds it
// for as long as it is: nobody waits longer than ctx.
func Lock(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, Explain(err)
	}
	for {
		err := Flock(file, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil // nothing was written: it only lets go of the lock
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.Join(err, file.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for the lock %s: %w", path, context.Cause(ctx)), file.Close())
		case <-time.After(lockPoll):
		}
	}
}

// Flock is flock(2), whatever signals come.
func Flock(file *os.File, how int) error {
	for {
		if err := unix.Flock(int(file.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Holder is who holds a lock, as it says itself.
type Holder struct {
	By    string    `json:"by"`
	PID   int       `json:"pid"`
	Since time.Time `json:"since"`
	Until time.Time `json:"until"` // when it lets go of it at the latest; zero: it does not know
}

// Hold is [Lock], and says in the file who holds it.
func Hold(ctx context.Context, path, by string, atMost time.Duration) (unlock func(), err error) {
	unlock, err = Lock(ctx, path)
	if err != nil {
		return nil, err
	}
	h := Holder{By: by, PID: os.Getpid(), Since: time.Now().UTC()}
	if atMost > 0 {
		h.Until = h.Since.Add(atMost)
	}
	content, err := json.Marshal(h)
	if err == nil {
		err = os.WriteFile(path, content, 0o600) // in its place: the lock is on this file
	}
	if err != nil {
		unlock()
		return nil, Explain(err)
	}
	return unlock, nil
}

// HeldBy is who holds a lock; nil when nobody is known to: a process that has ended says
// nothing any more.
func HeldBy(path string) *Holder {
	content, err := os.ReadFile(path)
	h := &Holder{}
	if err != nil || json.Unmarshal(content, h) != nil || h.PID <= 0 || errors.Is(unix.Kill(h.PID, 0), unix.ESRCH) {
		return nil
	}
	return h
}
