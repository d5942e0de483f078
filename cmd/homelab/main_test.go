package main

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"homelab/internal/cli"
	"homelab/internal/harness"
	"homelab/internal/mcpface"
	"homelab/tools"
	"homelab/tools/toolstest"
)

// cannedVariable makes the test binary homelab with canned answers: the real
// program around them, as a process of its own.
const cannedVariable = "HOMELAB_TEST_CANNED"

func TestMain(m *testing.M) {
	// The race detector would make every process wait a second before it ends.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
	if os.Getenv(cannedVariable) != "" {
		canned()
	}
	testscript.Main(m, map[string]func(){"homelab": main, "homelab-mcp": serving, "homelab-canned": canned})
}

// full is the whole program, as cmd/homelab-mcp wires it.
func full(open func(cli.Settings) tools.Core) cli.App {
	return mcpface.Add(cli.App{Version: cli.ThisVersion(""), Open: open, Streams: cli.Standard()})
}

func serving() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := full(harness.Open).Run(ctx, os.Args[1:])
	stop()
	os.Exit(status)
}

func canned() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := full(func(cli.Settings) tools.Core { return toolstest.Core() }).Run(ctx, os.Args[1:])
	stop()
	os.Exit(status)
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			// Where the program is, for scripts without a PATH.
			program, err := exec.LookPath("homelab")
			if err != nil {
				return err
			}
			env.Setenv("PROGRAM", program)
			env.Setenv("GORACE", os.Getenv("GORACE"))
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("TERM", "xterm")
			return nil
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"status": status},
	})
}
