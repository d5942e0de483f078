// Homelab-mcp is homelab with its MCP server and with engines: what homelab becomes
// for the commands mcp and inspect, and for those that work on hosts. Without a
// command it serves.
package main

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"homelab/internal/cli"
	"homelab/internal/harness"
	"homelab/internal/mcpface"
)

// version is set by the linker for a release; empty otherwise.
var version string

func main() {
	args := os.Args[1:]
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		args = append([]string{"mcp"}, args...)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	app := cli.App{Version: cli.ThisVersion(version), Open: harness.OpenWith(engines, stores, sites, places), Streams: cli.Standard()}
	status := mcpface.Add(app).Run(ctx, args)
	stop()
	os.Exit(status)
}
