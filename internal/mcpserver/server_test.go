package mcpserver_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/mcpserver"
	"homelab/tools"
	"homelab/tools/toolstest"
)

func newServer(t *testing.T) *mcpserver.Server {
	t.Helper()
	server, err := mcpserver.New(tools.Catalog(toolstest.Core()), "test", t.Output())
	require.NoError(t, err)
	return server
}

// The whole list as a client gets it: a change that clients see is a change of
// this file.
func TestToolsListIsTheRecordedOne(t *testing.T) {
	client := connect(t, newServer(t))
	list := client.ask("tools/list", `{}`)
	var indented bytes.Buffer
	require.NoError(t, json.Indent(&indented, list.Result, "", "  "))
	toolstest.Golden(t, "tools_list.json", indented.String()+"\n")
}

func TestInitializeIsTheRecordedOne(t *testing.T) {
	client := connect(t, newServer(t))
	hello := client.ask("initialize", `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}`)
	var indented bytes.Buffer
	require.NoError(t, json.Indent(&indented, hello.Result, "", "  "))
	toolstest.Golden(t, "initialize.json", indented.String()+"\n")
}

func TestEveryAnnotationIsExplicit(t *testing.T) {
	client := connect(t, newServer(t))
	var list struct {
		Tools []struct {
			Name        string         `json:"name"`
			Title       string         `json:"title"`
			Annotations map[string]any `json:"annotations"`
		} `json:"tools"`
	}
	require.NoError(t, json.Unmarshal(client.ask("tools/list", `{}`).Result, &list))
	require.Len(t, list.Tools, len(tools.Catalog(tools.Core{})))
	for _, tool := range list.Tools {
		assert.NotEmpty(t, tool.Title, tool.Name)
		for _, hint := range []string{"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"} {
			assert.IsType(t, true, tool.Annotations[hint], "%s: %s", tool.Name, hint)
		}
	}
}

// What an agent pays for having the tools at hand. Prompt is what most clients
// show the model; wire adds the output schemas, which they keep to themselves.
func TestToolsStayWithinTheirBudget(t *testing.T) {
	const promptEach, wireEach = 200, 1600
	seen, err := newServer(t).Inspect(t.Context())
	require.NoError(t, err)
	t.Logf("%d tools: %+v tokens", len(seen.Tools), seen.Tokens)
	assert.LessOrEqual(t, seen.Tokens.Prompt, promptEach*len(seen.Tools))
	assert.LessOrEqual(t, seen.Tokens.Wire, wireEach*len(seen.Tools))
}

func TestInspectShowsEveryToolAndItsCost(t *testing.T) {
	seen, err := newServer(t).Inspect(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "homelab", seen.Server.Name)
	assert.Equal(t, "test", seen.Server.Version)
	text, err := seen.Text()
	require.NoError(t, err)
	first, _, _ := strings.Cut(text, "\n")
	assert.Equal(t, "homelab test, MCP "+seen.ProtocolVersion+", without initialize up to "+seen.LatestVersion, first)
	for _, tool := range tools.Catalog(tools.Core{}) {
		assert.Contains(t, text, "\n"+tool.Name+" ")
		assert.Contains(t, text, tool.Description)
	}
	assert.Contains(t, text, fmt.Sprintf("%d", seen.Tokens.Wire))
	assert.NotContains(t, text, "unset", "an annotation is not set")
}

func TestToolWithoutASchemaIsRefused(t *testing.T) {
	_, err := mcpserver.New([]tools.Tool{{Name: "new"}}, "test", os.Stderr)
	assert.ErrorContains(t, err, "make schemas")
}

// What every client may rely on: a result is what the schema says.
func TestResultsFitTheirSchema(t *testing.T) {
	client := connect(t, newServer(t))
	for _, tool := range tools.Catalog(toolstest.Core()) {
		for _, example := range tool.Examples {
			result := client.call(tool.Name, example.Input)
			require.False(t, result.IsError, result.Text())
			toolstest.Fits(t, tool.Name, result.Structured)
			assert.NotEmpty(t, strings.TrimSpace(result.Text()), tool.Name)
		}
	}
}
