package quiesce

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"homelab/internal/durable"
	"homelab/internal/fault"
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
	// Asked says that it is at rest for all that is known; before, the request may
	// still be on its way.
	Asked bool      `json:"asked"`
	Token string    `json:"token"` // of this rest
	Begun time.Time `json:"begun"`
}

// Journal keeps entries in a folder, one file for each service on each host. Whoever
// wakes a service holds the lock of its entry.
type Journal struct{ Dir string }

// Write keeps an entry, in place of an earlier one of the same service.
func (j Journal) Write(e *Entry) error {
	return durable.Place{Host: e.Host, Service: e.Service}.Write(j.Dir, e)
}

// Read returns the entry of a service; nil: it is awake.
func (j Journal) Read(host, service string) (*Entry, error) {
	at := durable.Place{Host: host, Service: service}
	content, err := at.Read(j.Dir)
	if content == nil || err != nil {
		return nil, err
	}
	e := &Entry{}
	if err = json.Unmarshal(content, e); err == nil && (e.Host != host || e.Service != service) {
		err = errors.New("it is not about that service and host")
	}
	if err != nil {
		return nil, fault.Newf(fault.Internal, "look whether the service runs, then remove it", "the journal %s cannot be read: %w", at.File(j.Dir), err)
	}
	return e, nil
}

// Entries are all services that were put to rest, by host and service. What cannot be
// read is among the errors, and hides nothing of the others.
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

// lock is held by whoever changes an entry.
func (j Journal) lock(ctx context.Context, host, service string) (unlock func(), err error) {
	path := filepath.Join(j.Dir, host, service+".lock")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, durable.Explain(err)
	}
	return durable.Lock(ctx, path)
}
