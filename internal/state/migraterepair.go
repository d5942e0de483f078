package state

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/registry"
)

// Repair ends a migration that was broken off: before its commit the service runs where
// it was, after it where it went. It says what it did; nothing when there was nothing
// to do.
func (m *Migrator) Repair(ctx context.Context, service string) (string, error) {
	e, err := m.read(service)
	if e == nil || err != nil {
		return "", err
	}
	unlock, err := m.lock(ctx, service, e.endsWithin())
	if err != nil {
		return "", err
	}
	defer unlock()
	if e, err = m.read(service); e == nil || err != nil { // again, now that nobody else changes it
		return "", err
	}
	switch e.Step {
	case MigrateCommitted, MigrateRetiring:
		if err := m.finish(ctx, e); err != nil {
			return "", err
		}
		return fmt.Sprintf("the migration %s is finished: it runs on %s", e.ID, e.To), nil
	}
	if err := m.undo(ctx, e, func() {}); err != nil {
		return "", err
	}
	return fmt.Sprintf("the migration %s was undone: it runs on %s as before", e.ID, e.Host), nil
}

// Leads fails unless a host leads to the engine with that ID, that it led to when a
// migration began.
func (end *End) Leads(ctx context.Context, id string) error {
	if end.Down != nil {
		return end.Down
	}
	platform, err := end.Engine.Platform(ctx)
	if err != nil {
		return err
	}
	if platform.ID != id {
		return fault.Newf(fault.Precondition, "reach the engine that it was begun on", "host %s leads to another engine now", end.Host)
	}
	return nil
}

// How long an engine is waited for that does not answer: to start a service again, and,
// before that, to stop the one that was started on the other host. That one nobody has
// been told of: the service is not kept down for it.
const (
	returnsWithin = time.Minute
	fencedWithin  = 15 * time.Second
	againEvery    = time.Second
)

// endsWithin is how long one try to end a migration takes at most, when a host is silent:
// as long as it is tried, and the call that is under way then.
func (e *MigrateEntry) endsWithin() time.Duration {
	return 2*(returnsWithin+deploy.CallPatience) + e.Grace + fencedWithin
}

// patiently does again what an engine did not answer: it may be on its way back.
func patiently(ctx context.Context, within time.Duration, do func(context.Context) error) error {
	for began := time.Now(); ; {
		err := do(ctx)
		code := fault.CodeOf(err)
		silent := code == fault.EngineUnavailable || code == fault.HostUnreachable || errors.Is(err, context.DeadlineExceeded)
		if !silent || time.Since(began) >= within {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(againEvery):
		}
	}
}

// undo has the service run where it was, and then removes what is left on the other
// host, when idle has seen to it that nothing comes there any more. With
// [fault.RollbackFailed] it does not run.
func (m *Migrator) undo(ctx context.Context, e *MigrateEntry, idle func()) error {
	var unwell error
	if e.Step != MigratePreparing && e.Step != MigrateCleaning {
		again, err := m.wayBack(ctx, e)
		if errors.Is(err, errGone) {
			unwell = fault.Newf(fault.RollbackFailed, "deploy it there again: its state is as it was", "nothing of %s runs on %s: %w", e.Service, e.Host, err)
		} else if err != nil {
			return fault.Newf(fault.RollbackFailed, "mend what is in the way, then run homelab deploy repair: it tries again",
				"%s cannot be started again on %s: %w", e.Service, e.Host, err)
		}
		if again != nil {
			unwell = again.Gate(deploy.NewGate(registry.Deploy{})).Pass(ctx, m.From.Engine, again.ID)
		}
	}
	if e.Step != MigrateCleaning {
		e.Step = MigrateCleaning
		if err := m.journal().Write(e); err != nil {
			return errors.Join(unwell, err)
		}
	}
	idle()
	if err := m.clean(ctx, e); err != nil {
		return errors.Join(unwell, fmt.Errorf("what was brought to %s cannot be removed yet, homelab deploy repair tries again: %w", e.To, err))
	}
	return unwell
}

// wayBack stops what may run on the other host, and starts the service where it was.
func (m *Migrator) wayBack(ctx context.Context, e *MigrateEntry) (again *deploy.Container, err error) {
	if e.Step == MigrateStarting {
		fenced, stop := context.WithTimeout(ctx, e.Grace+fencedWithin)
		if err := patiently(fenced, fencedWithin, func(ctx context.Context) error { return m.fence(ctx, e) }); err != nil {
			m.say("what was started on %s cannot be stopped: %v", e.To, err)
		}
		stop()
	}
	err = patiently(ctx, returnsWithin, func(ctx context.Context) (err error) {
		again, err = m.resume(ctx, e)
		return err
	})
	return again, err
}

// there are the containers of the service on the other host, and those among them that a
// migration has made.
func (m *Migrator) there(ctx context.Context, e *MigrateEntry) (all, made []deploy.Container, err error) {
	if err := m.To.Leads(ctx, e.ToEngine); err != nil {
		return nil, nil, err
	}
	all, err = m.To.Engine.List(ctx)
	all = slices.DeleteFunc(all, func(c deploy.Container) bool { return c.Labels[deploy.LabelService] != e.Service })
	for _, c := range all {
		if c.Labels[deploy.LabelSwitch] == e.ID {
			made = append(made, c)
		}
	}
	return all, made, err
}

// fence stops what was started on the other host.
func (m *Migrator) fence(ctx context.Context, e *MigrateEntry) error {
	_, made, err := m.there(ctx, e)
	if err != nil {
		return err
	}
	for i := range made {
		if err := m.To.Engine.Stop(ctx, made[i].ID, made[i].Spec.StopGrace); err != nil {
			return err
		}
	}
	return nil
}

var errGone = errors.New("somebody has removed its container")

// resume starts the service where it was, unless somebody has something else of it run.
// It returns the container when it has to show that it is well.
func (m *Migrator) resume(ctx context.Context, e *MigrateEntry) (*deploy.Container, error) {
	if err := m.From.Leads(ctx, e.Engine); err != nil {
		return nil, err
	}
	all, err := m.From.Engine.List(ctx)
	if err != nil {
		return nil, err
	}
	var c *deploy.Container
	for i := range all {
		switch {
		case all[i].ID == e.Container:
			c = &all[i]
		case all[i].Labels[deploy.LabelSwitch] == e.ID: // on the same host, where one of the two can run
			if err := m.From.Engine.Stop(ctx, all[i].ID, all[i].Spec.StopGrace); err != nil {
				return nil, err
			}
		case all[i].Labels[deploy.LabelService] == e.Service && all[i].Runs():
			return nil, nil
		}
	}
	if c == nil {
		return nil, errGone
	}
	if e.Step == MigrateHalting && c.Runs() {
		// The request to stop may be on its way still: this waits for the end of it.
		if err := m.From.Engine.Stop(ctx, c.ID, e.Grace); err != nil && !errors.Is(err, deploy.ErrRefused) {
			return nil, err
		}
	}
	if err := m.From.Engine.Start(ctx, c.ID); err != nil {
		return nil, err
	}
	return c, deploy.SetPolicy(ctx, m.From.Engine, c.ID, e.Restart)
}

// clean removes what is left on the other host, and forgets the migration.
func (m *Migrator) clean(ctx context.Context, e *MigrateEntry) error {
	_, made, err := m.there(ctx, e)
	if err != nil {
		return err
	}
	for i := range made {
		if err := m.To.Engine.Stop(ctx, made[i].ID, made[i].Spec.StopGrace); err != nil {
			return err
		}
		if err := m.To.Engine.Remove(ctx, made[i].ID); err != nil {
			return err
		}
	}
	for i := range e.Items {
		if err := m.each(ctx, e, i, func(target Target) error {
			if err := target.Back(ctx, e.part(i)); err != nil {
				return err
			}
			return target.Discard(ctx, e.part(i))
		}); err != nil {
			return err
		}
	}
	return m.journal().Remove(e.Host, e.Service)
}

// each does something with the place of an item.
func (m *Migrator) each(ctx context.Context, e *MigrateEntry, item int, do func(Target) error) error {
	target, err := m.To.Place.Target(ctx, e.Service, e.Items[item])
	if err == nil {
		err = errors.Join(do(target), target.Close())
	}
	return about(e.Items[item], err)
}

// finish does what is left to do when a migration is committed.
func (m *Migrator) finish(ctx context.Context, e *MigrateEntry) error {
	if e.Step == MigrateCommitted {
		if err := patiently(ctx, returnsWithin, func(ctx context.Context) error { return m.settle(ctx, e) }); err != nil {
			return m.unfinished(e, err)
		}
		e.Step = MigrateRetiring
		if err := m.journal().Write(e); err != nil {
			return m.unfinished(e, err)
		}
	}
	if err := patiently(ctx, returnsWithin, func(ctx context.Context) error { return m.retire(ctx, e) }); err != nil {
		return m.unfinished(e, err)
	}
	return m.journal().Remove(e.Host, e.Service)
}

func (m *Migrator) unfinished(e *MigrateEntry, err error) error {
	f := fault.Of(err)
	return &fault.Error{
		Code: f.Code, Err: err, Hint: "mend what is in the way, then run homelab deploy repair: it goes on",
		Message: fmt.Sprintf("%s runs on %s, and what is left to do of its migration failed: %s", e.Service, e.To, f.Message),
	}
}

// settle gives the new container its place, and puts that on record.
func (m *Migrator) settle(ctx context.Context, e *MigrateEntry) error {
	if e.stays() { // the other one has that place
		if err := m.retire(ctx, e); err != nil {
			return err
		}
	}
	all, made, err := m.there(ctx, e)
	if err != nil {
		return err
	}
	var c *deploy.Container
	if len(made) > 0 {
		c = &made[0]
	}
	for i := range all {
		other := &all[i]
		if c != nil && other.ID == c.ID {
			continue
		}
		if other.Runs() {
			c = nil // somebody has deployed another version since
			break
		}
		if other.Name == e.Name || other.IsMoved() {
			if err := deploy.Rename(ctx, m.To.Engine, other, deploy.KeptAs(e.Name, other.Generation())); err != nil {
				return err
			}
		}
		if other.Spec.Restart != "no" {
			if err := deploy.SetPolicy(ctx, m.To.Engine, other.ID, "no"); err != nil {
				return err
			}
		}
	}
	if c != nil {
		err := m.To.Engine.Start(ctx, c.ID) // its host may have been restarted
		if err == nil {
			err = deploy.Rename(ctx, m.To.Engine, c, e.Name)
		}
		if err == nil {
			err = deploy.SetPolicy(ctx, m.To.Engine, c.ID, e.Policy)
		}
		if err != nil {
			return err
		}
	}
	for i := range e.Items {
		if err := m.each(ctx, e, i, func(target Target) error { return e.tidy(ctx, target, i) }); err != nil {
			return err
		}
	}
	if m.Settle == nil {
		return nil
	}
	return m.Settle(e, c)
}

// tidy removes what a swap has put aside when that is nothing.
func (e *MigrateEntry) tidy(ctx context.Context, target Target, item int) error {
	found, err := target.Look(ctx, 1)
	if err != nil {
		return err
	}
	for _, kept := range found.Kept {
		if kept.ID == e.part(item) && kept.Entries == 0 {
			return target.Commit(ctx, kept.ID)
		}
	}
	return nil
}

// retire has the container stay stopped that the service has left, under a name that
// says so.
func (m *Migrator) retire(ctx context.Context, e *MigrateEntry) error {
	if err := m.From.Leads(ctx, e.Engine); err != nil {
		return err
	}
	c, err := m.From.Engine.Container(ctx, e.Container)
	if c == nil || err != nil {
		return err
	}
	if err := deploy.SetPolicy(ctx, m.From.Engine, c.ID, "no"); err != nil {
		return err
	}
	if err := m.From.Engine.Stop(ctx, c.ID, e.Grace); err != nil {
		return err
	}
	return deploy.Rename(ctx, m.From.Engine, c, e.retired(c.Generation()))
}
