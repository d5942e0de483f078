// Package tools is the catalogue: everything homelab can be asked to do, told
// once for both faces.
//
// A [Tool] knows its name, its words and its input and output types, and
// [Tool.Call] turns raw JSON into a [Result]. internal/mcpserver shows it as an
// MCP tool, internal/cli as a subcommand whose flags are the fields of the same
// input. Neither face has logic of its own.
package tools

import (
	"context"
	"encoding/json"
	"reflect"

	"homelab/internal/fault"
)

// Tool is one thing to ask for.
type Tool struct {
	Name        string   // of the MCP tool, such as registry_get
	Title       string   // a few words
	Description string   // what it answers
	Guidance    string   // for agents: when to use it, what to call next
	Command     []string // of the command line, such as registry get

	// Positional names the input field that the command's arguments fill: a
	// list takes any number of them, a string one. Empty: none.
	Positional string
	// Complete offers values for the positional field to the shell; may be nil.
	Complete func(ctx context.Context) ([]string, error)

	// Engines means that the tool works on the engines of hosts: it needs what
	// only the second program links.
	Engines bool

	// Confirms means that a call without the field confirm only previews, and one
	// with the id of that preview does it: see [Result.Unconfirmed].
	Confirms bool

	Annotations Annotations
	Examples    []Example

	input, output reflect.Type
	read          func(raw json.RawMessage) (Result, error)
	run           func(ctx context.Context, raw json.RawMessage, report Report) (Result, error)
}

// Annotations say what a call may do, as MCP clients want to know before they
// make it.
type Annotations struct {
	ReadOnly    bool // changes nothing
	Destructive bool // may take something away
	Idempotent  bool // calling it twice is the same as once
	OpenWorld   bool // reaches beyond the user's own repository and hosts
}

// looks is what every tool that only looks is annotated with.
var looks = Annotations{ReadOnly: true, Destructive: false, Idempotent: true, OpenWorld: false}

// Example is one call, spelled for each face.
type Example struct {
	About   string // what it is good for
	Command string // as typed into a shell
	Input   string // the JSON of the same call
}

// Result is what a call gives.
type Result struct {
	// Value is a pointer to the tool's output type.
	Value any
	// Text is the short form, for agents whose client shows only text: names,
	// decisions, reasons. At most [MaxText] bytes.
	Text string
	// Verdict is set when the call went well and what it found did not: the
	// command line exits with its status. An MCP client reads it in the value.
	Verdict fault.Code
	// Unconfirmed is the id of a preview that somebody has to confirm before it is
	// carried out; empty: there is none.
	Unconfirmed string
}

// JSON is the value as both faces send it.
func (r Result) JSON() (json.RawMessage, error) { return json.Marshal(r.Value) }

// Work is what a tool does.
type Work[In, Out any] struct {
	Run func(ctx context.Context, in In, report Report) (*Out, error)
	// Text is the short form of a result.
	Text func(*Out) string
	// Verdict grades a result; nil: every result is a success.
	Verdict func(*Out) fault.Code
	// Unconfirmed is that of the result; nil: the tool needs no confirmation.
	Unconfirmed func(*Out) string
}

// New binds the words of a tool to its work. When *In or In has a method
// Validate() error it runs before the work does.
func New[In, Out any](about Tool, work Work[In, Out]) Tool {
	tool := about
	tool.Confirms = work.Unconfirmed != nil
	tool.input, tool.output = reflect.TypeFor[In](), reflect.TypeFor[Out]()
	tool.run = func(ctx context.Context, raw json.RawMessage, report Report) (Result, error) {
		var in In
		if err := decode(raw, &in); err != nil {
			return Result{}, err
		}
		out, err := work.Run(ctx, in, report)
		if err != nil {
			return Result{}, err
		}
		return work.result(out), nil
	}
	tool.read = func(raw json.RawMessage) (Result, error) {
		out := new(Out)
		if err := json.Unmarshal(raw, out); err != nil {
			return Result{}, err
		}
		return work.result(out), nil
	}
	return tool
}

func (w Work[In, Out]) result(out *Out) Result {
	result := Result{Value: out, Text: clip(w.Text(out))}
	if w.Verdict != nil {
		result.Verdict = w.Verdict(out)
	}
	if w.Unconfirmed != nil {
		result.Unconfirmed = w.Unconfirmed(out)
	}
	return result
}

// Read gives a result of the tool that was recorded as JSON.
func (t Tool) Read(recorded json.RawMessage) (Result, error) { return t.read(recorded) }

// Input is the type that arguments are decoded into.
func (t Tool) Input() reflect.Type { return t.input }

// Output is the type that Result.Value points to.
func (t Tool) Output() reflect.Type { return t.output }
