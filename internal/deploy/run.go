package deploy

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
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

// ours are the containers of a service.
type ours struct {
	// current has the service's name, or runs under the one it had before the
	// registry gave it another.
	current *Container
	others  []Container
}

// generation of a container; 0 when its label does not tell.
func (c *Container) generation() int {
	n, err := strconv.Atoi(c.Labels[LabelGeneration])
	if err != nil {
		return 0
	}
	return n
}

// name is what a container of a service is called while another one is current.
func (r *Runner) name(container string, generation int) string {
	return fmt.Sprintf("%s.g%d", container, generation)
}

// find looks for the containers of a service.
func (r *Runner) find(ctx context.Context, service, container string) (*ours, error) {
	all, err := r.engine().List(ctx)
	if err != nil {
		return nil, err
	}
	return among(all, service, container), nil
}

func (r *Runner) engine() Containers { return patient{r.Engine} }

// among are the containers of a service among all of ours.
func among(all []Container, service, container string) *ours {
	found := &ours{}
	for _, c := range all {
		switch {
		case c.Labels[LabelService] != service:
		case c.Name == container:
			found.current = &c
		default:
			found.others = append(found.others, c)
		}
	}
	runs := func(c Container) bool { return c.State == Running || c.State == Restarting }
	if at := slices.IndexFunc(found.others, runs); found.current == nil && at >= 0 {
		renamed := found.others[at]
		found.current, found.others = &renamed, slices.Delete(found.others, at, at+1)
	}
	return found
}

// newest is the highest generation there is.
func (o *ours) newest() int {
	newest := 0
	if o.current != nil {
		newest = o.current.generation()
	}
	for i := range o.others {
		newest = max(newest, o.others[i].generation())
	}
	return newest
}

// of is the container of a generation; nil when there is none.
func (o *ours) of(generation int) *Container {
	for i := range o.others {
		if o.others[i].generation() == generation {
			return &o.others[i]
		}
	}
	return nil
}

// Run has a service run as it is to be. What ran before goes on, or runs again, when
// the new one does not pass its gate: then the error is [fault.Unhealthy], or what
// else was in the way, and with [fault.RollbackFailed] the old one could not be
// brought back. What an earlier run left in the middle is repaired first.
func (r *Runner) Run(ctx context.Context, t Target) (*Switched, error) {
	repaired, err := r.Repair(ctx, t.Spec.Service)
	if err != nil {
		return nil, err
	}
	there, err := r.free(ctx, t.Spec)
	if err != nil {
		return nil, err
	}
	if c := there.current; c != nil && c.Name == t.Spec.Container && c.State == Running && r.same(t, c) {
		return &Switched{Container: c.Name, ID: c.ID, Generation: c.generation(), Repaired: repaired}, nil
	}
	for _, network := range t.Spec.Networks {
		if err := r.engine().EnsureNetwork(ctx, network); err != nil {
			return nil, err
		}
	}
	e, err := r.entry(ctx, t, there)
	if err != nil {
		return nil, err
	}
	gate, err := json.Marshal(t.Gate)
	if err != nil {
		return nil, err
	}
	e.Generation, e.Made = there.newest()+1, true
	s, err := r.change(ctx, e, t.Strategy, func(ctx context.Context) (string, error) {
		labels := map[string]string{
			LabelService: t.Spec.Service, LabelGeneration: strconv.Itoa(e.Generation), LabelSpec: t.Spec.Hash(),
			LabelSwitch: e.Token, LabelGate: string(gate),
		}
		for key, value := range t.Labels {
			labels[key] = value
		}
		return r.engine().Create(ctx, r.name(e.Container, e.Generation), t.Spec, labels)
	}, t.Spec)
	if s != nil {
		s.Repaired = repaired
	}
	return s, err
}

// same says whether a container is as it is to be.
func (r *Runner) same(t Target, c *Container) bool {
	return c.Labels[LabelSpec] == t.Spec.Hash() && (t.ImageID == "" || c.ImageID == t.ImageID) && len(t.Spec.Differences(c.Spec, false)) == 0
}

// free looks for the containers of a service, and whether its name is taken by one
// that is not ours.
func (r *Runner) free(ctx context.Context, spec Spec) (*ours, error) {
	there, err := r.find(ctx, spec.Service, spec.Container)
	if err != nil || there.current != nil && there.current.Name == spec.Container {
		return there, err
	}
	foreign, err := r.engine().Container(ctx, spec.Container)
	if err != nil || foreign == nil {
		return there, err
	}
	whose := "that homelab has not made"
	if service := foreign.Labels[LabelService]; service != "" {
		whose = "of the service " + service
	}
	return nil, fault.Newf(fault.Conflict, "remove or rename it, or set deploy.container of "+spec.Service+" to another name",
		"host %s has a container %s %s", r.Host, spec.Container, whose)
}

func (r *Runner) entry(ctx context.Context, t Target, there *ours) (*Entry, error) {
	platform, err := r.engine().Platform(ctx)
	if err != nil {
		return nil, err
	}
	e := &Entry{
		Service: t.Spec.Service, Host: r.Host, Container: t.Spec.Container, Gate: t.Gate, Engine: platform.ID,
		Token: rand.Text(), Grace: t.Spec.StopGrace.String(), Begun: time.Now().UTC(),
	}
	if c := there.current; c != nil {
		e.Old, e.OldName, e.Restart = c.ID, c.Name, c.Spec.Restart
	}
	return e, nil
}

// Rollback has an earlier generation run again, which must still be there. The
// errors are those of Run.
func (r *Runner) Rollback(ctx context.Context, t Target, generation int) (*Switched, error) {
	repaired, err := r.Repair(ctx, t.Spec.Service)
	if err != nil {
		return nil, err
	}
	there, err := r.find(ctx, t.Spec.Service, t.Spec.Container)
	if err != nil {
		return nil, err
	}
	if c := there.current; c != nil && c.generation() == generation && c.State == Running {
		return &Switched{Container: there.current.Name, ID: there.current.ID, Generation: generation, Repaired: repaired}, nil
	}
	c := there.of(generation)
	if c == nil {
		return nil, fault.Newf(fault.NotFound, "it has "+there.generations(), "%s has no generation %d on host %s", t.Spec.Service, generation, r.Host)
	}
	e, err := r.entry(ctx, t, there)
	if err != nil {
		return nil, err
	}
	e.Generation, e.Restart = generation, cmp.Or(e.Restart, t.Spec.Restart)
	s, err := r.change(ctx, e, Replace, func(context.Context) (string, error) { return c.ID, nil }, c.Spec)
	if s != nil {
		s.Repaired = repaired
	}
	return s, err
}

func (o *ours) generations() string {
	list := []int{}
	for i := range o.others {
		list = append(list, o.others[i].generation())
	}
	slices.Sort(list)
	if len(list) == 0 {
		return "none"
	}
	return fmt.Sprint(list)
}

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

func (r *Runner) get(ctx context.Context, id string) (*Container, error) {
	if id == "" {
		return nil, nil
	}
	return r.engine().Container(ctx, id)
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

// rename gives a container a name that it may have.
func (r *Runner) rename(ctx context.Context, id, name string) error {
	c, err := r.get(ctx, id)
	if err != nil || c == nil || c.Name == name {
		return err
	}
	return r.engine().Rename(ctx, id, name)
}

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

// tidy removes generations beyond those that are kept: those that ran last stay, and
// always the one that ran before.
func (r *Runner) tidy(ctx context.Context, e *Entry) error {
	there, err := r.find(ctx, e.Service, e.Container)
	if err != nil {
		return err
	}
	slices.SortFunc(there.others, func(a, b Container) int {
		if a.ID == e.Old || b.ID == e.Old {
			return map[bool]int{true: -1, false: 1}[a.ID == e.Old]
		}
		return b.Started.Compare(a.Started)
	})
	for i := range there.others {
		c := &there.others[i]
		if i < r.Keep && !c.Started.IsZero() || c.State == Running {
			continue
		}
		if err := r.engine().Remove(ctx, c.ID); err != nil {
			return err
		}
	}
	return nil
}

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
