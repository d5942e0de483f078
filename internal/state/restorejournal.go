package state

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"homelab/internal/deploy"
	"homelab/internal/durable"
	"homelab/internal/fault"
	"homelab/internal/quiesce"
	"homelab/registry"
)

// RestoreEntry is a restore that is under way, or was broken off.
type RestoreEntry struct {
	Service   string               `json:"service"`
	Host      string               `json:"host"`
	At        registry.Host        `json:"at"` // how the engine is reached
	ID        string               `json:"id"`
	Bundle    string               `json:"bundle"`
	Items     []registry.StateItem `json:"items"`
	Step      RestoreStep          `json:"step"`
	Container string               `json:"container,omitempty"` // its ID; empty: it had none
	Engine    string               `json:"engine,omitempty"`    // ID of the engine
	Ran       bool                 `json:"ran,omitempty"`
	// Keep has what the restore brought kept when it is undone: somebody asked for that.
	Keep  bool      `json:"keep,omitempty"`
	Begun time.Time `json:"begun"`
}

// RestoreStep is how far a restore has come. When the service is healthy again there
// is no entry any more.
type RestoreStep string

const (
	RestoreStaging  RestoreStep = "staging"  // nothing is swapped; the service may be stopped
	RestoreSwapping RestoreStep = "swapping" // something may be swapped
)

// Where is part of [durable.Placed].
func (e RestoreEntry) Where() durable.Place { return durable.Place{Host: e.Host, Service: e.Service} }

// Restores is the journal, in dir, of the restores that are under way or were broken off.
func Restores(dir string) durable.Journal[RestoreEntry] {
	return durable.Journal[RestoreEntry]{Dir: filepath.Join(dir, "restores")}
}

func (r *Restorer) journal() durable.Journal[RestoreEntry] { return Restores(r.Dir) }

// read returns the entry of a service; nil: no restore of it is under way.
func (r *Restorer) read(service string) (*RestoreEntry, error) {
	return r.journal().Read(r.Quiescer.Host, service)
}

func (r *Restorer) forget(service string) error {
	return r.journal().Remove(r.Quiescer.Host, service)
}

// rests wakes what a restore has stopped: by a journal that nobody else wakes by.
func (r *Restorer) rests() *quiesce.Quiescer {
	return &quiesce.Quiescer{
		Engine: r.Quiescer.Engine, Host: r.Quiescer.Host, Report: r.Quiescer.Report,
		Journal: quiesce.Journal{Dir: filepath.Join(r.Dir, "stopped")},
	}
}

// Repair undoes a restore that was broken off: what was there is there again, then the
// service runs as it did. It says what it did; nothing when there was nothing to do.
func (r *Restorer) Repair(ctx context.Context, service string) (string, error) {
	unlock, err := r.lock(ctx, service)
	if err != nil {
		return "", err
	}
	defer unlock()
	e, err := r.read(service)
	if e == nil || err != nil {
		return "", err
	}
	targets := []Target{}
	defer func() {
		for _, target := range targets {
			_ = target.Close() // nothing is written through it
		}
	}()
	for _, item := range e.Items {
		target, err := r.Place.Target(ctx, e.Service, item)
		if err != nil {
			return "", r.stuck(e, about(item, err))
		}
		targets = append(targets, target)
	}
	if err := r.undo(ctx, e, targets); err != nil {
		return "", err
	}
	return fmt.Sprintf("the restore %s was undone: what was there before is there again", cmp.Or(e.Bundle, e.ID)), nil
}

// undo undoes a restore, as far as it came. The service is at rest until all is back:
// a part of it would be a mix. What it fails with is [fault.RollbackFailed] as long as
// the restore has to be undone; otherwise all is back, but the service not well.
func (r *Restorer) undo(ctx context.Context, e *RestoreEntry, targets []Target) error {
	if e.Step != RestoreStaging {
		if err := r.halt(ctx, e); err != nil {
			return r.stuck(e, err)
		}
		var all error
		for i, target := range targets {
			all = errors.Join(all, about(e.Items[i], target.Back(ctx, e.part(i))))
		}
		if all != nil {
			return r.stuck(e, all)
		}
	}
	_, unwell := r.rests().Wake(ctx, e.Service, "")
	if rest, err := r.rests().Journal.Read(e.Host, e.Service); rest != nil || err != nil {
		return r.stuck(e, cmp.Or(unwell, err))
	}
	for i, target := range targets {
		if e.Keep {
			break
		}
		if err := target.Discard(ctx, e.part(i)); err != nil {
			return r.stuck(e, about(e.Items[i], err))
		}
	}
	if err := r.forget(e.Service); err != nil {
		return r.stuck(e, err)
	}
	return unwell
}

func (r *Restorer) stuck(e *RestoreEntry, err error) error {
	return fault.Newf(fault.RollbackFailed, "mend what is in the way, then run homelab deploy repair: it tries again",
		"the restore of %s cannot be undone: %w", e.Service, err)
}

// callPatience is how long an engine may take to stop a container, besides its grace.
const callPatience = 30 * time.Second

// halt stops the service. When it runs, or ran before the restore, there is an entry
// then by which it is woken.
func (r *Restorer) halt(ctx context.Context, e *RestoreEntry) error {
	if e.Container == "" {
		return nil
	}
	rests := r.rests()
	platform, err := rests.Engine.Platform(ctx)
	if err != nil {
		return err
	}
	if platform.ID != e.Engine {
		return fault.Newf(fault.Precondition, "reach the engine that it runs on", "%s runs on another engine than host %s leads to now", e.Service, e.Host)
	}
	c, err := rests.Engine.Container(ctx, e.Container)
	switch {
	case err != nil:
		return err
	case c == nil || !c.Runs() && !e.Ran:
		return nil
	case c.State == deploy.Paused:
		return fault.Newf(fault.Precondition, "unpause it", "somebody has paused container %s", c.Name)
	}
	rest := &quiesce.Entry{
		Service: e.Service, Host: e.Host, Container: e.Container, Name: c.Name, Engine: e.Engine,
		Method: quiesce.NewMethod(nil), Token: rand.Text(), Begun: time.Now().UTC(),
	}
	if err := rests.Journal.Write(rest); err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, c.Spec.StopGrace+callPatience)
	defer stop()
	err = rests.Engine.Stop(ctx, c.ID, c.Spec.StopGrace)
	if err == nil || errors.Is(err, deploy.ErrRefused) { // nothing is on its way any more
		rest.Asked = true
		err = errors.Join(err, rests.Journal.Write(rest))
	}
	return err
}
