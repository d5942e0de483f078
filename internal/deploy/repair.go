package deploy

import (
	"context"
	"errors"
	"fmt"

	"homelab/internal/fault"
)

// Repair finishes, or undoes, a switch of a service that was broken off: the new
// version stays if it runs and passes its gate, else the one before runs again. It
// says what it did; nothing when there was nothing to repair.
func (r *Runner) Repair(ctx context.Context, service string) (string, error) {
	e, err := r.Journal.Read(r.Host, service)
	if err != nil || e == nil {
		return "", err
	}
	if e.Leftover {
		if r.engine().Remove(ctx, e.New) != nil {
			return "", nil // it stands in nobody's way
		}
		return "", r.Journal.Remove(e.Host, e.Service)
	}
	platform, err := r.engine().Platform(ctx)
	if err != nil {
		return "", err
	}
	if e.Engine != "" && platform.ID != e.Engine {
		return "", fault.Newf(fault.Precondition, "reach the engine that it was begun on, or remove "+r.Journal.path(e.Host, e.Service)+" when it is gone for good",
			"a switch of %s was broken off on another engine than host %s leads to now", e.Service, e.Host)
	}
	at := e.Step
	if err := r.lookup(ctx, e); err != nil {
		return "", err
	}
	there, err := r.find(ctx, e.Service, e.Container)
	if err != nil {
		return "", err
	}
	if c := there.current; c != nil && c.generation() > e.Generation && c.ID != e.Old {
		// Somebody has gone on from there: the labels win.
		return fmt.Sprintf("a switch to generation %d was broken off before the step %q, and is out of date", e.Generation, at), r.Journal.Remove(e.Host, e.Service)
	}
	forward, err := r.stays(ctx, e)
	if err != nil {
		return "", err
	}
	if forward {
		e.Done = true
		if err := r.step(e, "repair", func() error { return r.finish(ctx, e) }); err != nil {
			return "", err
		}
		return fmt.Sprintf("a switch to generation %d was broken off before the step %q, and is finished", e.Generation, at), r.Journal.Remove(e.Host, e.Service)
	}
	if _, err := r.restore(ctx, e); err != nil {
		return "", &fault.Error{
			Code: fault.RollbackFailed, Message: fmt.Sprintf("the version before of %s could not be brought back: %v", e.Service, err),
			Hint: "mend what is in the way, then run it again: that begins with bringing it back", Err: err,
		}
	}
	return fmt.Sprintf("a switch to generation %d was broken off before the step %q, and is undone", e.Generation, at), r.over(e)
}

// stays says whether the new version of a switch that was broken off is good.
func (r *Runner) stays(ctx context.Context, e *Entry) (bool, error) {
	if e.Done {
		return true, nil
	}
	c, err := r.get(ctx, e.New)
	if err != nil || c == nil || c.State != Running {
		return false, err
	}
	err = e.Gate.Pass(ctx, r.engine(), c.ID)
	if fault.CodeOf(err) == fault.Unhealthy {
		return false, nil
	}
	return err == nil, err
}

// finish does what is left of a switch whose new version is good.
func (r *Runner) finish(ctx context.Context, e *Entry) error {
	old, err := r.get(ctx, e.Old)
	if err != nil {
		return err
	}
	if old != nil {
		err = errors.Join(
			r.engine().SetRestart(ctx, old.ID, "no"),
			r.rename(ctx, old.ID, r.name(e.Container, old.generation())),
			r.engine().Stop(ctx, old.ID, e.grace()),
		)
		if err != nil {
			return err
		}
	}
	if err := r.rename(ctx, e.New, e.Container); err != nil {
		return err
	}
	return r.tidy(ctx, e)
}
