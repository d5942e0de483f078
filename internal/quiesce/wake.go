package quiesce

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/registry"
)

// An engine that is restarted meanwhile comes back within engineReturns: it is asked
// every enginePause.
const (
	engineReturns = time.Minute
	enginePause   = time.Second
)

// Wake wakes a service that was put to rest and not woken: its process ended, or stands
// still. With a token only of that rest. It says what it did; nothing when there was
// nothing to wake.
func (q *Quiescer) Wake(ctx context.Context, service, token string) (string, error) {
	unlock, err := q.Journal.Lock(ctx, q.Host, service)
	if err != nil {
		return "", err
	}
	e, err := q.Journal.Read(q.Host, service)
	if err != nil || e == nil || token != "" && e.Token != token {
		unlock()
		return "", err
	}
	c, what, err := q.patiently(ctx, e)
	if err == nil {
		err = q.Journal.Remove(e.Host, e.Service)
	}
	unlock()
	if err != nil {
		f, hint := fault.Of(err), "mend what is in the way, then run homelab deploy repair: it tries again"
		if e.Method.Kind.calls() {
			hint = "correct state.quiesce.thaw and make a bundle; or start it anew, which ends what was asked of it: docker restart " + e.Name + ", then homelab deploy repair"
		}
		return "", &fault.Error{
			Code: fault.RollbackFailed, Err: err, Hint: hint,
			Message: fmt.Sprintf("%s is at rest (%s), and cannot be woken: %s", e.Service, e.Method.Kind, f.Message),
		}
	}
	if c == nil {
		return what, nil
	}
	if err := c.Gate(deploy.NewGate(registry.Deploy{})).Pass(ctx, q.Engine, c.ID); err != nil {
		return what, fmt.Errorf("%s was woken: %w", e.Service, err)
	}
	return what, nil
}

// patiently thaws, and does again what an engine did not answer: it may be on its way
// back.
func (q *Quiescer) patiently(ctx context.Context, e *Entry) (started *deploy.Container, what string, err error) {
	for began := time.Now(); ; {
		started, what, err = q.thaw(ctx, e)
		code := fault.CodeOf(err)
		silent := code == fault.EngineUnavailable || code == fault.HostUnreachable || errors.Is(err, context.DeadlineExceeded)
		if !silent || time.Since(began) >= engineReturns || ctx.Err() != nil {
			return started, what, err
		}
		q.say("waiting for the engine, to wake %s: %v", e.Service, err)
		select {
		case <-ctx.Done():
		case <-time.After(enginePause):
		}
	}
}

// thaw undoes a freeze, as far as it came. It returns the container when it was started.
func (q *Quiescer) thaw(ctx context.Context, e *Entry) (started *deploy.Container, what string, err error) {
	looking, stop := context.WithTimeout(ctx, callPatience)
	defer stop()
	platform, err := q.Engine.Platform(looking)
	if err != nil {
		return nil, "", err
	}
	if platform.ID != e.Engine {
		return nil, "", fault.Newf(fault.Precondition, "reach the engine that it runs on, or remove "+e.Where().File(q.Journal.Dir)+" when that is gone for good",
			"%s rests on another engine than host %s leads to now", e.Service, e.Host)
	}
	c, err := q.Engine.Container(looking, e.Container)
	switch {
	case err != nil:
		return nil, "", err
	case c == nil:
		return nil, "its container is gone", nil
	}
	if taken, err := q.placeTaken(looking, e, c); err != nil || taken {
		return nil, "another version has taken its place", err
	}
	if e.Method.Kind.calls() {
		what, err = q.recall(ctx, e, c)
		return nil, what, err
	}
	ctx, end := context.WithTimeout(ctx, c.Spec.StopGrace+callPatience)
	defer end()
	switch {
	case e.Method.Kind == Stop:
		return q.start(ctx, e, c)
	case c.State == deploy.Paused:
		return nil, "it goes on", q.Engine.Unpause(ctx, c.ID)
	}
	return nil, "it goes on already", nil
}

// placeTaken says whether a version has taken the place of a container. That somebody
// has renamed it does not tell: then another one of the service runs, or has its name.
func (q *Quiescer) placeTaken(ctx context.Context, e *Entry, c *deploy.Container) (bool, error) {
	if c.Name == e.Name {
		return false, nil
	}
	all, err := q.Engine.List(ctx)
	return slices.ContainsFunc(all, func(o deploy.Container) bool {
		return o.ID != c.ID && o.Labels[deploy.LabelService] == e.Service && (o.Runs() || o.Name == e.Name)
	}), err
}

// recall undoes what a container was asked for.
func (q *Quiescer) recall(ctx context.Context, e *Entry, c *deploy.Container) (string, error) {
	switch {
	case c.State == deploy.Paused:
		return "", fault.Newf(fault.Conflict, "unpause it", "somebody has paused container %s, which cannot be thawed so", c.Name)
	case c.State != deploy.Running:
		return "it has ended by itself", nil
	case len(e.Method.Thaw) == 0:
		return "there is nothing to undo", nil
	}
	return q.undo(ctx, e, c)
}

// start has a container run again. When it is not known whether it was stopped, the
// request may still be on its way: then it is stopped first, which waits for that.
func (q *Quiescer) start(ctx context.Context, e *Entry, c *deploy.Container) (*deploy.Container, string, error) {
	if !e.Asked && c.Runs() {
		if err := q.Engine.Stop(ctx, c.ID, c.Spec.StopGrace); err != nil {
			return nil, "", err
		}
	} else if c.Runs() {
		return nil, "it runs already", nil
	}
	return c, "it runs again", q.Engine.Start(ctx, c.ID)
}
