package command_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"

	"homelab/internal/command"
)

// TestMain lets this binary play a program that runs a command that should not
// outlive it.
func TestMain(m *testing.M) {
	if script := os.Getenv("COMMAND_TEST_SCRIPT"); script != "" {
		signal, err := strconv.Atoi(os.Getenv("COMMAND_TEST_SIGNAL"))
		if err != nil {
			panic(err)
		}
		c := sh(script)
		c.DieWithParent, c.Stderr = syscall.Signal(signal), os.Stderr
		if os.Getenv("COMMAND_TEST_PIPE") == "" {
			_, err = command.Run(context.Background(), c)
		} else {
			var p *command.Pipe
			if p, err = command.Start(context.Background(), c); err == nil {
				p.Wait()
			}
		}
		fmt.Fprintln(os.Stderr, "ended:", err)
		os.Exit(0)
	}
	os.Exit(m.Run())
}
