package state

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/mirror"
	"homelab/internal/swap"
	"homelab/registry"
)

// End is one of the two hosts of a migration.
type End struct {
	Host   string
	At     registry.Host
	Engine deploy.Containers
	Site   Site  // of the host that a service leaves
	Place  Place // of the host that it goes to
	// Down is why the host cannot be reached; then it has no engine.
	Down error
}

// Migrator moves services from one host to another, or their state to another place on
// the same one: then both ends are that host.
type Migrator struct {
	From, To End
	Dir      string // of the journal
	By       string // who this is, as others are told who wait for it
	// Watch starts a process that outlives this one: when this one ends, or closes
	// done, it calls [Migrator.Repair]. Nil: nobody watches.
	Watch func(e *MigrateEntry) (done func(), err error)
	// Settle puts on record that the service has moved; made is its container, nil when
	// that is gone. It may be called again. Nil: nothing is on record.
	Settle func(e *MigrateEntry, made *deploy.Container) error
	Report func(message string) // may be nil
}

// Migrating says what is to be moved.
type Migrating struct {
	Service   string
	Container *deploy.Container    // that runs where it is moved from
	Items     []registry.StateItem // what is moved
	// Sources are where each of them is, on the same host; nil: where the other host is to
	// have it.
	Sources []registry.StateItem
	Target  deploy.Target // what is to run where it goes; its image is there
	Budget  time.Duration // that the service may be away
	Known   Pace          // how long it takes to stop, and to be there again
}

// Migrated is what a migration has done.
type Migrated struct {
	ID         string  `json:"id" jsonschema_description:"Of the migration: what was there before is kept under it, see state_restore."`
	Container  string  `json:"container" jsonschema_description:"Name of the container there."`
	Generation int     `json:"generation" jsonschema_description:"Its generation."`
	Kept       string  `json:"kept" jsonschema_description:"Name of the container that it was, which is kept, stopped."`
	Passes     int     `json:"passes" jsonschema_description:"Passes over the state; the last of what did not run."`
	Entries    int64   `json:"entries" jsonschema_description:"Folders, files and links that were moved."`
	Bytes      int64   `json:"bytes" jsonschema_description:"Bytes sent, in all passes."`
	LastBytes  int64   `json:"lastBytes" jsonschema_description:"Bytes sent in the last pass."`
	Outage     float64 `json:"outageSeconds" jsonschema_description:"From the request to stop until it was healthy on the other host."`
	Parts      Outage  `json:"outage" jsonschema_description:"That, part by part."`
	// Unfinished is what is left to do of it, though the service has moved; nil: nothing.
	Unfinished error `json:"-"`
}

// Migrate moves a service: its state is copied while it runs; then it is stopped, the
// last is copied, and another container of it is started where it goes, which has to be
// healthy. Whatever fails until then, it runs as before, and nothing is left of it where
// it was to go. From then on it is there, and stays stopped where it was.
func (m *Migrator) Migrate(ctx context.Context, x Migrating) (*Migrated, error) {
	unlock, err := m.lock(ctx, x.Service, 0)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if before, err := m.read(x.Service); err != nil {
		return nil, err
	} else if before != nil {
		hint := "run homelab deploy repair"
		if before.Step == MigrateCleaning {
			hint += "; when " + before.To + " is gone for good, remove " + before.Where().File(m.journal().Dir)
		}
		return nil, fault.Newf(fault.Conflict, hint, "a migration of %s to %s was broken off", x.Service, before.To)
	}
	t := &migration{Migrator: m, Migrating: x, done: &Migrated{}}
	defer t.close()
	if err := t.open(ctx); err != nil {
		return nil, err
	}
	if err := t.enter(ctx); err != nil {
		return nil, err
	}
	unwatch, err := t.watched()
	if err != nil {
		return nil, errors.Join(err, t.journal().Remove(t.entry.Host, t.Service))
	}
	defer unwatch()
	if err := t.move(ctx); err != nil {
		return nil, t.undone(err, m.undo(context.WithoutCancel(ctx), t.entry, t.idle))
	}
	t.done.Unfinished = m.finish(context.WithoutCancel(ctx), t.entry)
	return t.done, nil
}

// migration is one under way.
type migration struct {
	*Migrator
	Migrating
	entry   *MigrateEntry
	targets []Target
	relays  []*mirror.Relay
	last    []*mirror.Report // of the last pass, by item
	ended   chan error       // what came of the last pass; nil: it has not begun
	passes  []mirror.Report
	done    *Migrated
}

// source is where an item is.
func (t *migration) source(i int) registry.StateItem {
	if t.Sources == nil {
		return t.Items[i]
	}
	return t.Sources[i]
}

// idle ends what is copied, and waits for that.
func (t *migration) idle() {
	if t.ended != nil {
		<-t.ended
	}
	t.hangUp()
}

func (t *migration) close() {
	t.idle()
	for _, target := range t.targets {
		_ = target.Close() // nothing is written through it
	}
}

func (t *migration) hangUp() {
	for _, relay := range t.relays {
		_ = relay.Close() // of what is not complete
	}
	t.relays = nil
}

func (t *migration) open(ctx context.Context) error {
	for _, item := range t.Items {
		target, err := t.To.Place.Target(ctx, t.Service, item)
		if err != nil {
			return about(item, err)
		}
		t.targets = append(t.targets, target)
	}
	return nil
}

// enter writes down what is about to be done.
func (t *migration) enter(ctx context.Context) error {
	from, err := t.From.Engine.Platform(ctx)
	if err != nil {
		return err
	}
	to, err := t.To.Engine.Platform(ctx)
	if err != nil {
		return err
	}
	there, err := t.To.Engine.List(ctx)
	if err != nil {
		return err
	}
	c := t.Container
	t.entry = &MigrateEntry{
		Service: t.Service, Host: t.From.Host, At: t.From.At, To: t.To.Host, ToAt: t.To.At, ID: NewID(time.Now()), Items: t.Items,
		Step: MigratePreparing, Engine: from.ID, ToEngine: to.ID, Container: c.ID, Restart: c.Spec.Restart,
		Grace: c.Spec.StopGrace, Name: t.Target.Spec.Container, Policy: t.Target.Spec.Restart,
		Generation: max(c.Generation(), deploy.Newest(there, t.Service)) + 1, Begun: time.Now().UTC(),
	}
	for _, target := range t.targets {
		found, err := target.Look(ctx, 1)
		if err != nil {
			return err
		}
		if len(found.Mounts) > 0 {
			return fault.Newf(fault.Precondition, "unmount it, or have the registry name what is in it one by one", "%s is mounted in %s, which is to be swapped", found.Mounts[0], target.Path())
		}
	}
	t.done.ID, t.done.Container, t.done.Generation = t.entry.ID, t.entry.Name, t.entry.Generation
	t.done.Kept = t.entry.retired(c.Generation())
	return t.journal().Write(t.entry)
}

func (t *migration) watched() (done func(), err error) {
	if t.Watch == nil {
		return func() {}, nil
	}
	if done, err = t.Watch(t.entry); err != nil {
		return nil, fmt.Errorf("start the watchdog of %s: %w", t.Service, err)
	}
	return done, nil
}

// move does all until it is committed.
func (t *migration) move(ctx context.Context) error {
	streams, stop := context.WithCancel(ctx)
	defer stop()
	if err := t.prepare(ctx, streams); err != nil {
		return err
	}
	if err := t.precopy(ctx); err != nil {
		return err
	}
	if err := t.asFound(ctx, true); err != nil {
		return err
	}
	began := time.Now()
	if err := t.halt(ctx); err != nil {
		return err
	}
	if err := t.finalPass(ctx, began); err != nil {
		return err
	}
	if err := t.exchange(ctx); err != nil {
		return err
	}
	parts := &t.done.Parts
	t.done.Outage = time.Since(began).Seconds()
	parts.Wake = t.done.Outage - parts.Freeze - parts.Copy
	if err := t.asFound(ctx, false); err != nil {
		return err
	}
	return t.commit()
}

// precopy copies while the service runs, as long as it is worth it, and predicts how
// long the rest will take.
func (t *migration) precopy(ctx context.Context) error {
	for len(t.passes) < maxPasses && mirror.Worthwhile(t.passes, min(t.Budget, shortEnough)) {
		if err := t.pass(ctx, false); err != nil {
			return err
		}
		pass := t.passes[len(t.passes)-1]
		t.say("sent %d bytes of %s to %s while it runs; %d entries changed meanwhile", pass.Sent, t.Service, t.To.Host, pass.Unsettled)
	}
	copying := mirror.Predict(t.passes)
	predicted := t.Known.Freeze + copying + t.Known.Wake
	if predicted > t.Budget {
		return tooLong(t.Service, t.Budget, t.Known, copying)
	}
	t.done.Parts.Predicted = predicted.Seconds()
	return nil
}

// pass does one pass of all items.
func (t *migration) pass(ctx context.Context, final bool) error {
	all := mirror.Report{Final: final, Noted: []mirror.Skipped{}}
	t.last = nil
	for i, relay := range t.relays {
		r, err := relay.Pass(ctx, final)
		if err != nil {
			return about(t.Items[i], err)
		}
		add(&all, t.Items[i].Name(), r)
		t.last = append(t.last, r)
	}
	if all.Unowned > 0 {
		return fault.Newf(fault.Precondition, "run homelab as root", "%d entries of %s are of other users than this one, and would lose their owners: nothing is moved", all.Unowned, t.Service)
	}
	t.passes = append(t.passes, all)
	t.done.Passes, t.done.Entries, t.done.LastBytes = len(t.passes), all.Entries, all.Sent
	t.done.Bytes += all.Sent
	return nil
}

// halt stops the service where it is. It does not come back by itself.
func (t *migration) halt(ctx context.Context) error {
	if err := t.step(MigrateHalting); err != nil {
		return err
	}
	if err := deploy.SetPolicy(ctx, t.From.Engine, t.Container.ID, "no"); err != nil {
		return err
	}
	return t.From.Engine.Stop(ctx, t.Container.ID, t.Container.Spec.StopGrace)
}

// asFound fails unless the container is the one that was found, runs or not, and nothing
// else of the service runs on either host: somebody may work there from elsewhere.
func (t *migration) asFound(ctx context.Context, runs bool) error {
	found := false
	for _, end := range []*End{&t.From, &t.To} {
		all, err := end.Engine.List(ctx)
		if err != nil {
			return err
		}
		for i := range all {
			switch c := &all[i]; {
			case c.ID == t.Container.ID:
				found = c.Started.Equal(t.Container.Started) && (c.State == deploy.Running) == runs
			case c.ID != t.entry.Made && c.Labels[deploy.LabelService] == t.Service && c.Runs():
				return fault.Newf(fault.Conflict, "see who else deploys it, then try again", "%s, another container of %s, runs on %s: it may write to the same state", c.Name, t.Service, end.Host)
			}
		}
	}
	if !found {
		return fault.Newf(fault.Conflict, "see who else works on that host, then try again", "somebody has stopped, started or removed container %s meanwhile", t.Container.Name)
	}
	return nil
}

// finalPass copies what is left, and sees to it that all of it is on the disk.
func (t *migration) finalPass(ctx context.Context, began time.Time) error {
	limited, stop := context.WithDeadlineCause(ctx, began.Add(t.Budget+t.Container.Spec.StopGrace), errBudget)
	defer stop()
	resting := time.Now()
	t.done.Parts.Freeze = resting.Sub(began).Seconds()
	err := t.lastly(limited)
	if err != nil && context.Cause(limited) == errBudget {
		return fault.Newf(fault.Timeout, "set state.downtimeBudget to more, or have less change meanwhile",
			"the last of %s was not copied within %s", t.Service, t.Budget)
	}
	if err != nil {
		return err
	}
	t.done.Parts.Copy = time.Since(resting).Seconds()
	return t.verify(ctx)
}

// lastly does the last pass, and waits until what came is on the disk, as long as ctx
// lasts: a disk cannot be told to give up, but the service need not wait for it.
func (t *migration) lastly(ctx context.Context) error {
	t.ended = make(chan error, 1)
	go func() {
		defer close(t.ended)
		t.ended <- t.complete(ctx)
	}()
	select {
	case err := <-t.ended:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *migration) complete(ctx context.Context) error {
	if err := t.pass(ctx, true); err != nil {
		return err
	}
	relays := t.relays
	t.relays = nil
	var failed error
	for i, relay := range relays {
		failed = errors.Join(failed, about(t.Items[i], relay.Close()))
	}
	return failed
}

// verify holds what is staged against what was sent.
func (t *migration) verify(ctx context.Context) error {
	for i, target := range t.targets {
		found, err := target.Look(ctx, math.MaxInt64)
		if err != nil {
			return about(t.Items[i], err)
		}
		staged := int64(-1)
		for _, kept := range found.Kept {
			if kept.ID == t.entry.part(i) && kept.Step == swap.Staging {
				staged = kept.Entries
			}
		}
		if found.Folder {
			staged++ // itself
		}
		if want := t.last[i].Entries; staged != want {
			return fault.Newf(fault.Conflict, "see who else writes there, then try again", "%s has %d entries there, and should have %d", t.Items[i].Name(), staged, want)
		}
	}
	return nil
}

// exchange swaps the state in, and has the service run with it.
func (t *migration) exchange(ctx context.Context) error {
	if err := t.step(MigrateSwapping); err != nil {
		return err
	}
	for i, target := range t.targets {
		if err := target.Swap(ctx, t.entry.part(i)); err != nil {
			return about(t.Items[i], err)
		}
	}
	if t.entry.Made == "" {
		if err := t.create(ctx); err != nil {
			return err
		}
	}
	if err := t.step(MigrateStarting); err != nil {
		return err
	}
	if err := t.To.Engine.Start(ctx, t.entry.Made); err != nil {
		return err
	}
	return t.Target.Gate.Pass(ctx, t.To.Engine, t.entry.Made)
}

// commit is the one write from which on the service is on the other host.
func (t *migration) commit() error {
	before := t.entry.Step
	err := t.step(MigrateCommitted)
	if err == nil {
		return nil
	}
	if there, unread := t.read(t.Service); unread == nil && there != nil && there.Step == MigrateCommitted {
		return nil // it is written all the same
	}
	t.entry.Step = before
	return err
}

func (t *migration) step(to MigrateStep) error {
	t.say("%s: %s", t.Service, to)
	t.entry.Step = to
	return t.journal().Write(t.entry)
}

// undone says what a migration failed with, and its undoing, if that did.
func (t *migration) undone(err, undoing error) error {
	if f := fault.Of(undoing); undoing != nil && f.Code == fault.RollbackFailed {
		return fault.Newf(fault.RollbackFailed, f.Hint, "%s was not moved (%w), and %s", t.Service, err, f.Message)
	}
	f := fault.Of(err)
	what := fmt.Sprintf("%s; %s runs on %s as before", f.Message, t.Service, t.From.Host)
	if undoing != nil {
		what += fmt.Sprintf(", but: %v", undoing)
	}
	return &fault.Error{Op: f.Op, Code: f.Code, Message: what, Hint: f.Hint, Err: errors.Join(err, undoing)}
}

// part is the id of the swap of an item.
func (e *MigrateEntry) part(item int) string { return e.ID + "." + strconv.Itoa(item) }

func (m *Migrator) say(format string, args ...any) {
	if m.Report != nil {
		m.Report(fmt.Sprintf(format, args...))
	}
}
