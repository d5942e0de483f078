package tools

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"

	"homelab/internal/fault"
)

// Report receives the progress of a call. Calls come one at a time, and none
// after [Tool.Call] has returned.
type Report func(Progress)

// Progress is how far a call has come.
type Progress struct {
	Done    int
	Total   int // 0: not known
	Message string
}

// Panic is the cause of the [fault.Internal] that a panicking tool ends in.
type Panic struct {
	Value any
	Stack []byte
}

func (p *Panic) Error() string { return fmt.Sprint(p.Value) }

// Call does what the tool does with the arguments in raw, a JSON object; empty
// and null mean no arguments. An unknown argument or a wrong type is
// [fault.InvalidArgument]; a value that can only be meant in one way ("42" for
// 42, a string for a list of one) is taken. The report may be nil.
func (t Tool) Call(ctx context.Context, raw json.RawMessage, report Report) (result Result, err error) {
	defer func() {
		if value := recover(); value != nil {
			cause := &Panic{Value: value, Stack: debug.Stack()}
			result, err = Result{}, &fault.Error{
				Op: t.Name, Code: fault.Internal, Message: fmt.Sprintf("panic: %v", value), Err: cause,
				Hint: "this is a defect of homelab: please report it with the call that led here",
			}
		}
	}()
	if report == nil {
		report = func(Progress) {}
	}
	if raw = bytes.TrimSpace(raw); len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		raw = json.RawMessage("{}")
	}
	return t.run(ctx, raw, report)
}
