package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"homelab/internal/bundle"
	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/quiesce"
	"homelab/internal/swap"
	"homelab/registry"
)

// Place is where the state of the services of one host is to be.
type Place interface {
	// Target opens the place of an item of a service, and makes a volume that is not
	// there. It is the same place every time, also when nothing was there at first.
	Target(ctx context.Context, service string, item registry.StateItem) (Target, error)
	// View is Target, and makes nothing. A volume that is not there looks as an empty one
	// would, and nothing else can be done with it.
	View(ctx context.Context, service string, item registry.StateItem) (Target, error)
}

// Target is the place of one item; [swap.Target] tells what each method does. It may be
// on another machine. When that cannot be reached any more, a method fails, and the next
// one reaches for it anew.
type Target interface {
	Path() string
	// Work is the folder of this machine that what is new is extracted into before it is
	// delivered; empty: it is extracted where it is swapped from.
	Work() string
	Look(ctx context.Context, most int64) (*swap.Found, error)
	Measure(ctx context.Context, most int64, without []string) (swap.Amount, error)
	Stage(ctx context.Context, id string) (root *os.Root, name string, err error)
	// Deliver brings what was extracted, as Stage said, to where it is swapped from. When
	// it returns it is on the disk there, and nothing of it in Work.
	Deliver(ctx context.Context, id string) error
	// Fill opens a stream to who fills what was staged, and where nothing was extracted
	// yet: a [mirror.Sink] that serves until the stream is closed; then all of it is on
	// the disk. Files keep setuid, setgid and capabilities. ctx lasts until then.
	Fill(ctx context.Context, id string) (io.ReadWriteCloser, error)
	Swap(ctx context.Context, id string) error
	Back(ctx context.Context, id string) error
	Discard(ctx context.Context, id string) error
	Commit(ctx context.Context, id string) error
	Close() error
}

// Restorer restores services of one host.
type Restorer struct {
	// Quiescer puts a service to rest that is captured: one that is at rest by its
	// journal is not restored. A restore has a journal of its own, so that nobody wakes
	// a service that is swapped by half.
	Quiescer *quiesce.Quiescer
	Place    Place
	Dir      string // of the journal
	// Watch starts a process that outlives this one: when this one ends, or closes
	// done, it calls [Restorer.Repair]. Nil: nobody watches.
	Watch  func(e *RestoreEntry) (done func(), err error)
	Report func(message string) // may be nil
}

// Restoring says what is to be restored.
type Restoring struct {
	Service    string
	Container  *deploy.Container     // nil: it has none
	Items      []registry.StateItem  // all of the service
	Only       []string              // names of items; none: all of the bundle
	Bundle     Bundle                // open, and trusted
	Privileged bool                  // setuid, setgid and capabilities of files come back
	Progress   func(bundle.Progress) // may be nil
}

// Restored is what a restore has done.
type Restored struct {
	ID       string         `json:"id" jsonschema_description:"Of the restore: what it has put aside is kept under it."`
	Items    []RestoredItem `json:"items" jsonschema_description:"What was restored."`
	Placed   int64          `json:"placed" jsonschema_description:"Entries that were made."`
	Stripped int64          `json:"stripped" jsonschema_description:"Files without the setuid, setgid or capabilities they had."`
	Author   string         `json:"author,omitempty" jsonschema_description:"Fingerprint of the key that signed the bundle."`
	Outage   float64        `json:"outage" jsonschema_description:"Seconds from the request to stop until it was healthy again; 0: it did not run, and was not started."`
}

// RestoredItem is an item that was restored.
type RestoredItem struct {
	Name string `json:"name" jsonschema_description:"Volume or path."`
	Path string `json:"path" jsonschema_description:"Where it is on the host; what was there is kept in it, or beside it, as .homelab-ID."`
}

// Restore brings a bundle back. It is extracted, verified, and brought beside what is
// there while the service runs; then the service is stopped, what is new swapped in, and the service
// started, which waits until it is healthy. Whatever fails, what was there is there
// again, and the service as it was. On success what was there is kept until
// [Restorer.Commit].
func (r *Restorer) Restore(ctx context.Context, x Restoring) (*Restored, error) {
	unlock, err := r.lock(ctx, x.Service)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := r.idle(x); err != nil {
		return nil, err
	}
	t := &restoring{Restorer: r, Restoring: x}
	defer t.close()
	if err := t.choose(); err != nil {
		return nil, err
	}
	if err := t.open(ctx, t.Place.Target); err != nil {
		return nil, err
	}
	if err := t.check(ctx); err != nil {
		return nil, err
	}
	unwatch, err := t.begin(ctx, RestoreEntry{ID: NewID(time.Now()), Bundle: t.Bundle.Manifest().ID, Step: RestoreStaging})
	if err != nil {
		return nil, err
	}
	defer unwatch()
	done, err := t.restore(ctx)
	if err == nil {
		err = r.forget(x.Service) // from here on it is not undone
	}
	if err == nil {
		return done, nil
	}
	return nil, t.undone(err, r.undo(context.WithoutCancel(ctx), t.entry, t.targets))
}

// idle fails when the service is being worked on by somebody who has not finished.
func (r *Restorer) idle(x Restoring) error {
	before, err := r.read(x.Service)
	if err != nil {
		return err
	}
	resting, err := r.Quiescer.Journal.Read(r.Quiescer.Host, x.Service)
	switch {
	case err != nil:
		return err
	case before != nil:
		return fault.Newf(fault.Conflict, "run homelab deploy repair", "a restore of %s was broken off", x.Service)
	case resting != nil:
		return fault.Newf(fault.Conflict, "run homelab deploy repair", "%s was put to rest before, and not woken", x.Service)
	case x.Container != nil && x.Container.State == deploy.Paused:
		return fault.Newf(fault.Precondition, "unpause or stop it", "somebody has paused container %s", x.Container.Name)
	}
	return nil
}

// restoring is a restore.
type restoring struct {
	*Restorer
	Restoring
	chosen  []chosen
	targets []Target // of each that is chosen
	entry   *RestoreEntry
}

// chosen is an item that is to be restored.
type chosen struct {
	number int // in the bundle
	from   bundle.Item
	to     registry.StateItem
}

func (t *restoring) close() {
	for _, target := range t.targets {
		_ = target.Close() // nothing is written through it
	}
}

// open opens the places of all that is chosen.
func (t *restoring) open(ctx context.Context, by func(context.Context, string, registry.StateItem) (Target, error)) error {
	for _, c := range t.chosen {
		target, err := by(ctx, t.Service, c.to)
		if err != nil {
			return about(c.to, err)
		}
		t.targets = append(t.targets, target)
	}
	return nil
}

// begin writes down what is about to be done, and has somebody repair it when this
// process does not come to its end, which is when unwatch is called.
func (t *restoring) begin(ctx context.Context, e RestoreEntry) (unwatch func(), err error) {
	t.entry = &e
	e.Service, e.Host, e.At, e.Begun = t.Service, t.Quiescer.Host, t.Quiescer.At, time.Now().UTC()
	for _, c := range t.chosen {
		e.Items = append(e.Items, c.to)
	}
	if t.Container != nil {
		platform, err := t.Quiescer.Engine.Platform(ctx)
		if err != nil {
			return nil, err
		}
		e.Engine, e.Container, e.Ran = platform.ID, t.Container.ID, t.Container.Runs()
	}
	if err := t.journal().Write(t.entry); err != nil {
		return nil, err
	}
	if t.Watch == nil {
		return func() {}, nil
	}
	if unwatch, err = t.Watch(t.entry); err != nil { // nothing was touched
		return nil, errors.Join(fmt.Errorf("start the watchdog of %s: %w", t.Service, err), t.forget(t.Service))
	}
	return unwatch, nil
}

// restore does all of it.
func (t *restoring) restore(ctx context.Context) (*Restored, error) {
	extracted, err := t.extract(ctx)
	if err != nil {
		return nil, err
	}
	if err := t.deliver(ctx); err != nil {
		return nil, err
	}
	t.say("%s is verified; now it takes the place of what is there", t.entry.Bundle)
	began := time.Now()
	if err := t.exchange(ctx); err != nil {
		return nil, err
	}
	done := t.done(began)
	done.Placed, done.Stripped, done.Author = extracted.Placed, extracted.Stripped, extracted.Author
	return done, nil
}

// done is what was restored, by a service that was stopped then.
func (t *restoring) done(stopped time.Time) *Restored {
	done := &Restored{ID: t.entry.ID, Items: []RestoredItem{}}
	for i, c := range t.chosen {
		done.Items = append(done.Items, RestoredItem{c.to.Name(), t.targets[i].Path()})
	}
	if t.entry.Ran {
		done.Outage = time.Since(stopped).Seconds()
	}
	return done
}

// extract makes what is new beside what is there.
func (t *restoring) extract(ctx context.Context) (*bundle.Extracted, error) {
	into := make([]bundle.Target, len(t.Bundle.Manifest().Items))
	for i, c := range t.chosen {
		root, name, err := t.targets[i].Stage(ctx, t.entry.part(i))
		if err != nil {
			return nil, about(c.to, err)
		}
		defer root.Close()
		into[c.number] = bundle.Target{Root: root, Name: name}
	}
	done, err := t.Bundle.Extract(ctx, bundle.Extraction{Targets: into, Privileged: t.Privileged, Sync: true, Progress: t.Progress})
	if errors.Is(err, os.ErrExist) { // a folder is staged as a folder that is there and empty
		return nil, fault.Newf(fault.BundleIncompatible, "move the folder away, or name other items to restore", "what is a file in the bundle is a folder here: %w", err)
	}
	if err == nil && done.Unowned > 0 {
		return nil, fault.Newf(fault.Precondition, "run homelab as root", "%d entries of %s are of other users than this one, and would lose their owners: nothing is restored", done.Unowned, t.entry.Bundle)
	}
	return done, err
}

// deliver brings what is new to the host.
func (t *restoring) deliver(ctx context.Context) error {
	for i, target := range t.targets {
		if err := target.Deliver(ctx, t.entry.part(i)); err != nil {
			return about(t.chosen[i].to, err)
		}
	}
	return nil
}

// exchange swaps while the service is at rest, and wakes it.
func (t *restoring) exchange(ctx context.Context) error {
	if err := t.halt(ctx, t.entry); err != nil {
		return err
	}
	t.entry.Step = RestoreSwapping
	if err := t.journal().Write(t.entry); err != nil {
		return err
	}
	for i, target := range t.targets {
		if err := target.Swap(ctx, t.entry.part(i)); err != nil {
			return about(t.chosen[i].to, err)
		}
	}
	if t.Container != nil {
		c, err := t.Quiescer.Engine.Container(ctx, t.Container.ID)
		if err != nil {
			return err
		}
		if c != nil && c.Runs() {
			return fault.Newf(fault.Conflict, "see who else works on that host, then try again", "somebody has started container %s meanwhile", c.Name)
		}
	}
	_, err := t.rests().Wake(ctx, t.Service, "")
	return err
}

// undone says what a restore failed with, and its undoing, if that did.
func (t *restoring) undone(err, undoing error) error {
	if f := fault.Of(undoing); undoing != nil && f.Code == fault.RollbackFailed {
		return fault.Newf(fault.RollbackFailed, f.Hint, "%s was not restored (%w), and %s", t.Service, err, f.Message)
	}
	if f := fault.Of(err); f.Code == fault.RollbackFailed && f.Err != nil { // it could not be started then, but is now
		err = fmt.Errorf("%s could not be started: %w", t.Service, f.Err)
	}
	if undoing != nil {
		return fmt.Errorf("%w; what was there before is there again, but: %w", err, undoing)
	}
	return err
}

// Commit removes what a restore has put aside, for good. With an item that has nothing
// of it there is nothing to do.
func (r *Restorer) Commit(ctx context.Context, service string, items []registry.StateItem, id string) error {
	if _, ok := Created(id); !ok {
		return fault.Newf(fault.InvalidArgument, "name it as the restore did", "%q is not the id of a restore", id)
	}
	unlock, err := r.lock(ctx, service)
	if err != nil {
		return err
	}
	defer unlock()
	if e, err := r.read(service); err != nil {
		return err
	} else if e != nil {
		return fault.Newf(fault.Conflict, "run homelab deploy repair", "a restore of %s was broken off", service)
	}
	for _, item := range items {
		if err := about(item, r.commit(ctx, service, item, id)); err != nil {
			return err
		}
	}
	return nil
}

func (r *Restorer) commit(ctx context.Context, service string, item registry.StateItem, id string) error {
	target, err := r.Place.View(ctx, service, item)
	if fault.CodeOf(err) == fault.NotFound {
		return nil // where nothing can be, nothing is
	}
	if err != nil {
		return err
	}
	defer target.Close()
	found, err := target.Look(ctx, 0)
	if err != nil {
		return err
	}
	for _, kept := range found.Kept {
		restore, _, _ := strings.Cut(kept.ID, ".")
		if restore != id {
			continue
		}
		remove := target.Commit
		if kept.Step == swap.Staging { // of one that was undone
			remove = target.Discard
		}
		if err := remove(ctx, kept.ID); err != nil {
			return err
		}
	}
	return nil
}

// part is the id of the swap of an item.
func (e *RestoreEntry) part(item int) string { return e.ID + "." + strconv.Itoa(item) }

func (r *Restorer) say(format string, args ...any) {
	if r.Report != nil {
		r.Report(fmt.Sprintf(format, args...))
	}
}

// lockPatience is how long another restore of the service may still be ending.
const lockPatience = time.Second

// lock is held by who restores a service, as long as it takes.
func (r *Restorer) lock(ctx context.Context, service string) (unlock func(), err error) {
	brief, stop := context.WithTimeout(ctx, lockPatience)
	defer stop()
	unlock, err = r.journal().Lock(brief, r.Quiescer.Host, service)
	if err != nil && brief.Err() != nil && ctx.Err() == nil {
		return nil, fault.Newf(fault.Locked, "wait for it", "%s is being restored by another process", service)
	}
	return unlock, err
}
