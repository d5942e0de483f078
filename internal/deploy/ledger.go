package deploy

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"homelab/internal/durable"
	"homelab/internal/fault"
)

// Record is what was deployed of a service on a host. It says what the labels of the
// container say, and more, when a later run found that what was built since is what
// runs: the labels of a container cannot be changed.
type Record struct {
	Service    string    `json:"service"`
	Host       string    `json:"host"`
	Container  string    `json:"container"` // its ID
	Generation int       `json:"generation"`
	Revision   string    `json:"revision"`          // commit that it was built from; empty: nothing was committed
	Tree       string    `json:"tree,omitempty"`    // git tree of that
	State      string    `json:"state"`             // of what it was built from: commit, clean, dirty or empty
	Edits      string    `json:"edits,omitempty"`   // fingerprint of what was edited on top
	Out        string    `json:"out"`               // store path of the artifact
	Drv        string    `json:"drv"`               // its derivation
	Spec       string    `json:"spec"`              // hash of the spec
	Version    string    `json:"version,omitempty"` // of homelab
	At         time.Time `json:"at"`
}

// RecordOf is the record of a container: what its labels say, or, when it was found
// to be what was asked for, those that it would have been given.
func RecordOf(host, container string, labels map[string]string, at time.Time) Record {
	generation, err := strconv.Atoi(labels[LabelGeneration])
	if err != nil {
		generation = 0 // not known
	}
	return Record{
		Service: labels[LabelService], Host: host, Container: container, Generation: generation,
		Revision: labels[LabelRevision], Tree: labels[LabelTree], State: labels[LabelState], Edits: labels[LabelEdits],
		Out: labels[LabelOut], Drv: labels[LabelDrv], Spec: labels[LabelSpec], Version: labels[LabelVersion], At: at.UTC(),
	}
}

// Ledger keeps records in a folder, one file for each service on each host. Without
// a folder nothing is on record.
type Ledger struct{ Dir string }

// Path is the file of a record.
func (l Ledger) Path(host, service string) string {
	return durable.Place{Host: host, Service: service}.File(l.Dir)
}

// Write keeps a record, in place of an earlier one of the same service.
func (l Ledger) Write(r Record) error {
	return durable.Place{Host: r.Host, Service: r.Service}.Write(l.Dir, r)
}

// Read returns the record of a service; nil when there is none. A file that cannot
// be read is an error, which is no reason to stop: the labels say the same.
func (l Ledger) Read(host, service string) (*Record, error) {
	if l.Dir == "" {
		return nil, nil
	}
	at := durable.Place{Host: host, Service: service}
	content, err := at.Read(l.Dir)
	if content == nil || err != nil {
		return nil, err
	}
	r := &Record{}
	if err = json.Unmarshal(content, r); err == nil && (r.Host != host || r.Service != service || r.Container == "") {
		err = errors.New("it is no record of that service")
	}
	if err != nil {
		return nil, fault.Newf(fault.Internal, "remove it: the next deployment writes it anew", "the record %s cannot be read: %w", at.File(l.Dir), err)
	}
	return r, nil
}

// Any says whether one of some services is on record, on whichever host.
func (l Ledger) Any(services func(name string) bool) bool {
	return slices.ContainsFunc(l.places(), func(at durable.Place) bool { return services(at.Service) })
}

// Records are all records, by host and service, but for those that cannot be read.
func (l Ledger) Records() []Record {
	records := []Record{}
	for _, at := range l.places() {
		if r, err := l.Read(at.Host, at.Service); err == nil && r != nil {
			records = append(records, *r)
		}
	}
	return records
}

// places are where something is on record. What cannot be read says nothing.
func (l Ledger) places() []durable.Place {
	if l.Dir == "" {
		return nil
	}
	found, _ := durable.Places(l.Dir)
	return found
}
