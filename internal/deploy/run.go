package deploy

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"homelab/internal/fault"
)

// Strategies.
const (
	Replace = "replace" // stop the old one, then start the new one
	Overlap = "overlap" // start the new one beside the old one, then switch
)

// Target is what a service is to run.
type Target struct {
	Spec     Spec
	ImageID  string            // that the pin of the spec leads to; empty: not known
	Labels   map[string]string // of ours, but for those that the runner writes
	Gate     Gate
	Strategy string
	// Over is the ID of the container that it takes the place of; empty: there is to
	// be none. Another one is a [fault.Conflict]. Nil: whichever there is.
	Over *string
}

// Runner switches the versions of services on one host. One service is switched by
// one at a time: the caller sees to that.
type Runner struct {
	Engine  Containers // every call is bounded in time
	Host    string
	Journal Journal
	Keep    int                  // generations that are kept stopped, beside the running one
	Report  func(message string) // may be nil
}

// Switched says what came of a switch.
type Switched struct {
	Changed    bool    `json:"changed" jsonschema_description:"False when it ran already as it is to be."`
	Container  string  `json:"container" jsonschema_description:"Name of the container."`
	ID         string  `json:"id" jsonschema_description:"ID of the container that runs now."`
	Generation int     `json:"generation" jsonschema_description:"Its generation: counts up with every version of the service."`
	Before     int     `json:"before,omitempty" jsonschema_description:"Generation that ran before; left out when none did."`
	Downtime   float64 `json:"downtimeSeconds" jsonschema_description:"How long nothing ran, in seconds; 0 when something always did."`
	Repaired   string  `json:"repaired,omitempty" jsonschema_description:"What was left of an earlier switch that was broken off, and what became of it."`
}

func (r *Runner) engine() Containers { return patient{r.Engine} }

// Run has a service run as it is to be. What ran before goes on, or runs again, when
// the new one does not pass its gate: then the error is [fault.Unhealthy], or what
// else was in the way, and with [fault.RollbackFailed] the old one could not be
// brought back. What an earlier run left in the middle is repaired first.
func (r *Runner) Run(ctx context.Context, t Target) (*Switched, error) {
	repaired, down, err := r.repaired(ctx, t.Spec.Service)
	if err != nil {
		return nil, err
	}
	there, err := r.switchable(ctx, t)
	if err != nil {
		return nil, err
	}
	same, err := r.same(ctx, t, there.current)
	if err != nil {
		return nil, err
	}
	if c := there.current; same {
		return &Switched{Container: c.Name, ID: c.ID, Generation: c.Generation(), Repaired: repaired}, nil
	}
	for _, network := range t.Spec.Networks {
		if err := r.engine().EnsureNetwork(ctx, network); err != nil {
			return nil, err
		}
	}
	e, err := r.entry(ctx, t, there, down)
	if err != nil {
		return nil, err
	}
	e.Generation, e.Made, e.Policy = there.newest()+1, true, t.Spec.Restart
	// Until it has passed nothing starts it again: one that crashes over and over keeps
	// the engine busy, and the one before waiting.
	spec := t.Spec
	spec.Restart = "no"
	s, err := r.change(ctx, e, t.Strategy, func(ctx context.Context) (string, error) {
		labels, err := LabelsOf(t, e.Generation, e.Token)
		if err != nil {
			return "", err
		}
		return r.engine().Create(ctx, kept(e.Container, e.Generation), spec, labels)
	}, spec)
	if s != nil {
		s.Repaired = repaired
	}
	return s, err
}

// same says whether a container runs as it is to be; nil does not.
func (r *Runner) same(ctx context.Context, t Target, c *Container) (bool, error) {
	if c == nil || c.Name != t.Spec.Container || c.State != Running || c.Labels[LabelSpec] != t.Spec.Hash() ||
		t.ImageID != "" && c.ImageID != t.ImageID || len(t.Spec.Differences(c.Spec, false)) > 0 {
		return false, nil
	}
	differ, err := envDiffers(ctx, r.engine(), c, t.Spec)
	return len(differ) == 0, err
}

// repaired repairs what an earlier run left. That the version before is down and
// cannot be started keeps nobody from running another one.
func (r *Runner) repaired(ctx context.Context, service string) (what string, down bool, err error) {
	what, err = r.Repair(ctx, service)
	if errors.Is(err, errDown) {
		return err.Error(), true, nil
	}
	return what, false, err
}

// entry is a switch that begins. Down says that what is current does not run though
// it should.
func (r *Runner) entry(ctx context.Context, t Target, there *ours, down bool) (*Entry, error) {
	platform, err := r.engine().Platform(ctx)
	if err != nil {
		return nil, err
	}
	e := &Entry{
		Service: t.Spec.Service, Host: r.Host, Container: t.Spec.Container, Gate: t.Gate, Engine: platform.ID,
		Token: rand.Text(), Begun: time.Now().UTC(),
	}
	grace := t.Spec.StopGrace
	if c := there.current; c != nil {
		e.Old, e.OldName, e.Restart, e.Stopped = c.ID, c.Name, c.Spec.Restart, !c.Runs() && !down
		grace = max(grace, c.Spec.StopGrace)
	}
	e.Grace = grace.String()
	return e, nil
}

// Rollback has an earlier generation run again, which must still be there. It has to
// pass the gate that it passed once, and gets the restart policy of the target. The
// errors are those of Run.
func (r *Runner) Rollback(ctx context.Context, t Target, generation int) (*Switched, error) {
	repaired, down, err := r.repaired(ctx, t.Spec.Service)
	if err != nil {
		return nil, err
	}
	there, err := r.switchable(ctx, t)
	if err != nil {
		return nil, err
	}
	if c := there.current; c != nil && c.Generation() == generation && c.State == Running {
		return &Switched{Container: there.current.Name, ID: there.current.ID, Generation: generation, Repaired: repaired}, nil
	}
	c := there.of(generation)
	if c == nil {
		return nil, fault.Newf(fault.NotFound, "it has "+there.generations(), "%s has no generation %d on host %s", t.Spec.Service, generation, r.Host)
	}
	t.Gate = c.Gate(t.Gate)
	e, err := r.entry(ctx, t, there, down)
	if err != nil {
		return nil, err
	}
	e.Generation, e.Policy = generation, t.Spec.Restart
	s, err := r.change(ctx, e, Replace, func(context.Context) (string, error) { return c.ID, nil }, c.Spec)
	if s != nil {
		s.Repaired = repaired
	}
	return s, err
}
