// Package mcpface gives the command line its MCP commands, mcp and inspect. It
// is apart from internal/harness because linking the MCP library costs every
// start 3 ms, a third of a whole plan: only cmd/homelab-mcp pays it.
package mcpface

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/term"

	"homelab/internal/cli"
	"homelab/internal/mcpserver"
	"homelab/tools"
)

// Add returns the app with the commands that speak MCP.
func Add(app cli.App) cli.App {
	app.Serve = func(ctx context.Context, catalog []tools.Tool, streams cli.Streams) error {
		server, err := mcpserver.New(catalog, app.Version.Number, streams.Err)
		if err != nil {
			return err
		}
		if in, ok := streams.In.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
			fmt.Fprintln(streams.Err, "homelab mcp: waiting for an MCP client on standard input; to look at the tools, run homelab inspect")
		}
		return server.ServeStdio(ctx, streams.In, streams.Out)
	}
	app.Inspect = func(ctx context.Context, catalog []tools.Tool) (cli.Shown, error) {
		server, err := mcpserver.New(catalog, app.Version.Number, app.Streams.Err)
		if err != nil {
			return nil, err
		}
		return server.Inspect(ctx)
	}
	return app
}
