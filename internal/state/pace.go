package state

import (
	"encoding/json"
	"slices"
	"time"

	"homelab/internal/durable"
	"homelab/internal/quiesce"
)

// Outage is how long a service was not there, part by part.
type Outage struct {
	Freeze    float64 `json:"freezeSeconds" jsonschema_description:"Until it was at rest."`
	Copy      float64 `json:"copySeconds" jsonschema_description:"For the last pass."`
	Wake      float64 `json:"wakeSeconds" jsonschema_description:"Until it ran again; after a stop until it passed its health gate."`
	Predicted float64 `json:"predictedSeconds,omitempty" jsonschema_description:"What was foretold for all of it: coming to rest and waking count as lately, and not the first time."`
}

// Pace is how long a service takes to come to rest, and to wake; zero: not known.
type Pace struct{ Freeze, Wake time.Duration }

// Paces keeps in a folder how long services took lately.
type Paces struct{ Dir string }

// paced is the file of a service: the last times that it was put to rest so.
type paced struct {
	Kind   quiesce.Kind `json:"kind"`
	Freeze []float64    `json:"freezeSeconds"`
	Wake   []float64    `json:"wakeSeconds"`
}

// maxPaces is how many times are remembered.
const maxPaces = 5

// Of is the least that a service needed lately: one slow start is to keep nobody from
// making bundles. What cannot be read is not known: it is there for a forecast alone.
func (p Paces) Of(host, service string, kind quiesce.Kind) Pace {
	was := p.read(host, service, kind)
	if len(was.Freeze) == 0 || len(was.Wake) == 0 {
		return Pace{}
	}
	seconds := func(list []float64) time.Duration {
		return time.Duration(max(slices.Min(list), 0) * float64(time.Second))
	}
	return Pace{seconds(was.Freeze), seconds(was.Wake)}
}

func (p Paces) read(host, service string, kind quiesce.Kind) paced {
	if kind == quiesce.Snapshot {
		kind = quiesce.Pause // it rests and wakes the same way
	}
	was := paced{Kind: kind}
	content, err := durable.Place{Host: host, Service: service}.Read(p.Dir)
	if err == nil && content != nil && json.Unmarshal(content, &was) == nil && was.Kind == kind {
		return was
	}
	return paced{Kind: kind}
}

// Note remembers what a service needed.
func (p Paces) Note(host, service string, kind quiesce.Kind, o Outage) error {
	was := p.read(host, service, kind)
	last := func(list []float64, now float64) []float64 {
		list = append(list, now)
		return list[max(len(list)-maxPaces, 0):]
	}
	was.Freeze, was.Wake = last(was.Freeze, o.Freeze), last(was.Wake, o.Wake)
	return durable.Place{Host: host, Service: service}.Write(p.Dir, was)
}
