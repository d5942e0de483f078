package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"homelab/internal/fault"
	"homelab/registry"
)

// An engine that is restarted while versions are switched comes back within
// engineReturns: it is asked every enginePause.
const (
	engineReturns = time.Minute
	enginePause   = time.Second
)

// errDown is among the causes when the engine refuses to start the old version.
var errDown = errors.New("it cannot be started")

// restored says what a way back came to.
type restored struct {
	what string
	// again is the old container when it was started again: it has to show that it is
	// as well as it was.
	again *Container
	gone  bool // somebody has removed the old container
}

// back brings the version before back, whatever became of ctx, and returns why.
func (r *Runner) back(ctx context.Context, e *Entry, cause error) error {
	ctx = context.WithoutCancel(ctx)
	r.say(e, "back")
	// The entry of the step that failed is enough to go by: a journal that cannot be
	// written must not keep the old version down.
	var done *restored
	failed := r.patiently(e, func() (err error) {
		done, err = r.restore(ctx, e)
		return err
	})
	f := fault.Of(cause)
	if failed != nil {
		return &fault.Error{
			Code: fault.RollbackFailed, Hint: "mend what is in the way, then run it again: that begins with bringing it back",
			Message: fmt.Sprintf("%s failed (%s), and the version before could not be brought back: %v", e.Service, f.Message, failed),
			Err:     errors.Join(cause, failed),
		}
	}
	if err := r.over(e); err != nil {
		done.what += fmt.Sprintf("; the journal could not be put away: %v", err)
	}
	err := r.works(ctx, done)
	if err == nil && done.gone {
		err = errors.New(done.what)
	}
	if err != nil {
		return &fault.Error{
			Code: fault.RollbackFailed, Hint: "see its logs, then run a version that works",
			Message: fmt.Sprintf("%s failed (%s); %s: %v", e.Service, f.Message, done.what, err), Err: errors.Join(cause, err),
		}
	}
	return &fault.Error{Op: f.Op, Code: f.Code, Message: f.Message + "; " + done.what, Hint: f.Hint, Err: cause}
}

// over ends a switch that is undone. What could not be removed is for the next run.
func (r *Runner) over(e *Entry) error {
	if e.Leftover {
		return r.Journal.Write(e)
	}
	return r.Journal.Remove(e.Host, e.Service)
}

// works says whether a version that was started again is healthy, by the gate that it
// had to pass.
func (r *Runner) works(ctx context.Context, done *restored) error {
	if done.again == nil {
		return nil
	}
	return done.again.Gate(NewGate(registry.Deploy{})).Pass(ctx, r.engine(), done.again.ID)
}

// patiently does again what an engine did not answer: it may be on its way back, and
// would not start by itself what was stopped.
func (r *Runner) patiently(e *Entry, do func() error) error {
	for began := time.Now(); ; {
		err := do()
		code := fault.CodeOf(err)
		silent := code == fault.EngineUnavailable || code == fault.HostUnreachable || errors.Is(err, context.DeadlineExceeded)
		if !silent || time.Since(began) >= engineReturns {
			return err
		}
		r.say(e, fmt.Sprint("waiting for the engine: ", err))
		time.Sleep(enginePause)
	}
}

// restore puts the old version where it was, from wherever a switch stopped: each part
// of it only where it is needed. Only a new one that does not end keeps the old one
// from running; it is removed last.
func (r *Runner) restore(ctx context.Context, e *Entry) (*restored, error) {
	if err := r.lookup(ctx, e); err != nil {
		return nil, err
	}
	made, err := r.get(ctx, e.New)
	if err != nil {
		return nil, err
	}
	var left error // of the new one, for which the old one does not wait
	if made != nil {
		if made.Spec.Restart != "no" {
			left = r.disable(ctx, made.ID)
		}
		if made.Runs() {
			if err := r.engine().Stop(ctx, made.ID, e.grace()); err != nil {
				return nil, err
			}
		}
		left = errors.Join(left, r.setAside(ctx, e, made))
	}
	done, err := r.again(ctx, e)
	if made != nil && e.Made {
		if e.Leftover = r.engine().Remove(ctx, made.ID) != nil; !e.Leftover {
			left = nil
		}
	}
	return done, errors.Join(err, left)
}

// again has the old container run under its name again, if it did.
func (r *Runner) again(ctx context.Context, e *Entry) (*restored, error) {
	if e.Old == "" {
		return &restored{what: "nothing ran before, and nothing does"}, nil
	}
	old, err := r.get(ctx, e.Old)
	if err != nil {
		return nil, err
	}
	if old == nil {
		return &restored{what: fmt.Sprintf("the container that ran before, %.12s, is gone: somebody has removed it", e.Old), gone: true}, nil
	}
	other, err := r.get(ctx, e.Container)
	if err != nil {
		return nil, err
	}
	if other != nil && other.Runs() && other.Labels[LabelService] == e.Service && other.ID != e.Old && other.ID != e.New {
		return &restored{what: fmt.Sprintf("generation %d runs, which somebody else has put in its place", other.Generation())}, nil
	}
	var failed error // does not keep it from running
	if e.Stopping && !e.Stopped || old.State == Paused {
		// An engine goes on stopping what it was asked to, whoever asked: this waits
		// for the end of it.
		failed = r.engine().Stop(ctx, old.ID, e.grace())
	}
	failed = errors.Join(failed, r.rename(ctx, old.ID, cmp.Or(e.OldName, e.Container)))
	if old.Spec.Restart != e.Restart || e.Step == "disable" { // half of which is done, perhaps
		failed = errors.Join(failed, r.engine().SetRestart(ctx, old.ID, e.Restart))
	}
	if e.Stopped {
		return &restored{what: "the version before is as it was, stopped"}, failed
	}
	if err := r.engine().Start(ctx, old.ID); errors.Is(err, ErrRefused) {
		return nil, errors.Join(fmt.Errorf("%w: %w", errDown, err), failed)
	} else if err != nil {
		return nil, errors.Join(err, failed)
	}
	done := &restored{what: "the version before runs"}
	if e.Stopping || old.State != Running {
		done.again = old
	}
	return done, failed
}

// lookup finds the new container that was made, perhaps, before anybody could learn
// its ID.
func (r *Runner) lookup(ctx context.Context, e *Entry) error {
	if e.New != "" || !e.Made {
		return nil
	}
	all, err := r.engine().List(ctx)
	if err != nil {
		return err
	}
	for i := range all {
		if all[i].Labels[LabelSwitch] == e.Token && all[i].Labels[LabelService] == e.Service {
			e.New = all[i].ID
		}
	}
	return nil
}
