package deploy

import (
	"context"
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
		return "", fault.Newf(fault.Precondition, "reach the engine that it was begun on, or remove "+e.Where().File(r.Journal.Dir)+" when it is gone for good",
			"a switch of %s was broken off on another engine than host %s leads to now", e.Service, e.Host)
	}
	at := e.Step
	if err := r.lookup(ctx, e); err != nil {
		return "", err
	}
	became, err := r.mend(ctx, e)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("a switch to generation %d was broken off before the step %q, and %s", e.Generation, at, became), nil
}

// mend goes whichever way leads out of a switch that was broken off, and says which.
// Once it has begun to change something no cancel ends it.
func (r *Runner) mend(ctx context.Context, e *Entry) (string, error) {
	newer, err := r.passed(ctx, e)
	if err != nil {
		return "", err
	}
	if newer {
		return "is out of date", r.Journal.Remove(e.Host, e.Service)
	}
	forward, err := r.stays(ctx, e)
	if err != nil {
		return "", err
	}
	if forward {
		return "is finished", r.conclude(ctx, e)
	}
	ctx = context.WithoutCancel(ctx)
	done, err := r.restore(ctx, e)
	if err != nil {
		return "", &fault.Error{
			Code: fault.RollbackFailed, Message: fmt.Sprintf("the version before of %s could not be brought back: %v", e.Service, err),
			Hint: "mend what is in the way, then run it again: that begins with bringing it back", Err: err,
		}
	}
	if err := r.over(e); err != nil {
		return "", err
	}
	if err := r.works(ctx, done); err != nil {
		done.what += fmt.Sprintf(", and is not healthy: %v", err)
	}
	return "is undone; " + done.what, nil
}

// passed says whether somebody has gone on since: the labels win. A newer container
// that never ran has taken nobody's place.
func (r *Runner) passed(ctx context.Context, e *Entry) (bool, error) {
	there, err := r.find(ctx, e.Service, e.Container)
	if err != nil {
		return false, err
	}
	c := there.current
	if c == nil || c.ID == e.Old || c.ID == e.New {
		return false, nil
	}
	return c.Runs() || c.Generation() > e.Generation && !c.Started.IsZero(), nil
}

// stays says whether the new version of a switch that was broken off is good. One
// that was, and was stopped since, is not gone back from.
func (r *Runner) stays(ctx context.Context, e *Entry) (bool, error) {
	if e.Done {
		old, err := r.get(ctx, e.Old)
		if err != nil || old == nil || !old.Runs() {
			return err == nil, err
		}
	}
	c, err := r.get(ctx, e.New)
	if err != nil || c == nil || c.State != Running {
		return false, err
	}
	err = e.Gate.pass(ctx, r.engine(), c.ID, c.Restarts)
	if fault.CodeOf(err) == fault.Unhealthy {
		return false, nil
	}
	return err == nil, err
}
