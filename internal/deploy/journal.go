package deploy

import (
	"encoding/json"
	"errors"
	"time"

	"homelab/internal/durable"
	"homelab/internal/fault"
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

// Journal keeps entries in a folder, one file for each service on each host.
type Journal struct{ Dir string }

// Write keeps an entry, in place of an earlier one of the same service.
func (j Journal) Write(e *Entry) error {
	return durable.Place{Host: e.Host, Service: e.Service}.Write(j.Dir, e)
}

// Read returns the entry of a service; nil when nothing is under way.
func (j Journal) Read(host, service string) (*Entry, error) {
	at := durable.Place{Host: host, Service: service}
	content, err := at.Read(j.Dir)
	if content == nil || err != nil {
		return nil, err
	}
	e := &Entry{}
	err = json.Unmarshal(content, e)
	if err == nil && (e.Host != host || e.Service != service) {
		err = errors.New("it is not about that service and host")
	}
	if err != nil {
		return nil, fault.Newf(fault.Internal, "look at it, and at the containers of the service, then remove it", "the journal %s cannot be read: %w", at.File(j.Dir), err)
	}
	return e, nil
}

// Entries are all switches that have begun and are not over, by host and service.
// What cannot be read is among the errors, and hides nothing of the others.
func (j Journal) Entries() ([]Entry, []error) {
	entries := []Entry{}
	found, failed := durable.Places(j.Dir)
	for _, at := range found {
		switch e, err := j.Read(at.Host, at.Service); {
		case err != nil:
			failed = append(failed, err)
		case e != nil:
			entries = append(entries, *e)
		}
	}
	return entries, failed
}

// Remove forgets the entry of a service: it is over.
func (j Journal) Remove(host, service string) error {
	return durable.Place{Host: host, Service: service}.Remove(j.Dir)
}
