// Homelab answers what a change touches, and why. This is the command line; the
// commands that speak MCP, or work on engines, are in homelab-mcp, which takes over
// for them: linking what they need would cost every other command 5 ms.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"homelab/internal/cli"
	"homelab/internal/command"
	"homelab/internal/harness"
	"homelab/tools"
)

// version is set by the linker for a release; empty otherwise.
var version string

func main() {
	if len(os.Args) > 1 && os.Args[1] == "mcp" {
		// What clients wait for: without this, the command line would be built
		// twice. When it fails, the command says why.
		_ = handOver()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := app().Run(ctx, os.Args[1:])
	stop()
	os.Exit(status)
}

func app() cli.App {
	return cli.App{
		Version: cli.ThisVersion(version), Open: harness.Open, Streams: cli.Standard(),
		HandOver: handOver,
		Serve:    func(context.Context, []tools.Tool, cli.Streams) error { return handOver() },
		Inspect:  func(context.Context, []tools.Tool) (cli.Shown, error) { return nil, handOver() },
	}
}

// handOver becomes homelab-mcp with the same arguments. It returns only when it
// could not.
func handOver() error {
	return command.Become("homelab-mcp", os.Args[1:],
		"homelab-mcp belongs beside homelab: make build puts both into bin/, go install ./cmd/... into one folder")
}
