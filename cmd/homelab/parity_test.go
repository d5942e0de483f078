package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/tools"
	"homelab/tools/toolstest"
)

// Every example gives the same JSON on the command line and to a real MCP
// client, in either era of the protocol, over the stdio of a real process.
func TestBothFacesGiveTheSameJSON(t *testing.T) {
	program, err := os.Executable()
	require.NoError(t, err)
	for era, version := range map[string]string{"handshake": mcp.LATEST_LEGACY_PROTOCOL_VERSION, "stateless": mcp.LATEST_PROTOCOL_VERSION} {
		t.Run(era, func(t *testing.T) {
			mcpClient := dial(t, program, version)
			listed, err := mcpClient.ListTools(t.Context(), mcp.ListToolsRequest{})
			require.NoError(t, err)
			require.Len(t, listed.Tools, len(tools.Catalog(tools.Core{})))
			for _, tool := range tools.Catalog(toolstest.Core()) {
				for _, example := range tool.Examples {
					overCLI := typed(t, program, strings.Fields(example.Command)[1:]...)
					overMCP := called(t, mcpClient, tool.Name, example.Input)
					assert.Equal(t, overCLI, overMCP, example.Command)
				}
			}
		})
	}
}

func dial(t *testing.T, program, version string) *client.Client {
	t.Helper()
	c, err := client.NewStdioMCPClient(program, []string{cannedVariable + "=1"}, "mcp")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	hello, err := c.Initialize(t.Context(), mcp.InitializeRequest{Params: mcp.InitializeParams{
		ProtocolVersion: version, ClientInfo: mcp.Implementation{Name: "parity", Version: "1"},
	}})
	require.NoError(t, err)
	require.Equal(t, "homelab", hello.ServerInfo.Name)
	return c
}

func called(t *testing.T, c *client.Client, tool, input string) string {
	t.Helper()
	result, err := c.CallTool(t.Context(), mcp.CallToolRequest{Params: mcp.CallToolParams{Name: tool, RawArguments: json.RawMessage(input)}})
	require.NoError(t, err)
	require.False(t, result.IsError, fmt.Sprint(result.Content))
	return compact(t, result.RawStructuredContent)
}

func typed(t *testing.T, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, append(args, "--json")...)
	cmd.Env = append(os.Environ(), cannedVariable+"=1")
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); err != nil {
		require.ErrorAs(t, err, &exit)
		require.Empty(t, string(exit.Stderr))
	}
	return compact(t, out)
}

// compact drops white space and nothing else: the bytes are the same.
func compact(t *testing.T, data []byte) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, json.Compact(&b, data))
	return b.String()
}
