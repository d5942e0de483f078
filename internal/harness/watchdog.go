package harness

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"homelab/internal/command"
	"homelab/internal/deploy"
	"homelab/internal/quiesce"
)

// watchdog starts a process that wakes a service when this one does not: it sees this
// one end, in whichever way, by the end of a pipe.
func (b *bundling) watchdog(e *quiesce.Entry) (done func(), err error) {
	theirs, ours, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	planner, err := b.planner(context.Background())
	if err == nil {
		root := planner.Source.Root
		err = command.Detach(command.Detached{
			Args: []string{"state", "watch", e.Host, e.Service, e.Token, "--json", "--repo", root},
			Dir:  root, File: theirs, Output: filepath.Join(b.jobs.Dir, "watchdog.log"),
		})
	}
	if err = errors.Join(err, theirs.Close()); err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	return func() { _ = ours.Close() }, nil // nothing was written
}

// late is how long after the limit of a rest the process that began it may still wake
// the service by itself.
const late = 10 * time.Second

// watch is what the watchdog does. It needs neither registry nor repository: whoever
// edits them meanwhile does not keep a service at rest.
func (h *Harness) watch(ctx context.Context, host, service, token string) error {
	alive := command.Inherited()
	jobs, _, err := h.jobs(ctx)
	if err != nil {
		return err
	}
	journal := rests(jobs)
	e, err := journal.Read(host, service)
	if err != nil || e == nil || e.Token != token {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, alive) // until the other end is closed, by whomever
	}()
	select {
	case <-ended:
	case <-time.After(e.Limit + late):
	case <-ctx.Done():
	}
	if e, err = journal.Read(host, service); err != nil || e == nil || e.Token != token {
		return err
	}
	// A host that is away for long is waited for: nobody else may be there to wake it.
	ctx = context.WithoutCancel(ctx)
	for began := time.Now(); ; time.Sleep(againAfter) {
		err := h.on(ctx, e.At, func(engine deploy.Containers) error {
			_, err := (&quiesce.Quiescer{Engine: engine, Host: host, Journal: journal}).Wake(ctx, service, token)
			return err
		})
		if left, unread := journal.Read(host, service); err == nil || unread != nil || left == nil || left.Token != token || time.Since(began) > givesUp {
			return err
		}
	}
}

// How often, and for how long, the watchdog tries to wake a service that cannot be
// woken.
const (
	againAfter = 15 * time.Second
	givesUp    = 24 * time.Hour
)
