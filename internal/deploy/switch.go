package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"homelab/internal/fault"
)

// change is one switch under way: until the new version has passed its gate every
// trouble leads back, from then on there is only forward.
func (r *Runner) change(ctx context.Context, e *Entry, strategy string, make func(context.Context) (string, error), spec Spec) (*Switched, error) {
	if strategy == Overlap && (len(spec.Ports) > 0 || spec.Security.HostNetwork) {
		return nil, fault.New(fault.Precondition, "strategy overlap with ports of the host: two containers cannot have one", "publish none, and leave out hostNetwork, or use strategy replace")
	}
	s := &Switched{Changed: true, Container: e.Container, Generation: e.Generation}
	old, err := r.get(ctx, e.Old)
	if err != nil {
		return nil, err
	}
	if old != nil {
		s.Before = old.Generation()
	}
	var outage time.Time
	err = r.step(e, "create", func() (err error) {
		if e.New, err = make(ctx); err != nil {
			return err
		}
		return r.check(ctx, e, spec)
	})
	if err == nil {
		outage = time.Now()
		err = r.steps(ctx, e, r.way(ctx, e, strategy, old))
	}
	if err != nil {
		return nil, r.back(ctx, e, err)
	}
	s.ID = e.New
	if old != nil && !e.Stopped && strategy != Overlap {
		s.Downtime = float64(time.Since(outage).Round(time.Millisecond)) / float64(time.Second)
	}
	if err := r.conclude(ctx, e); err != nil {
		f := fault.Of(err)
		return s, &fault.Error{Op: f.Op, Code: f.Code, Message: f.Message + "; the new version runs, and what is left to do the next run does", Hint: f.Hint, Err: err}
	}
	return s, nil
}

// step writes down what is about to be done, and does it.
func (r *Runner) step(e *Entry, name string, do func() error) error {
	e.Step = name
	e.Stopping = e.Stopping || name == "stop"
	if err := r.Journal.Write(e); err != nil {
		return err
	}
	r.say(e, name)
	return do()
}

func (r *Runner) say(e *Entry, what string) {
	if r.Report != nil {
		r.Report(e.Service + ": " + what)
	}
}

// steps does one after another, until one fails.
func (r *Runner) steps(ctx context.Context, e *Entry, steps []step) error {
	for _, s := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.step(e, s.name, s.do); err != nil {
			return err
		}
	}
	return nil
}

type step struct {
	name string
	do   func() error
}

// check compares the new container with what was asked for.
func (r *Runner) check(ctx context.Context, e *Entry, spec Spec) error {
	c, err := r.get(ctx, e.New)
	switch {
	case err != nil:
		return err
	case c == nil:
		return errGone
	case !e.Made:
		return nil
	}
	if differences := spec.Differences(c.Spec, false); len(differences) > 0 {
		d := differences[0]
		return fault.Newf(fault.Precondition, "see the log of the engine", "the engine made another container than was asked for: %s is %s instead of %s", d.Field, d.Is, d.Want)
	}
	return nil
}

func (e *Entry) grace() time.Duration { return duration(e.Grace, DefaultStopGrace) }

// way are the steps from the new container to one that has passed its gate. With
// replace the old one ends first; with overlap nothing happens to it.
func (r *Runner) way(ctx context.Context, e *Entry, strategy string, old *Container) []step {
	var steps []step
	if strategy != Overlap {
		if old != nil {
			steps = []step{
				{"disable", func() error { return r.disable(ctx, old.ID) }},
				{"stop", func() error { return r.engine().Stop(ctx, old.ID, e.grace()) }},
				{"rename old", func() error { return r.setAside(ctx, e, old) }},
			}
		}
		steps = append(steps, step{"rename new", func() error { return r.rename(ctx, e.New, e.Container) }})
	}
	return append(steps,
		step{"start", func() error { return r.engine().Start(ctx, e.New) }},
		step{"gate", func() error { return e.Gate.Pass(ctx, r.engine(), e.New) }},
	)
}

// disable has a container not come back by itself.
func (r *Runner) disable(ctx context.Context, id string) error { return r.policy(ctx, id, "no") }

// enable has the new container come back by itself from now on.
func (r *Runner) enable(ctx context.Context, e *Entry) error {
	if e.Policy == "" {
		return nil
	}
	return r.policy(ctx, e.New, e.Policy)
}

// policy gives a container a restart policy. An engine refuses that to one that ends at
// this moment, and not to one that has ended.
func (r *Runner) policy(ctx context.Context, id, policy string) error {
	err := r.engine().SetRestart(ctx, id, policy)
	if errors.Is(err, ErrRefused) {
		err = r.engine().SetRestart(ctx, id, policy)
	}
	return err
}

// conclude ends a switch whose new version has passed its gate. That it has is
// written down first, and not needed: a journal that cannot be written leads to
// another look at the gate.
func (r *Runner) conclude(ctx context.Context, e *Entry) error {
	ctx = context.WithoutCancel(ctx)
	passed := !e.Done // just now
	e.Done, e.Stopping = true, e.Old != ""
	err := r.step(e, "finish", func() error { return nil })
	if err != nil {
		r.say(e, fmt.Sprint("the journal cannot be written: ", err))
	}
	err = r.patiently(e, func() error {
		if passed { // and has ended, perhaps, with an engine that is restarted
			if err := r.engine().Start(ctx, e.New); err != nil {
				return err
			}
		}
		return r.finish(ctx, e)
	})
	if err != nil {
		return err
	}
	if err := r.Journal.Remove(e.Host, e.Service); err != nil {
		return err
	}
	if err := r.tidy(ctx, e); err != nil {
		r.say(e, fmt.Sprint("earlier generations are left for the next run to remove: ", err))
	}
	return nil
}

// finish gives the new container its place, wherever a switch stopped. The old one
// gives up its name before it ends: nobody is without either.
func (r *Runner) finish(ctx context.Context, e *Entry) error {
	old, err := r.get(ctx, e.Old)
	if err != nil {
		return err
	}
	if old != nil {
		if err := errors.Join(r.disable(ctx, old.ID), r.setAside(ctx, e, old)); err != nil {
			return err
		}
	}
	if err := errors.Join(r.rename(ctx, e.New, e.Container), r.enable(ctx, e)); err != nil {
		return err
	}
	if old == nil || !old.Runs() {
		return nil
	}
	return r.engine().Stop(ctx, old.ID, e.grace())
}
