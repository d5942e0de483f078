// Homelab answers what a change touches, and why, on the command line and to
// MCP clients.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"homelab/internal/cli"
	"homelab/internal/harness"
	"homelab/internal/mcpserver"
	"homelab/tools"
)

// version is set by the linker for a release; empty otherwise.
var version string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := app(open).Run(ctx, os.Args[1:])
	stop()
	os.Exit(status)
}

func open(s cli.Settings) tools.Core {
	return harness.New(harness.Config{Repo: s.Repo, Registry: s.Registry}).Core()
}

// app wires both faces to the tools that open binds.
func app(open func(cli.Settings) tools.Core) cli.App {
	v := thisVersion()
	serve := func(ctx context.Context, catalog []tools.Tool, streams cli.Streams) error {
		server, err := mcpserver.New(catalog, v.Number, streams.Err)
		if err != nil {
			return err
		}
		return server.ServeStdio(ctx, streams.In, streams.Out)
	}
	inspect := func(ctx context.Context, catalog []tools.Tool) (cli.Shown, error) {
		server, err := mcpserver.New(catalog, v.Number, os.Stderr)
		if err != nil {
			return nil, err
		}
		return server.Inspect(ctx)
	}
	return cli.App{
		Version: v, Open: open, Serve: serve, Inspect: inspect,
		Streams: cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr},
	}
}

// thisVersion is what the linker set, else what the go command recorded.
func thisVersion() cli.Version {
	v := cli.Version{Number: version}
	info, ok := debug.ReadBuildInfo()
	if ok && v.Number == "" {
		v.Number = info.Main.Version
	}
	if v.Number == "" {
		v.Number = "(devel)"
	}
	if ok {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				v.Commit = setting.Value
			}
		}
	}
	return v
}
