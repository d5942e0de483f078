// Package quiesce puts a service to rest while its state is captured, and wakes it
// whatever happens meanwhile: what is about to be done is in a journal first, a
// watchdog outlives the process, and whoever comes later wakes what was left.
package quiesce

import (
	"cmp"
	"time"

	"homelab/registry"
)

// Kind is how a service is put to rest.
type Kind string

const (
	None  Kind = "none"  // it is not
	Stop  Kind = "stop"  // its container is stopped
	Pause Kind = "pause" // its container stands still: what it has written is there, as after a power failure
	// Snapshot is Pause, but it goes on as soon as what is to be copied was cloned.
	Snapshot Kind = "snapshot"
	Exec     Kind = "exec" // a command in the container
	HTTP     Kind = "http" // a call of the container
	Dump     Kind = "dump" // a command in the container writes files to be captured; it goes on
)

// Method is how a service is put to rest, and wakes again.
type Method struct {
	Kind    Kind          `json:"kind"`
	Freeze  []string      `json:"freeze,omitempty"` // a command, or HTTP method and URL
	Thaw    []string      `json:"thaw,omitempty"`
	Timeout time.Duration `json:"timeout"` // of each of them
	// Tolerant goes on when the service cannot be put to rest, without rest.
	Tolerant bool `json:"tolerant,omitempty"`
	// Exclude are files of the program that are of its process, spelled like hints:
	// another one that finds them may not start.
	Exclude []string `json:"-"`
}

// defaultTimeout bounds a freeze, and a thaw, when the registry does not.
const defaultTimeout = 30 * time.Second

// presets are methods for programs that are well known; docs/state.md tells what each
// relies on. They write ahead, or into files that they rename, so what they have
// written by the same moment is enough.
var presets = map[string]Method{
	"grafana":        {Kind: Pause},
	"home-assistant": {Kind: Pause},
	"postgresql":     {Kind: Pause, Exclude: []string{"**/postmaster.pid"}},
	"prometheus":     {Kind: Pause},
	"sqlite":         {Kind: Pause},
}

// NewMethod is the method of a service: what the registry says, which it has checked;
// nil: it is stopped.
func NewMethod(q *registry.Quiesce) Method {
	if q == nil {
		q = &registry.Quiesce{}
	}
	m := Method{Kind: Kind(cmp.Or(q.Kind, string(Stop))), Freeze: q.Freeze, Thaw: q.Thaw}
	if preset, known := presets[q.Preset]; known {
		m = preset
	}
	m.Timeout, m.Tolerant = defaultTimeout, q.OnError == "continue"
	if timeout, err := time.ParseDuration(q.Timeout); err == nil {
		m.Timeout = timeout
	}
	return m
}

// calls says whether the service itself is asked to rest.
func (k Kind) calls() bool { return k == Exec || k == HTTP || k == Dump }

// rests says whether the service does nothing at all while it is at rest.
func (k Kind) rests() bool { return k == Stop || k == Pause || k == Snapshot }
