package quiesce

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/registry"
)

// Quiescer puts services of one host to rest. One service is put to rest by one at a
// time: the caller sees to that.
type Quiescer struct {
	Engine  deploy.Containers
	Host    string
	At      registry.Host // where that is, for whoever wakes what this process left
	Journal Journal
	// Watch starts a process that outlives this one: when this one ends, or closes
	// done, and when the limit of the entry is over, it calls [Quiescer.Wake]. Nil:
	// nobody watches.
	Watch func(e *Entry) (done func(), err error)
	// Method is how the registry has the service rest now, which may be the way out
	// when it does not wake as was once said; nil: not known.
	Method *Method
	Report func(message string) // may be nil
}

// Rest is a service that is at rest, until it is woken.
type Rest struct {
	q         *Quiescer
	entry     *Entry // nil: there is nothing to wake
	container *deploy.Container
	service   string
	others    map[string]time.Time // its other containers, and when they were started
	unwatch   func()
	began     time.Time

	// Reached is how the service came to rest: the kind of the method; none when it
	// could not, and the method is tolerant; stop when it did not run anyway.
	Reached Kind
	// Problem is why it could not be put to rest, where that is tolerated.
	Problem error
}

// Begin puts a service to rest, whose container is c; nil: it has none. It may be
// at rest for no longer than the limit. After an error it is as it was.
func (q *Quiescer) Begin(ctx context.Context, service string, c *deploy.Container, m Method, limit time.Duration) (*Rest, error) {
	r := &Rest{q: q, container: c, service: service, unwatch: func() {}, Reached: m.Kind, began: time.Now()}
	if err := r.asFound(ctx); err != nil {
		return nil, err
	}
	switch {
	case m.Kind == Dump && (c == nil || c.State != deploy.Running):
		return nil, fault.Newf(fault.Precondition, "start it; or choose another state.quiesce", "%s does not run, and so cannot dump its state", service)
	case c == nil || !c.Runs():
		r.Reached = Stop
		return r, nil
	case c.State == deploy.Paused:
		r.Reached = Pause // by somebody else, who lets it go on
		return r, nil
	case m.Kind == None:
		return r, nil
	}
	if err := q.begin(ctx, r, service, m, limit); err != nil {
		return nil, err
	}
	r.began = time.Now()
	over, err := q.freeze(ctx, r.entry, c)
	if over {
		err = errors.Join(err, q.note(ctx, r.entry, func() { r.entry.Asked = true }))
	}
	if err == nil {
		return r, nil
	}
	if woken := r.Wake(ctx); woken != nil {
		return nil, fault.Newf(fault.RollbackFailed, fault.Of(woken).Hint, "%s could not be put to rest (%w), nor woken: %w", service, err, woken)
	}
	if m.Tolerant && ctx.Err() == nil {
		r.Reached, r.Problem = None, err
		return r, nil
	}
	return nil, err
}

// note changes the entry, unless the watchdog was faster.
func (q *Quiescer) note(ctx context.Context, e *Entry, change func()) error {
	unlock, err := q.Journal.Lock(ctx, e.Host, e.Service)
	if err != nil {
		return err
	}
	defer unlock()
	there, err := q.Journal.Read(e.Host, e.Service)
	if err != nil {
		return err
	}
	if there == nil || there.Token != e.Token {
		return fault.Newf(fault.Timeout, "give state.downtimeBudget more time", "%s took longer than %s to come to rest, and was woken", e.Service, e.Limit)
	}
	change()
	return q.Journal.Write(e)
}

// begin writes the entry, and has it watched.
func (q *Quiescer) begin(ctx context.Context, r *Rest, service string, m Method, limit time.Duration) error {
	platform, err := q.Engine.Platform(ctx)
	if err != nil {
		return err
	}
	e := &Entry{
		Service: service, Host: q.Host, At: q.At, Container: r.container.ID, Name: r.container.Name, Engine: platform.ID, Method: m, Limit: limit,
		Started: r.container.Started, Token: rand.Text(), Begun: time.Now().UTC(),
	}
	unlock, err := q.Journal.Lock(ctx, q.Host, service)
	if err != nil {
		return err
	}
	defer unlock()
	before, err := q.Journal.Read(q.Host, service)
	if err != nil {
		return err
	}
	if before != nil {
		return fault.Newf(fault.Conflict, "run homelab deploy repair", "%s was put to rest before, and not woken", service)
	}
	if err := q.Journal.Write(e); err != nil {
		return err
	}
	r.entry = e
	if q.Watch == nil {
		return nil
	}
	unwatch, err := q.Watch(e)
	if err != nil {
		return fmt.Errorf("start the watchdog of %s: %w", service, removed(q.Journal, e, err))
	}
	r.unwatch = unwatch
	return nil
}

// asFound fails with [fault.Conflict] unless the container is the one that the caller
// has found, and no other one of the service runs: somebody may deploy it from another
// machine, where no lock of ours holds.
func (r *Rest) asFound(ctx context.Context) error {
	all, err := r.q.Engine.List(ctx)
	if err != nil {
		return err
	}
	found := r.container == nil
	r.others = map[string]time.Time{}
	for i := range all {
		switch c := &all[i]; {
		case r.container != nil && c.ID == r.container.ID:
			// An engine that restarts it by itself is nobody else.
			found = c.Started.Equal(r.container.Started) && c.State == r.container.State || c.Restarts > r.container.Restarts
			r.container = c
		case c.Labels[deploy.LabelService] != r.service:
		case c.Runs():
			return r.another(c)
		default:
			r.others[c.ID] = c.Started
		}
	}
	if !found {
		return fault.Newf(fault.Conflict, "see who else works on that host, then try again", "somebody has stopped, started or removed container %s meanwhile", r.container.Name)
	}
	return nil
}

func (r *Rest) another(c *deploy.Container) error {
	return fault.Newf(fault.Conflict, "see who else deploys it, then try again", "%s, another container of %s, runs too: it may write to the same state", c.Name, r.service)
}

// Alone fails with [fault.Conflict] when another container of the service was started
// since it was put to rest.
func (r *Rest) Alone(ctx context.Context) error {
	all, err := r.q.Engine.List(ctx)
	if err != nil {
		return err
	}
	for i := range all {
		c := &all[i]
		if c.Labels[deploy.LabelService] != r.service || r.container != nil && c.ID == r.container.ID {
			continue
		}
		if c.Runs() || !c.Started.Equal(r.others[c.ID]) {
			return r.another(c)
		}
	}
	return nil
}

// removed forgets an entry after err.
func removed(j Journal, e *Entry, err error) error {
	if failed := j.Remove(e.Host, e.Service); failed != nil {
		return fmt.Errorf("%w; %w", err, failed)
	}
	return err
}

// Still fails with [fault.Conflict] unless the service has been at rest since it was
// put there: somebody may have started it, and the watchdog have woken it.
func (r *Rest) Still(ctx context.Context) error {
	if r.entry != nil {
		e, err := r.q.Journal.Read(r.entry.Host, r.entry.Service)
		if err != nil {
			return err
		}
		if e == nil || e.Token != r.entry.Token {
			return fault.Newf(fault.Timeout, "give state.downtimeBudget more time", "%s was woken after %s: that is how long it may be at rest", r.entry.Service, r.entry.Limit)
		}
	}
	if r.container == nil || r.Reached == None {
		return nil
	}
	c, err := r.q.Engine.Container(ctx, r.container.ID)
	if err != nil {
		return err
	}
	same := c != nil && c.Started.Equal(r.container.Started)
	switch {
	case r.Reached == Stop && (c == nil || same && !c.Runs()):
		return nil
	case r.Reached.calls() && same && c.State == deploy.Running:
		return nil
	case r.Reached.rests() && r.Reached != Stop && same && c.State == deploy.Paused:
		return nil
	case r.Reached.calls():
		return fault.Newf(fault.Conflict, "see who else works on that host, then try again", "container %s was stopped, paused or started anew meanwhile", r.container.Name)
	}
	return fault.Newf(fault.Conflict, "see who else works on that host, then try again", "somebody has woken container %s meanwhile", r.container.Name)
}

// Wake wakes the service, whatever became of ctx, and waits until it is healthy. When
// it was woken before it does nothing.
func (r *Rest) Wake(ctx context.Context) error {
	defer r.unwatch()
	if r.entry == nil {
		return nil
	}
	_, err := r.q.Wake(context.WithoutCancel(ctx), r.entry.Service, r.entry.Token)
	r.entry = nil
	return err
}

// Seconds is how long ago the service was asked to rest.
func (r *Rest) Seconds() float64 { return time.Since(r.began).Seconds() }
