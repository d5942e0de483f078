package tools_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/tools"
	"homelab/tools/toolstest"
)

type fetch struct {
	Services []string `json:"services,omitempty"`
	Limit    int      `json:"limit,omitempty" jsonschema:"minimum=1,maximum=9"`
	Force    bool     `json:"force,omitempty"`
	Name     string   `json:"name"`
}

func (f fetch) Validate() error {
	if f.Name == "invalid" {
		return fault.New(fault.InvalidArgument, "name: refused by Validate", "")
	}
	return nil
}

func echo() tools.Tool {
	return tools.New(tools.Tool{Name: "echo"}, tools.Work[fetch, fetch]{
		Run: func(_ context.Context, in fetch, report tools.Report) (*fetch, error) {
			report(tools.Progress{Done: 1, Message: "half"})
			switch in.Name {
			case "panic":
				panic("a defect")
			case "fails":
				return nil, fmt.Errorf("fetch: %w", fault.New(fault.Locked, "held", "wait"))
			}
			return &in, nil
		},
		Text: func(out *fetch) string { return strings.Repeat(out.Name+"\n", 1) },
		Verdict: func(out *fetch) fault.Code {
			if out.Force {
				return fault.Unhealthy
			}
			return ""
		},
	})
}

func TestCallTakesWhatCanOnlyBeMeantOneWay(t *testing.T) {
	for raw, want := range map[string]fetch{
		`{"name":"a"}`: {Name: "a"},
		` {"name":"a","limit":"3","force":"true"}`: {Name: "a", Limit: 3, Force: true},
		`{"name":"a","services":"ha"}`:             {Name: "a", Services: []string{"ha"}},
		`{"name":"a","services":null}`:             {Name: "a"},
	} {
		result, err := echo().Call(t.Context(), json.RawMessage(raw), nil)
		require.NoError(t, err, raw)
		assert.Equal(t, &want, result.Value, raw)
	}
}

func TestCallRefusesAndSaysEverything(t *testing.T) {
	for raw, want := range map[string]tools.Failure{
		`{"nme":"a"}`: {Message: "nme: unknown field \"nme\" (\"a\"); did you mean name? valid: services, limit, force, name\nname: missing required field; add \"name\", a string",
			Hint: "valid: services, limit, force, name"},
		``:                        {Message: "name: missing required field", Hint: `add "name", a string`},
		`null`:                    {Message: "name: missing required field", Hint: `add "name", a string`},
		`{"name":"a","limit":10}`: {Message: "limit: number out of range (10)", Hint: "write a number from 1 to 9"},
		`[]`:                      {Message: "arguments: wanted an object, got a list ([])", Hint: "write an object"},
		`{"name":"invalid"}`:      {Message: "name: refused by Validate"},
	} {
		_, err := echo().Call(t.Context(), json.RawMessage(raw), nil)
		require.Error(t, err, raw)
		want.Code = fault.InvalidArgument
		assert.Equal(t, want, tools.FailureOf(err), raw)
	}
}

func TestCallNamesTheArgumentsOfAToolWithoutAny(t *testing.T) {
	for _, tool := range tools.Catalog(toolstest.Core()) {
		if tool.Name != "doctor" {
			continue
		}
		_, err := tool.Call(t.Context(), json.RawMessage(`{"a":1,"b":2}`), nil)
		assert.Equal(t, "no arguments are taken", tools.FailureOf(err).Hint)
	}
}

func TestPanicBecomesAnInternalFault(t *testing.T) {
	_, err := echo().Call(t.Context(), json.RawMessage(`{"name":"panic"}`), nil)
	failure := tools.FailureOf(err)
	assert.Equal(t, fault.Internal, failure.Code)
	assert.Contains(t, failure.Message, "a defect")
	assert.NotContains(t, failure.Message, ".go:", "the stack is for the log")

	var crash *tools.Panic
	require.True(t, errors.As(err, &crash))
	assert.Contains(t, string(crash.Stack), "call_test.go")
}

func TestFaultKeepsItsCodeAndHint(t *testing.T) {
	_, err := echo().Call(t.Context(), json.RawMessage(`{"name":"fails"}`), nil)
	failure := tools.FailureOf(err)
	assert.Equal(t, tools.Failure{Code: fault.Locked, Message: "fetch: held", Hint: "wait", Retryable: true}, failure)
	assert.Equal(t, "locked: fetch: held\nhint: wait", failure.Text())
}

func TestResultCarriesVerdictAndProgress(t *testing.T) {
	var seen []tools.Progress
	result, err := echo().Call(t.Context(), json.RawMessage(`{"name":"a","force":true}`), func(p tools.Progress) { seen = append(seen, p) })
	require.NoError(t, err)
	assert.Equal(t, fault.Unhealthy, result.Verdict)
	assert.Equal(t, []tools.Progress{{Done: 1, Message: "half"}}, seen)

	result, err = echo().Call(t.Context(), json.RawMessage(`{"name":"a"}`), nil)
	require.NoError(t, err)
	assert.Empty(t, result.Verdict)
}

func TestTextIsBounded(t *testing.T) {
	long := strings.Repeat("ä", tools.MaxText)
	raw, err := json.Marshal(fetch{Name: long})
	require.NoError(t, err)
	result, err := echo().Call(t.Context(), raw, nil)
	require.NoError(t, err)
	assert.LessOrEqual(t, len(result.Text), tools.MaxText)
	assert.True(t, strings.HasSuffix(result.Text, "ä\n… cut"), "cut between two letters")

	lines := strings.Repeat("a line of words\n", 1000)
	text := tools.Failure{Code: fault.Internal, Message: lines}.Text()
	assert.LessOrEqual(t, len(text), tools.MaxText)
	assert.True(t, strings.HasSuffix(text, "\na line of words\n… cut"), "cut after a whole line")
}
