package state

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"homelab/internal/deploy"
	"homelab/internal/durable"
	"homelab/internal/fault"
	"homelab/registry"
)

// MigrateEntry is a migration that is under way, or was broken off.
type MigrateEntry struct {
	Service    string               `json:"service"`
	Host       string               `json:"host"` // that it leaves
	At         registry.Host        `json:"at"`
	To         string               `json:"to"`
	ToAt       registry.Host        `json:"toAt"`
	ID         string               `json:"id"`
	Items      []registry.StateItem `json:"items"`
	Step       MigrateStep          `json:"step"`
	Engine     string               `json:"engine"`   // ID of that of the host that it leaves
	ToEngine   string               `json:"toEngine"` // and of the other one
	Container  string               `json:"container"`
	Restart    string               `json:"restart"` // policy of that
	Grace      time.Duration        `json:"grace"`
	Made       string               `json:"made,omitempty"` // ID of the new container, once it is known
	Generation int                  `json:"generation"`     // of that
	Name       string               `json:"name"`           // that it gets
	Policy     string               `json:"policy"`         // and its restart policy
	Begun      time.Time            `json:"begun"`
}

// Where is part of [durable.Placed].
func (e MigrateEntry) Where() durable.Place { return durable.Place{Host: e.Host, Service: e.Service} }

// stays says that it goes to another place on the host that it is on.
func (e *MigrateEntry) stays() bool { return e.Host == e.To }

// retired is what the container is called that the service has left.
func (e *MigrateEntry) retired(generation int) string {
	if e.stays() {
		return deploy.KeptAs(e.Name, generation)
	}
	return deploy.MovedAs(e.Name, generation, e.To)
}

// MigrateStep is how far a migration has come.
type MigrateStep string

const (
	MigratePreparing MigrateStep = "preparing" // the service runs where it was
	MigrateHalting   MigrateStep = "halting"   // it may be stopped
	MigrateSwapping  MigrateStep = "swapping"  // something may be swapped on the other host
	MigrateStarting  MigrateStep = "starting"  // the new container may run
	MigrateCommitted MigrateStep = "committed" // the service has moved; before, it is moved back
	MigrateRetiring  MigrateStep = "retiring"  // all is done on the other host
	MigrateCleaning  MigrateStep = "cleaning"  // it runs where it was; the other host may have something left
)

// Migrations is the journal, in dir, of the migrations that are under way or were broken
// off.
func Migrations(dir string) durable.Journal[MigrateEntry] {
	return durable.Journal[MigrateEntry]{Dir: filepath.Join(dir, "moving")}
}

// Moved is a service that was moved away from a host: until it comes back nothing of it
// is to run there.
type Moved struct {
	Service   string    `json:"service"`
	Host      string    `json:"host"`
	To        string    `json:"to"`
	Container string    `json:"container"` // that is kept there, stopped
	When      time.Time `json:"when"`
}

// Where is part of [durable.Placed].
func (m Moved) Where() durable.Place { return durable.Place{Host: m.Host, Service: m.Service} }

// Moves is the record, in dir, of what was moved away.
func Moves(dir string) durable.Journal[Moved] {
	return durable.Journal[Moved]{Dir: filepath.Join(dir, "moved")}
}

func (m *Migrator) journal() durable.Journal[MigrateEntry] { return Migrations(m.Dir) }

func (m *Migrator) read(service string) (*MigrateEntry, error) {
	return m.journal().Read(m.From.Host, service)
}

// lock is held by who migrates a service, or ends a migration, as long as it takes; atMost
// is 0 when nobody knows.
func (m *Migrator) lock(ctx context.Context, service string, atMost time.Duration) (unlock func(), err error) {
	brief, stop := context.WithTimeout(ctx, lockPatience)
	defer stop()
	unlock, other, err := m.journal().Hold(brief, m.From.Host, service, m.By, atMost)
	if err != nil && brief.Err() != nil && ctx.Err() == nil {
		return nil, held(service, other)
	}
	return unlock, err
}

// held says who works on the migration of a service, and until when to wait for that.
func held(service string, by *durable.Holder) error {
	if by == nil {
		return fault.Newf(fault.Locked, "wait for it", "%s is being migrated by another process", service)
	}
	hint := "wait for it"
	if !by.Until.IsZero() {
		hint = fmt.Sprintf("call again after %s: by then it has ended, or given up for a while", by.Until.Format(time.RFC3339))
	}
	return fault.Newf(fault.Locked, hint, "%s (process %d) works on the migration of %s since %s", by.By, by.PID, service, by.Since.Format(time.RFC3339))
}
