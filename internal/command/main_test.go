package command_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"homelab/internal/command"
)

// TestMain lets this binary play a program that runs a command that should not
// outlive it.
func TestMain(m *testing.M) {
	if script := os.Getenv("COMMAND_TEST_SCRIPT"); script != "" {
		c := sh(script)
		c.DieWithParent, c.Stderr = true, os.Stderr
		var err error
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
