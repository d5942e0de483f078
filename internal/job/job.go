// Package job keeps a record of long work: what was asked, how far it has come,
// how it ended. The record is in files, so that another process, or a later
// one, can tell; a job whose process died is interrupted, never running forever.
package job

import (
	"time"

	"homelab/internal/fault"
)

// State is how far a job has come.
type State string

const (
	Queued      State = "queued"      // waits for its process to begin
	Running     State = "running"     //
	Succeeded   State = "succeeded"   //
	Failed      State = "failed"      // ended by itself, not well; see problem and result
	Canceled    State = "canceled"    // somebody asked it to stop
	Interrupted State = "interrupted" // its process ended before the work did
)

// Over says whether the state is final.
func (s State) Over() bool { return s != Queued && s != Running }

// Job is one piece of long work.
type Job struct {
	ID         string   `json:"id" jsonschema_description:"Name of the job, such as build-20260301-090000000-k7q2."`
	Tool       string   `json:"tool" jsonschema_description:"Tool that it is a call of."`
	Services   []string `json:"services" jsonschema_description:"Services it works on: no other job may meanwhile."`
	State      State    `json:"state" jsonschema:"enum=queued,enum=running,enum=succeeded,enum=failed,enum=canceled,enum=interrupted" jsonschema_description:"queued, running, succeeded, failed, canceled (asked to stop) or interrupted (its process ended before the work did)."`
	Background bool     `json:"background" jsonschema_description:"True when it runs in a process of its own."`
	Created    string   `json:"created" jsonschema_description:"When it was asked for, RFC 3339 UTC."`
	Finished   string   `json:"finished,omitempty" jsonschema_description:"When it ended, RFC 3339 UTC."`
	Progress   Progress `json:"progress" jsonschema_description:"How far it has come."`
	Problem    *Problem `json:"problem,omitempty" jsonschema_description:"Why it did not succeed."`
}

// Progress is how far a job has come.
type Progress struct {
	Done    int    `json:"done" jsonschema_description:"Steps that are done."`
	Total   int    `json:"total" jsonschema_description:"Steps in all; 0 when not known."`
	Message string `json:"message,omitempty" jsonschema_description:"What it is doing, or did last."`
}

// Problem is an error as it is recorded.
type Problem struct {
	Code    fault.Code `json:"code" jsonschema_description:"Class of the failure."`
	Message string     `json:"message" jsonschema_description:"What happened."`
	Hint    string     `json:"hint,omitempty" jsonschema_description:"What to do next."`
}

func problemOf(err error) *Problem {
	e := fault.Of(err)
	return &Problem{Code: e.Code, Message: e.Error(), Hint: e.Hint}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
