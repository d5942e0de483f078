package durable

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"homelab/internal/fault"
)

// Placed is about a service on a host.
type Placed interface{ Where() Place }

// Journal keeps what has begun and is not over in a folder, one file for each service
// on each host.
type Journal[E Placed] struct{ Dir string }

// Write keeps an entry, in place of an earlier one of the same service.
func (j Journal[E]) Write(e *E) error { return (*e).Where().Write(j.Dir, e) }

// Read returns the entry of a service; nil when nothing is under way.
func (j Journal[E]) Read(host, service string) (*E, error) {
	at := Place{host, service}
	content, err := at.Read(j.Dir)
	if content == nil || err != nil {
		return nil, err
	}
	e := new(E)
	err = json.Unmarshal(content, e)
	if err == nil && (*e).Where() != at {
		err = errors.New("it is not about that service and host")
	}
	if err != nil {
		return nil, fault.Newf(fault.Internal, "look at it, and at the containers of the service, then remove it", "the journal %s cannot be read: %w", at.File(j.Dir), err)
	}
	return e, nil
}

// Entries are all that have begun and are not over, by host and service. What cannot
// be read is among the errors, and hides nothing of the others.
func (j Journal[E]) Entries() ([]E, []error) {
	entries := []E{}
	found, failed := Places(j.Dir)
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
func (j Journal[E]) Remove(host, service string) error { return Place{host, service}.Remove(j.Dir) }

// Lock is held by whoever changes the entry of a service, where several may.
func (j Journal[E]) Lock(ctx context.Context, host, service string) (unlock func(), err error) {
	path, err := j.lockFile(host, service)
	if err != nil {
		return nil, err
	}
	return Lock(ctx, path)
}

// Hold is [Journal.Lock] by one that says who it is, and how long it takes at most; 0: it
// does not know. When another one has it, that one is told.
func (j Journal[E]) Hold(ctx context.Context, host, service, by string, atMost time.Duration) (unlock func(), other *Holder, err error) {
	path, err := j.lockFile(host, service)
	if err != nil {
		return nil, nil, err
	}
	if unlock, err = Hold(ctx, path, by, atMost); err != nil {
		return nil, HeldBy(path), err
	}
	return unlock, nil, nil
}

func (j Journal[E]) lockFile(host, service string) (string, error) {
	path := filepath.Join(j.Dir, host, service+".lock")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", Explain(err)
	}
	return path, nil
}
