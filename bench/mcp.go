package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"

	"homelab/internal/command"
)

// client is a bare MCP client over the standard streams of a process: only what
// is measured is in the way.
type client struct {
	pipe  *command.Pipe
	lines *bufio.Reader
	id    int
}

const initialize = `{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"bench","version":"0"}}`

// dial starts a server and waits for its answer to initialize.
func dial(ctx context.Context, program string, args []string, dir string) (*client, error) {
	pipe, err := command.Start(ctx, command.Cmd{Name: program, Args: args, Dir: dir, Env: environment})
	if err != nil {
		return nil, err
	}
	c := &client{pipe: pipe, lines: bufio.NewReaderSize(pipe, 1<<20)}
	if err := c.call("initialize", initialize); err != nil {
		return nil, err
	}
	_, err = fmt.Fprintln(pipe, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	return c, err
}

// call sends a request and waits for its result.
func (c *client) call(method, params string) error {
	c.id++
	if _, err := fmt.Fprintf(c.pipe, `{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`+"\n", c.id, method, params); err != nil {
		return err
	}
	for {
		line, err := c.lines.ReadBytes('\n')
		if err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		var answer struct {
			ID     int
			Error  json.RawMessage
			Result struct{ IsError bool }
		}
		if err := json.Unmarshal(line, &answer); err != nil {
			return err
		}
		if answer.ID != c.id {
			continue
		}
		if answer.Error != nil || answer.Result.IsError {
			return fmt.Errorf("%s: %.500s", method, line)
		}
		return nil
	}
}

// Close ends the server and waits for it.
func (c *client) Close() error { return c.pipe.Close() }

// start compares the time from starting a server to its answer to initialize.
func (r runner) start(dir string) (row, error) {
	serve := func(program string, args ...string) func() error {
		return func() error {
			c, err := dial(r.ctx, program, args, dir)
			if err != nil {
				return err
			}
			return c.Close()
		}
	}
	result, err := r.pair(serve(r.homelab, "mcp"), serve(r.empty))
	result.what, result.ours, result.theirs, result.bound = "start of the server to its answer to initialize, and its end", "`homelab mcp`", "a mcp-go server without tools", "≤ 2"
	return result, err
}
