package deploy

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"homelab/internal/fault"
)

// How long bringing the old version back may take, beside its gate.
const backFor = 5 * time.Minute

// back brings the version before back, whatever became of ctx, and returns why.
func (r *Runner) back(ctx context.Context, e *Entry, cause error) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), backFor+e.Gate.Timeout)
	defer stop()
	if r.Report != nil {
		r.Report(e.Service + ": back")
	}
	// The entry of the step that failed is enough to go by: a journal that cannot be
	// written must not keep the old version down.
	old, failed := r.restore(ctx, e)
	if failed == nil {
		failed = r.over(e)
	}
	if failed == nil && old != nil {
		failed = r.works(ctx, old)
	}
	f := fault.Of(cause)
	if failed != nil {
		return &fault.Error{
			Code: fault.RollbackFailed, Hint: "mend what is in the way, then run it again: that begins with bringing it back",
			Message: fmt.Sprintf("%s failed (%s), and the version before could not be brought back: %v", e.Service, f.Message, failed),
			Err:     errors.Join(cause, failed),
		}
	}
	what := "; nothing ran before, and nothing does"
	if e.Old != "" {
		what = "; the version before runs"
	}
	return &fault.Error{Op: f.Op, Code: f.Code, Message: f.Message + what, Hint: f.Hint, Err: cause}
}

// over ends a switch that is undone. What could not be removed is for the next run.
func (r *Runner) over(e *Entry) error {
	if e.Leftover {
		return r.Journal.Write(e)
	}
	return r.Journal.Remove(e.Host, e.Service)
}

// works says whether a version that was brought back is healthy, by the gate that it
// had to pass.
func (r *Runner) works(ctx context.Context, old *Container) error {
	gate := NewGate(nil)
	if text := old.Labels[LabelGate]; text != "" {
		if err := json.Unmarshal([]byte(text), &gate); err != nil {
			return err
		}
	}
	return gate.Pass(ctx, r.engine(), old.ID)
}

// restore puts the old version where it was, from wherever a switch stopped: each part
// of it only where it is needed. It returns the old container, nil when there was
// none. The new one is removed last: that it cannot be keeps nobody down.
func (r *Runner) restore(ctx context.Context, e *Entry) (*Container, error) {
	if err := r.lookup(ctx, e); err != nil {
		return nil, err
	}
	made, err := r.get(ctx, e.New)
	if err != nil {
		return nil, err
	}
	if made != nil && made.ID != e.Old {
		if made.State == Running || made.State == Restarting || made.State == Paused {
			if err := errors.Join(r.engine().SetRestart(ctx, made.ID, "no"), r.engine().Stop(ctx, made.ID, e.grace())); err != nil {
				return nil, err
			}
		}
		if err := r.rename(ctx, made.ID, r.name(e.Container, made.generation())); err != nil {
			return nil, err
		}
	}
	old, err := r.restart(ctx, e)
	if err != nil {
		return nil, err
	}
	if made != nil && made.ID != e.Old && e.Made {
		e.Leftover = r.engine().Remove(ctx, made.ID) != nil
	}
	return old, nil
}

// restart has the old container run under its name again.
func (r *Runner) restart(ctx context.Context, e *Entry) (*Container, error) {
	old, err := r.get(ctx, e.Old)
	switch {
	case err != nil || e.Old == "":
		return nil, err
	case old == nil:
		return nil, fault.Newf(fault.Conflict, "see who else works on that host", "the container that ran before, %.12s, is gone", e.Old)
	}
	if e.Stopping {
		// An engine goes on stopping what it was asked to, whoever asked: this waits
		// for the end of it.
		if err := r.engine().Stop(ctx, old.ID, e.grace()); err != nil {
			return nil, err
		}
	}
	if err := r.rename(ctx, old.ID, cmp.Or(e.OldName, e.Container)); err != nil {
		return nil, err
	}
	if old.Spec.Restart != e.Restart {
		if err := r.engine().SetRestart(ctx, old.ID, e.Restart); err != nil {
			return nil, err
		}
	}
	return old, r.engine().Start(ctx, old.ID)
}

// lookup finds the new container that was made, perhaps, before anybody could learn
// its ID.
func (r *Runner) lookup(ctx context.Context, e *Entry) error {
	if e.New != "" || !e.Made {
		return nil
	}
	there, err := r.find(ctx, e.Service, e.Container)
	if err != nil {
		return err
	}
	for i := range there.others {
		if there.others[i].Labels[LabelSwitch] == e.Token {
			e.New = there.others[i].ID
		}
	}
	return nil
}
