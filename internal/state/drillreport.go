package state

import (
	"homelab/internal/build"
	"homelab/internal/durable"
	"homelab/internal/fault"
	"homelab/registry"
)

// DrillRequest asks whether a service starts with what a bundle has.
type DrillRequest struct {
	Bundle     string `json:"bundle" jsonschema:"minLength=1" jsonschema_description:"Its id."`
	Store      string `json:"store,omitempty" jsonschema:"minLength=1" jsonschema_description:"Left out: wherever it is found."`
	Host       string `json:"host,omitempty" jsonschema:"minLength=1" jsonschema_description:"Left out: that of the service."`
	Background bool   `json:"background,omitempty" jsonschema_description:"Return at once with a jobId."`
}

// DrillReport is what came of a drill.
type DrillReport struct {
	State     string         `json:"state" jsonschema:"enum=running,enum=passed,enum=failed" jsonschema_description:"running (in the background: see job_get), passed or failed: see problem."`
	JobID     string         `json:"jobId" jsonschema_description:"Job that does it or did."`
	Bundle    string         `json:"bundle" jsonschema_description:"Its id."`
	Service   string         `json:"service" jsonschema_description:"Name of the service."`
	Host      string         `json:"host" jsonschema_description:"Name of the host that the copy ran on."`
	Store     string         `json:"store" jsonschema_description:"Where the bundle is."`
	Image     string         `json:"image,omitempty" jsonschema_description:"ID of the image that was tried."`
	ImageFrom string         `json:"imageFrom,omitempty" jsonschema:"enum=container,enum=bundle" jsonschema_description:"container: the service has it there now; bundle: it was captured with it."`
	Items     []string       `json:"items" jsonschema_description:"Volumes and paths that the copy had."`
	Entries   int64          `json:"entries,omitempty" jsonschema_description:"Files, folders and links in the bundle."`
	Bytes     int64          `json:"bytes,omitempty" jsonschema_description:"Bytes of its files."`
	Index     string         `json:"index,omitempty" jsonschema_description:"SHA-256 of its index: every byte was read and is right."`
	Author    string         `json:"author,omitempty" jsonschema_description:"Fingerprint of the key that signed it; left out: nobody did."`
	Gate      string         `json:"gate,omitempty" jsonschema_description:"Health check that it had to pass: http, tcp, exec or docker."`
	Seconds   float64        `json:"seconds,omitempty" jsonschema_description:"From its start until it was healthy, or was given up."`
	Problem   *build.Problem `json:"problem,omitempty" jsonschema_description:"Why it was not healthy."`
	Log       []string       `json:"log" jsonschema_description:"What it printed last, when it was not healthy; nothing of a service with env files."`
	Left      *build.Problem `json:"left,omitempty" jsonschema_description:"What of the copy could not be removed."`
	About     *About         `json:"about,omitempty" jsonschema_description:"What the bundle says of the service."`
	Warnings  []string       `json:"warnings" jsonschema_description:"What the copy had not, or had otherwise."`
}

// Code classifies a drill: empty when it passed and nothing is left of it.
func (r *DrillReport) Code() fault.Code {
	switch {
	case r.Problem != nil:
		return r.Problem.Code
	case r.Left != nil:
		return r.Left.Code
	}
	return ""
}

// Tell puts what came of a drill into its report.
func (r *DrillReport) Tell(d *Drilled) {
	r.State, r.Items, r.Seconds, r.Log = "passed", d.Tried, d.Seconds, d.Log
	r.Warnings = append(r.Warnings, d.Warnings...)
	if d.Unwell != nil {
		r.State, r.Problem = "failed", build.ProblemOf(d.Unwell)
	}
	if d.Left != nil {
		r.Left = build.ProblemOf(d.Left)
	}
}

// DrillEntry is a drill that is under way, or was broken off.
type DrillEntry struct {
	ID      string        `json:"id"`
	Service string        `json:"service"`
	Host    string        `json:"host"`
	At      registry.Host `json:"at"` // where that is
}

// Where is part of [durable.Placed]: of one service there may be several.
func (e DrillEntry) Where() durable.Place { return durable.Place{Host: e.Host, Service: e.ID} }

// DrillJournal has the drills of which something may be there.
type DrillJournal = durable.Journal[DrillEntry]
