package deploy

import (
	"context"
	"time"

	"homelab/internal/fault"
)

// change is one switch under way.
func (r *Runner) change(ctx context.Context, e *Entry, strategy string, make func(context.Context) (string, error), spec Spec) (*Switched, error) {
	if strategy == Overlap && (len(spec.Ports) > 0 || spec.Security.HostNetwork) {
		return nil, fault.New(fault.Precondition, "strategy overlap with ports of the host: two containers cannot have one", "publish none, and leave out hostNetwork, or use strategy replace")
	}
	s := &Switched{Changed: true, Container: e.Container, Generation: e.Generation}
	if old, err := r.get(ctx, e.Old); err != nil {
		return nil, err
	} else if old != nil {
		s.Before = old.generation()
	}
	var outage time.Time
	err := r.step(e, "create", func() (err error) {
		if e.New, err = make(ctx); err != nil {
			return err
		}
		return r.check(ctx, e, spec)
	})
	if err == nil {
		if strategy == Overlap {
			err = r.overlap(ctx, e)
		} else {
			outage = time.Now()
			err = r.replace(ctx, e)
		}
	}
	if err != nil {
		return nil, r.back(ctx, e, err)
	}
	s.ID = e.New
	if e.Old != "" && strategy != Overlap {
		s.Downtime = float64(time.Since(outage).Round(time.Millisecond)) / float64(time.Second)
	}
	// What is left to do does no harm undone: the next run does it.
	after := context.WithoutCancel(ctx)
	e.Done = true
	if err := r.step(e, "tidy", func() error { return r.tidy(after, e) }); err != nil {
		return s, err
	}
	return s, r.Journal.Remove(e.Host, e.Service)
}

// step writes down what is about to be done, and does it.
func (r *Runner) step(e *Entry, name string, do func() error) error {
	e.Step = name
	e.Stopping = e.Stopping || name == "stop"
	if err := r.Journal.Write(e); err != nil {
		return err
	}
	if r.Report != nil {
		r.Report(e.Service + ": " + name)
	}
	return do()
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
		return fault.New(fault.Conflict, "the new container is gone: something else removed it", "see who else works on that host")
	case !e.Made:
		return nil
	}
	if differences := spec.Differences(c.Spec, false); len(differences) > 0 {
		d := differences[0]
		return fault.Newf(fault.Precondition, "see the log of the engine", "the engine made another container than was asked for: %s is %s instead of %s", d.Field, d.Is, d.Want)
	}
	return nil
}

func (e *Entry) grace() time.Duration { return duration(e.Grace, 10*time.Second) }

// replace stops the old container before it starts the new one.
func (r *Runner) replace(ctx context.Context, e *Entry) error {
	old, err := r.get(ctx, e.Old)
	if err != nil {
		return err
	}
	var steps []step
	if old != nil {
		steps = []step{
			{"disable", func() error { return r.engine().SetRestart(ctx, old.ID, "no") }},
			{"stop", func() error { return r.engine().Stop(ctx, old.ID, e.grace()) }},
			{"rename old", func() error { return r.rename(ctx, old.ID, r.name(e.Container, old.generation())) }},
		}
	}
	return r.steps(ctx, e, append(steps,
		step{"rename new", func() error { return r.rename(ctx, e.New, e.Container) }},
		step{"start", func() error { return r.start(ctx, e) }},
		step{"gate", func() error { return e.Gate.Pass(ctx, r.engine(), e.New) }},
	))
}

// start starts the new container. One of an earlier generation was told not to
// come back by itself.
func (r *Runner) start(ctx context.Context, e *Entry) error {
	if err := r.engine().Start(ctx, e.New); err != nil {
		return err
	}
	if e.Made || e.Restart == "" {
		return nil
	}
	return r.engine().SetRestart(ctx, e.New, e.Restart)
}

// overlap stops the old container when the new one has passed.
func (r *Runner) overlap(ctx context.Context, e *Entry) error {
	steps := []step{
		{"start", func() error { return r.start(ctx, e) }},
		{"gate", func() error { return e.Gate.Pass(ctx, r.engine(), e.New) }},
	}
	old, err := r.get(ctx, e.Old)
	if err != nil {
		return err
	}
	if old != nil {
		steps = append(steps,
			step{"rename old", func() error { return r.rename(ctx, old.ID, r.name(e.Container, old.generation())) }},
			step{"disable", func() error { return r.engine().SetRestart(ctx, old.ID, "no") }},
		)
	}
	steps = append(steps, step{"rename new", func() error { return r.rename(ctx, e.New, e.Container) }})
	if old != nil {
		steps = append(steps, step{"stop", func() error { return r.engine().Stop(ctx, old.ID, e.grace()) }})
	}
	return r.steps(ctx, e, steps)
}
