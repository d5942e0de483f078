package harness

import (
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"homelab/internal/deploy"
	"homelab/internal/durable"
	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/internal/state"
	"homelab/registry"
)

// moves is where migrations keep what they are at, and what was moved away, in the state
// of a repository.
func moves(jobs *job.Store) string { return filepath.Join(jobs.Dir, "migrate") }

// migrator moves services from one host to another.
func (h *Harness) migrator(jobs *job.Store, by string, from, to state.End, say func(string)) *state.Migrator {
	return &state.Migrator{
		From: from, To: to, Dir: moves(jobs), By: by, Report: say,
		Watch:  func(e *state.MigrateEntry) (func(), error) { return watchdog(jobs.Dir, e.Host, e.Service, e.ID) },
		Settle: func(e *state.MigrateEntry, made *deploy.Container) error { return settled(jobs, e, made) },
	}
}

// furnish has an end do what a migration asks of its host.
func (h *Harness) furnish(jobs *job.Store, end *state.End, engine deploy.Containers) (err error) {
	end.Engine = deploy.Patient(engine)
	if end.Site, err = h.sites(engine); err != nil {
		return err
	}
	end.Place, err = h.places(engine, filepath.Join(jobs.Dir, "restoring"))
	return err
}

// settled puts on record that a service has moved.
func settled(jobs *job.Store, e *state.MigrateEntry, made *deploy.Container) error {
	records := deploy.Ledger{Dir: filepath.Join(jobs.Dir, "deployed")}
	if e.Host == e.To {
		if made == nil {
			return nil // what was deployed since has its own
		}
		return records.Write(deploy.RecordOf(e.To, made.ID, made.Labels, time.Now()))
	}
	away := state.Moves(moves(jobs))
	if err := away.Remove(e.To, e.Service); err != nil {
		return err
	}
	if err := away.Write(&state.Moved{Service: e.Service, Host: e.Host, To: e.To, Container: e.Container, When: time.Now().UTC()}); err != nil {
		return err
	}
	if made != nil {
		if err := records.Write(deploy.RecordOf(e.To, made.ID, made.Labels, time.Now())); err != nil {
			return err
		}
	}
	return durable.Place{Host: e.Host, Service: e.Service}.Remove(records.Dir)
}

// whereabouts is the host that a service is on: the one that the registry names, or the
// one that it was moved to from there.
func whereabouts(jobs *job.Store, service, host string) (string, error) {
	for seen := map[string]bool{}; !seen[host]; {
		seen[host] = true
		away, err := state.Moves(moves(jobs)).Read(host, service)
		if err != nil || away == nil {
			return host, err
		}
		host = away.To
	}
	return host, nil
}

// here fails when a service was moved away from a host: something of it that runs there
// would go on from a state that is not that of the service any more.
func here(jobs *job.Store, host, service string) error {
	journal := state.Moves(moves(jobs))
	away, err := journal.Read(host, service)
	if err != nil || away == nil {
		return err
	}
	to, err := whereabouts(jobs, service, away.To) // it may have gone on from there
	if err == nil {
		err = fault.Newf(fault.Precondition, "set services."+service+".deploy.host to "+to+" in the registry; or move it back: homelab state migrate "+service+" --to-host "+host+
			"; or, to begin there with the state of then, remove "+away.Where().File(journal.Dir)+", and on that host the container that is named as moved",
			"%s was moved from host %s to %s at %s", service, host, to, away.When.Format(time.RFC3339))
	}
	return err
}

// halfMoved are the migrations of a service from or to a host that were broken off.
func halfMoved(jobs *job.Store, host, service string) []state.MigrateEntry {
	found := []state.MigrateEntry{}
	entries, _ := state.Migrations(moves(jobs)).Entries() // one that cannot be read repair tells of
	for _, e := range entries {
		if e.Service == service && (e.Host == host || e.To == host) {
			found = append(found, e)
		}
	}
	return found
}

// repairMigrations ends the migrations of a service from or to a host that were broken
// off, and says what it did. That of one which is not in the way there, and which another
// host keeps from its end, is told of that host.
func (h *Harness) repairMigrations(ctx context.Context, jobs *job.Store, reg *registry.Registry, host, service string, say func(string)) (string, error) {
	all, failed := []string{}, []error{}
	for _, e := range halfMoved(jobs, host, service) {
		what, err := h.repairMigration(ctx, jobs, "homelab deploy repair", e, reg.AllHosts(), say)
		if err != nil && e.Host != host {
			err = inTheWay(jobs, e, host, err)
		}
		if err != nil {
			failed = append(failed, err)
		} else if what != "" {
			all = append(all, what)
		}
	}
	return strings.Join(all, "; "), errors.Join(failed...)
}

// repairMigration ends one; now is where the registry has hosts, as far as that is known.
func (h *Harness) repairMigration(ctx context.Context, jobs *job.Store, by string, e state.MigrateEntry, now map[string]registry.Host, say func(string)) (what string, err error) {
	from, to := state.End{Host: e.Host, At: e.At}, state.End{Host: e.To, At: e.ToAt}
	defer h.reach(ctx, jobs, &from, e.Engine, now)()
	defer h.reach(ctx, jobs, &to, e.ToEngine, now)()
	return h.migrator(jobs, by, from, to, say).Repair(ctx, e.Service)
}

// reach reaches a host of a migration where it was; when nobody, or another engine, answers
// there, where it is now. One that cannot be reached is down: the other one may be enough.
func (h *Harness) reach(ctx context.Context, jobs *job.Store, end *state.End, engineID string, now map[string]registry.Host) (done func()) {
	ways := []registry.Host{end.At}
	if at, known := now[end.Host]; known && (at.Docker != end.At.Docker || !reflect.DeepEqual(at.TLS, end.At.TLS)) {
		ways = append(ways, at)
	}
	for i, at := range ways {
		engine, _, closed, err := h.dial(ctx, at)
		if end.Down = err; err != nil {
			continue
		}
		end.Down = h.furnish(jobs, end, engine)
		if i == len(ways)-1 || end.Down == nil && end.Leads(ctx, engineID) == nil {
			return func() { _ = closed() } // nothing is asked any more
		}
		_ = closed() // likewise
	}
	return func() {}
}

// unmoved ends what was broken off of a migration, as far as it is in the way on a host.
func (h *Harness) unmoved(ctx context.Context, jobs *job.Store, s subject) error {
	for _, e := range halfMoved(jobs, s.host, s.name) {
		_, err := h.repairMigration(ctx, jobs, "what is next for the service", e, map[string]registry.Host{s.host: s.at}, func(string) {})
		if err == nil {
			continue
		}
		if err := inTheWay(jobs, e, s.host, err); err != nil {
			return err
		}
	}
	return nil
}

// inTheWay is why a migration could not be ended; nil when that is in nobody's way on a
// host: where the service is, and whole, nobody waits for the other host.
func inTheWay(jobs *job.Store, e state.MigrateEntry, host string, err error) error {
	left, unread := state.Migrations(moves(jobs)).Read(e.Host, e.Service)
	if unread != nil {
		return errors.Join(err, unread)
	}
	if left == nil {
		return nil
	}
	if left.Host != left.To && (left.Step == state.MigrateCleaning && host == left.Host || left.Step == state.MigrateRetiring && host == left.To) {
		return nil
	}
	return err
}

// mendForMove is [Harness.mendFirst] for a service that may come back.
func (h *Harness) mendForMove(ctx context.Context, engine deploy.Containers, jobs *job.Store, s subject) (done func(), err error) {
	if err := h.unmoved(ctx, jobs, s); err != nil {
		return nil, err
	}
	if err := h.unrestoredHere(ctx, engine, jobs, s); err != nil {
		return nil, err
	}
	return h.awake(ctx, engine, jobs, s)
}

// watchedMove is a migration that a token stands for; nil: it is over.
func (h *Harness) watchedMove(jobs *job.Store, host, service, token string) (*watched, error) {
	half := func() (*state.MigrateEntry, error) {
		e, err := state.Migrations(moves(jobs)).Read(host, service)
		if err != nil || e == nil || e.ID != token {
			return nil, err
		}
		return e, nil
	}
	e, err := half()
	if e == nil || err != nil {
		return nil, err
	}
	return &watched{
		pending: func() (bool, error) { e, err := half(); return e != nil, err },
		mend: func(ctx context.Context, _ deploy.Containers) error {
			_, err := h.repairMigration(ctx, jobs, "its watchdog", *e, nil, func(string) {})
			return err
		},
		both: true,
	}, nil
}

// tellMoves says of services of a host that they are elsewhere, or half so.
func tellMoves(jobs *job.Store, services []deploy.ServiceStatus) {
	for i := range services {
		s := &services[i]
		// What cannot be read who works on the service is told.
		if to, err := whereabouts(jobs, s.Name, s.Host); err == nil && to != s.Host {
			s.Moved = to
		}
		if half := halfMoved(jobs, s.Host, s.Name); len(half) > 0 && s.BrokenOff == "" {
			s.BrokenOff = "migrate (" + string(half[0].Step) + ")"
		}
	}
}

// movedTo is the host that a service of the registry's host was moved to, by the state of
// a repository; empty: none that is known.
func movedTo(dir, service, host string) string {
	to, err := whereabouts(&job.Store{Dir: dir}, service, host)
	if err != nil {
		return ""
	}
	return to
}
