package quiesce

import (
	"time"

	"homelab/internal/durable"
	"homelab/registry"
)

// Entry is a service that is at rest, or about to be, or about to wake. It has all
// that is needed to wake it.
type Entry struct {
	Service   string        `json:"service"`
	Host      string        `json:"host"`
	At        registry.Host `json:"at"`        // where that is
	Container string        `json:"container"` // its ID
	Name      string        `json:"name"`      // its name: another one when a version has taken its place
	Engine    string        `json:"engine"`    // ID of the engine
	Method    Method        `json:"method"`
	Limit     time.Duration `json:"limit"` // that it may be at rest
	// Asked says that nothing is on its way any more; before, what it was asked for may
	// still come to pass.
	Asked bool `json:"asked"`
	// Exec is what the engine calls the command that puts it to rest; empty: it has not
	// begun, or there is none.
	Exec    string    `json:"exec,omitempty"`
	Started time.Time `json:"started"` // when its container was, by the engine; zero: not known
	Token   string    `json:"token"`   // of this rest
	Begun   time.Time `json:"begun"`
}

// Where is part of [durable.Placed].
func (e Entry) Where() durable.Place { return durable.Place{Host: e.Host, Service: e.Service} }

// Journal has the services that were put to rest. Whoever wakes one holds the lock of
// its entry.
type Journal = durable.Journal[Entry]
