package mcpserver_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/mcpserver"
)

// client is a bare client on two pipes: it sees the very lines that are sent.
type client struct {
	t        *testing.T
	in       io.WriteCloser
	lines    *bufio.Scanner
	nextID   int
	served   chan error
	progress []json.RawMessage // params of what came between an answer and the one before
}

type answer struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  json.RawMessage `json:"error"`
}

type callResult struct {
	Content []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	} `json:"content"`
	Structured json.RawMessage            `json:"structuredContent"`
	IsError    bool                       `json:"isError"`
	Meta       map[string]json.RawMessage `json:"_meta"`
}

func (r callResult) Text() string { return r.Content[0].Text }

// connect serves one client until the test ends. The SDK keeps one session a
// process, so tests that connect do not run in parallel.
func connect(t *testing.T, server *mcpserver.Server) *client {
	t.Helper()
	fromClient, toServer := io.Pipe()
	fromServer, toClient := io.Pipe()
	c := &client{t: t, in: toServer, lines: bufio.NewScanner(fromServer), served: make(chan error, 1)}
	c.lines.Buffer(nil, 1<<20)
	go func() {
		err := server.ServeStdio(t.Context(), fromClient, toClient)
		toClient.Close()
		c.served <- err
	}()
	t.Cleanup(func() {
		toServer.Close()
		go func() { _, _ = io.Copy(io.Discard, fromServer) }()
		assert.NoError(t, <-c.served)
	})
	return c
}

func (c *client) send(line string) {
	c.t.Helper()
	_, err := io.WriteString(c.in, line+"\n")
	require.NoError(c.t, err)
}

// next is the next line, which must be one JSON-RPC message.
func (c *client) next() answer {
	c.t.Helper()
	require.True(c.t, c.lines.Scan(), "the server has closed its output")
	var a answer
	require.NoError(c.t, json.Unmarshal(c.lines.Bytes(), &a), c.lines.Text())
	return a
}

// ask sends a request and waits for its answer.
func (c *client) ask(method, params string) answer {
	c.t.Helper()
	c.nextID++
	c.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`, c.nextID, method, params))
	c.progress = nil
	for {
		a := c.next()
		if a.Method != "" {
			c.progress = append(c.progress, a.Params)
			continue
		}
		require.Equal(c.t, strconv.Itoa(c.nextID), string(a.ID))
		return a
	}
}

func (c *client) call(tool, arguments string) callResult {
	c.t.Helper()
	return c.callWith(fmt.Sprintf(`{"name":%q,"arguments":%s}`, tool, arguments))
}

func (c *client) callWith(params string) callResult {
	c.t.Helper()
	a := c.ask("tools/call", params)
	require.Empty(c.t, string(a.Error), "a failing tool is no failure of the protocol")
	var result callResult
	require.NoError(c.t, json.Unmarshal(a.Result, &result))
	require.Len(c.t, result.Content, 1)
	require.Equal(c.t, "text", result.Content[0].Type)
	return result
}
