package harness

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"homelab/internal/command"
	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/internal/quiesce"
	"homelab/internal/state"
	"homelab/registry"
)

// watchdog starts a process that mends what this one leaves undone, by the journals in
// dir: it sees this one end, in whichever way, by the end of a connection. It is there
// when it has said so on it: until then nothing is touched.
func watchdog(dir, host, service, token string) (done func(), err error) {
	theirs, ours, err := connection()
	if err != nil {
		return nil, err
	}
	log := filepath.Join(dir, "watchdog.log")
	err = command.Detach(command.Detached{
		Args: []string{"state", "watch", dir, host, service, token, "--json"},
		Dir:  dir, File: theirs, Output: log,
	})
	if err = errors.Join(err, theirs.Close()); err == nil {
		err = isReady(ours, log)
	}
	if err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	return func() { _ = ours.Close() }, nil // nothing was written
}

// connection is one between two processes.
func connection() (theirs, ours *os.File, err error) {
	syscall.ForkLock.RLock() // whoever is started meanwhile must not hold it open
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fds[0])
		unix.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, err
	}
	theirs = os.NewFile(uintptr(fds[0]), "watchdog")
	if err := unix.SetNonblock(fds[1], true); err != nil { // so that it can be waited for
		return nil, nil, errors.Join(err, theirs.Close(), unix.Close(fds[1]))
	}
	return theirs, os.NewFile(uintptr(fds[1]), "watchdog"), nil
}

// ready is what the watchdog says when it watches.
const ready = "ready\n"

// readyWithin is how long a process may take to be there.
var readyWithin = 15 * time.Second

// isReady waits for the watchdog to say that it watches.
func isReady(conn *os.File, log string) error {
	said := make([]byte, len(ready))
	err := conn.SetReadDeadline(time.Now().Add(readyWithin))
	if err == nil {
		_, err = io.ReadFull(conn, said)
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fault.Newf(fault.Precondition, "see what keeps this machine busy, and "+log, "it did not come up within %s: nothing was touched", readyWithin)
	case err != nil || string(said) != ready:
		return fault.Newf(fault.Precondition, "see what it says: "+log, "it ended at once: nothing was touched")
	}
	return nil
}

// late is how long after the limit of a rest the process that began it may still wake
// the service by itself.
const late = 10 * time.Second

// watched is what a watchdog watches.
type watched struct {
	at      registry.Host
	both    bool          // it reaches its hosts by itself, of which there are two
	limit   time.Duration // after which it is mended whoever is at it; 0: none
	pending func() (bool, error)
	mend    func(ctx context.Context, engine deploy.Containers) error
}

// watched is what a token stands for; nil: it is over.
func (h *Harness) watched(jobs *job.Store, host, service, token string) (*watched, error) {
	asleep := func() (*quiesce.Entry, error) {
		e, err := rests(jobs).Read(host, service)
		if err != nil || e == nil || e.Token != token {
			return nil, err
		}
		return e, nil
	}
	half := func() (*state.RestoreEntry, error) {
		e, err := state.Restores(restores(jobs)).Read(host, service)
		if err != nil || e == nil || e.ID != token {
			return nil, err
		}
		return e, nil
	}
	rest, err := asleep()
	if err != nil {
		return nil, err
	}
	if rest != nil {
		return &watched{
			at: rest.At, limit: rest.Limit + late,
			pending: func() (bool, error) { e, err := asleep(); return e != nil, err },
			mend: func(ctx context.Context, engine deploy.Containers) error {
				_, err := subject{name: service, host: host, at: rest.At}.quiescer(jobs, engine, nil).Wake(ctx, service, token)
				return err
			},
		}, nil
	}
	e, err := half()
	if err != nil {
		return nil, err
	}
	if e == nil {
		return h.watchedMove(jobs, host, service, token)
	}
	return &watched{
		at:      e.At,
		pending: func() (bool, error) { e, err := half(); return e != nil, err },
		mend: func(ctx context.Context, engine deploy.Containers) error {
			_, err := h.repairRestore(ctx, engine, jobs, subject{name: service, host: host, at: e.At}, nil)
			return err
		},
	}, nil
}

// watch is what the watchdog does. It needs the state folder, and neither registry nor
// repository: whoever edits or removes them meanwhile does not keep a service at rest.
func (h *Harness) watch(ctx context.Context, dir, host, service, token string) error {
	alive := command.Inherited()
	w, err := h.watched(&job.Store{Dir: dir}, host, service, token)
	if w == nil || err != nil {
		return err
	}
	_, _ = io.WriteString(alive, ready) // nobody is there any more when it fails, which the end of it tells
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, alive) // until the other end is closed, by whomever
	}()
	var late <-chan time.Time
	if w.limit > 0 {
		late = time.After(w.limit)
	}
	select {
	case <-ended:
	case <-late:
	case <-ctx.Done():
	}
	if pending, err := w.pending(); !pending || err != nil {
		return err
	}
	// A host that is away for long is waited for: nobody else may be there to mend it.
	ctx = context.WithoutCancel(ctx)
	for began := time.Now(); ; time.Sleep(againAfter) {
		err := h.mend(ctx, w)
		if pending, unread := w.pending(); err == nil || unread != nil || !pending || time.Since(began) > givesUp {
			return err
		}
	}
}

func (h *Harness) mend(ctx context.Context, w *watched) error {
	if w.both {
		return w.mend(ctx, nil)
	}
	return h.on(ctx, w.at, func(engine deploy.Containers) error { return w.mend(ctx, engine) })
}

// How often, and for how long, the watchdog tries to wake a service that cannot be
// woken.
const (
	againAfter = 15 * time.Second
	givesUp    = 24 * time.Hour
)
