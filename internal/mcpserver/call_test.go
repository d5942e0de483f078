package mcpserver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/mcpserver"
	"homelab/internal/plan"
	"homelab/tools"
	"homelab/tools/toolstest"
)

func TestResultIsTheExactJSONAndAText(t *testing.T) {
	client := connect(t, newServer(t))
	for _, tool := range tools.Catalog(toolstest.Core()) {
		for _, example := range tool.Examples {
			want, err := tool.Call(t.Context(), json.RawMessage(example.Input), nil)
			require.NoError(t, err)
			value, err := want.JSON()
			require.NoError(t, err)

			got := client.call(tool.Name, example.Input)
			assert.False(t, got.IsError)
			assert.Equal(t, string(value), string(got.Structured), "%s %s", tool.Name, example.Input)
			assert.Equal(t, want.Text, got.Text())
		}
	}
}

func TestFailureIsAResultOfTheTool(t *testing.T) {
	client := connect(t, newServer(t))
	for arguments, want := range map[string]tools.Failure{
		`{"name":"nobody"}`: {Code: fault.UnknownService, Message: `no service is called "nobody"`, Hint: "did you mean home-assistant?"},
		`{"nam":"x"}`: {Code: fault.InvalidArgument, Hint: "valid: name, system",
			Message: "nam: unknown field \"nam\" (\"x\"); did you mean name? valid: name, system\nname: missing required field; add \"name\", a string"},
		`[1]`:  {Code: fault.InvalidArgument, Message: "arguments: wanted an object, got a list ([1])", Hint: "write an object"},
		`null`: {Code: fault.InvalidArgument, Message: "name: missing required field", Hint: `add "name", a string`},
	} {
		got := client.call("registry_get", arguments)
		assert.True(t, got.IsError, arguments)
		assert.Empty(t, got.Structured, "strict clients hold it against the output schema")
		assert.Equal(t, want.Text(), got.Text())
		var failure tools.Failure
		require.NoError(t, json.Unmarshal(got.Meta[mcpserver.FailureKey], &failure))
		assert.Equal(t, want, failure)
	}
}

func TestInvalidRegistryIsAnAnswerNotAnError(t *testing.T) {
	got := connect(t, newServer(t)).call("registry_check", fmt.Sprintf(`{"limit":%d}`, toolstest.BrokenLimit))
	assert.False(t, got.IsError)
	assert.Contains(t, string(got.Structured), `"valid":false`)
}

func TestPanicIsToldAndLoggedAndSurvived(t *testing.T) {
	var log bytes.Buffer
	server, err := mcpserver.New(tools.Catalog(toolstest.Core()), "test", &log)
	require.NoError(t, err)
	client := connect(t, server)

	got := client.call("plan", fmt.Sprintf(`{"base":%q}`, toolstest.PanickingBase))
	assert.True(t, got.IsError)
	assert.Contains(t, got.Text(), "internal: plan: panic: this base panics")
	assert.NotContains(t, got.Text(), "goroutine")
	assert.False(t, client.call("plan", `{}`).IsError)
	assert.Contains(t, log.String(), "toolstest.answerPlan")
}

func TestUnknownToolIsAFailureOfTheProtocol(t *testing.T) {
	a := connect(t, newServer(t)).ask("tools/call", `{"name":"deploy_everything","arguments":{}}`)
	assert.Contains(t, string(a.Error), "deploy_everything")
}

func TestProgressComesBeforeTheResultToThoseWhoAsk(t *testing.T) {
	client := connect(t, newServer(t))
	for range 20 {
		client.callWith(`{"name":"doctor","_meta":{"progressToken":"tok"}}`)
		var seen []string
		for _, params := range client.progress {
			var p struct {
				Token    string  `json:"progressToken"`
				Progress float64 `json:"progress"`
				Message  string  `json:"message"`
			}
			require.NoError(t, json.Unmarshal(params, &p))
			require.Equal(t, "tok", p.Token)
			seen = append(seen, fmt.Sprintf("%v %s", p.Progress, p.Message))
		}
		assert.Equal(t, []string{"1 git: ok", "2 repository: warn", "3 nix: absent", "4 docker:pi: fail"}, seen)
	}
	client.call("doctor", `{}`)
	assert.Empty(t, client.progress)
}

func TestCancellationReachesTheTool(t *testing.T) {
	client := connect(t, newServer(t))
	client.ask("initialize", `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}`)
	// One slow call, and a quick one that overtakes it.
	client.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":"slow","method":"tools/call","params":{"name":"plan","arguments":{"base":%q}}}`, toolstest.HangingBase))
	assert.False(t, client.call("registry_list", `{}`).IsError)

	var a answer
	for a.ID == nil {
		// The SDK forgets a cancellation that comes before the call was begun.
		client.send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"slow"}}`)
		client.send(`{"jsonrpc":"2.0","id":"p","method":"ping"}`)
		if next := client.next(); string(next.ID) == `"slow"` {
			a = next
		}
	}
	assert.Contains(t, string(a.Result), `canceled`)
	assert.Contains(t, string(a.Result), `"isError":true`)
}

func TestEveryCodeReachesTheClient(t *testing.T) {
	core := toolstest.Core()
	var code fault.Code
	core.List = func(context.Context, plan.ListRequest) (*plan.Listing, error) {
		return nil, fmt.Errorf("list: %w", fault.New(code, "it did not work", "try harder"))
	}
	server, err := mcpserver.New(tools.Catalog(core), "test", t.Output())
	require.NoError(t, err)
	client := connect(t, server)
	for _, row := range fault.Codes {
		code = row.Code
		got := client.call("registry_list", `{}`)
		assert.True(t, got.IsError)
		assert.Equal(t, string(row.Code)+": list: it did not work\nhint: try harder", got.Text())
		assert.JSONEq(t, fmt.Sprintf(`{"code":%q,"message":"list: it did not work","hint":"try harder","retryable":%t}`, row.Code, row.Retryable),
			string(got.Meta[mcpserver.FailureKey]))
	}
}
