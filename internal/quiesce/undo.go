package quiesce

import (
	"context"
	"fmt"
	"slices"
	"time"

	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/registry"
)

// undo undoes a freeze by a command or a call. One whose answer never came may still
// act, as nobody can take it back: it is waited for, for as long as a freeze may take,
// and undone again. In a container that was started anew nothing is on its way.
func (q *Quiescer) undo(ctx context.Context, e *Entry, c *deploy.Container) (what string, err error) {
	anew := !e.Started.IsZero() && !c.Started.Equal(e.Started)
	state, err := q.progress(ctx, e)
	if err != nil {
		return "", err
	}
	err = q.melt(ctx, e, c)
	if state != deploy.ExecOver && !anew {
		err = q.settle(ctx, e, c)
	}
	switch {
	case err == nil:
		return "it was thawed", nil
	case !anew:
		return "", err
	}
	if unwell := c.Gate(deploy.NewGate(registry.Deploy{})).Pass(ctx, q.Engine, c.ID); unwell != nil {
		return "", fmt.Errorf("%w; its container was started anew, but %w", err, unwell)
	}
	q.say("%s was started anew since, and is well: that its thaw fails counts no more: %v", e.Service, err)
	return "its container was started anew", nil
}

// progress is how far a freeze is. Of a call over HTTP nobody can tell: it counts as
// one that may still begin.
func (q *Quiescer) progress(ctx context.Context, e *Entry) (deploy.ExecState, error) {
	switch {
	case e.Asked:
		return deploy.ExecOver, nil
	case e.Method.Kind == HTTP:
		return deploy.ExecReady, nil
	case e.Exec == "":
		return deploy.ExecOver, nil // nobody has begun it, and now nobody will
	}
	ctx, stop := context.WithTimeout(ctx, callPatience)
	defer stop()
	return q.Engine.ExecState(ctx, e.Exec)
}

// settle waits until nothing is on its way any more, and thaws then. What nobody can
// see is undone again and again, until its time has passed.
func (q *Quiescer) settle(ctx context.Context, e *Entry, c *deploy.Container) error {
	q.say("waiting for what puts %s to rest to be over, to thaw it again", e.Service)
	for began, pause := time.Now(), firstPause; ; pause = min(2*pause, mostPause) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		late := time.Since(began) >= e.Method.Timeout
		state, err := q.progress(ctx, e)
		switch {
		case err != nil:
			return err
		case state == deploy.ExecOver, state == deploy.ExecReady && late:
			return q.melt(ctx, e, c)
		case state == deploy.ExecReady:
			_ = q.melt(ctx, e, c) // the last one counts
		case late:
			return fault.Newf(fault.Timeout, "see what it waits for: docker top "+c.Name, "%s, which puts it to rest, still runs in container %s: it could freeze what was thawed", e.Method.Freeze[0], c.Name)
		}
	}
}

// Between two looks at what is on its way.
const (
	firstPause = 250 * time.Millisecond
	mostPause  = 10 * time.Second
)

// melt thaws as was said when it was frozen, or else as the registry says now.
func (q *Quiescer) melt(ctx context.Context, e *Entry, c *deploy.Container) error {
	begins := func(string) error { return nil }
	err := q.call(ctx, c, e.Method, e.Method.Thaw, begins)
	now := q.Method
	if err == nil || now == nil || !now.Kind.calls() || len(now.Thaw) == 0 || now.Kind == e.Method.Kind && slices.Equal(now.Thaw, e.Method.Thaw) {
		return err
	}
	if another := q.call(ctx, c, *now, now.Thaw, begins); another != nil {
		return fmt.Errorf("%w; nor as the registry says now: %w", err, another)
	}
	return nil
}
