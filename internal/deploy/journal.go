package deploy

import (
	"time"

	"homelab/internal/durable"
)

// Entry is a switch of versions that has begun and is not over. It is written before
// each step, so that whoever comes after a crash knows what was going on; what is
// there is read from the engine.
type Entry struct {
	Service    string    `json:"service"`
	Host       string    `json:"host"`
	Container  string    `json:"container"` // name that the service is known by
	Step       string    `json:"step"`      // that was about to be done
	Generation int       `json:"generation"`
	New        string    `json:"new,omitempty"`      // ID of the new container, once it is made
	Made       bool      `json:"made,omitempty"`     // the new container was made for this, and goes when it fails
	Policy     string    `json:"policy,omitempty"`   // restart policy that the new one gets when it has passed; empty: it has it
	Old        string    `json:"old,omitempty"`      // ID of the one before; empty: there was none
	OldName    string    `json:"oldName,omitempty"`  // its name: another one when the registry renamed the container
	Restart    string    `json:"restart,omitempty"`  // restart policy of the one before
	Stopped    bool      `json:"stopped,omitempty"`  // the one before did not run, and is not to run afterwards
	Engine     string    `json:"engine,omitempty"`   // ID of the engine
	Token      string    `json:"token"`              // of this switch, and on the container that it made
	Stopping   bool      `json:"stopping,omitempty"` // the old one has been asked to end, or is about to be
	Grace      string    `json:"grace"`              // how long a container may take to end
	Gate       Gate      `json:"gate"`
	Done       bool      `json:"done,omitempty"`     // the new one has passed its gate
	Leftover   bool      `json:"leftover,omitempty"` // all is undone, but that the new one could not be removed
	Begun      time.Time `json:"begun"`
}

// Where is part of [durable.Placed].
func (e Entry) Where() durable.Place { return durable.Place{Host: e.Host, Service: e.Service} }

// Journal has the switches that have begun and are not over.
type Journal = durable.Journal[Entry]
