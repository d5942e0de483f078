// Package e2e tests the program as it is shipped, with real Nix, a real Docker
// engine, a real ssh server and MCP clients of others. What is missing on the
// machine fails the tests: `make test` installs it.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"homelab/internal/command"

	// What the program is made of: go test must not remember a result from
	// before an edit there.
	_ "homelab/internal/cli"
	_ "homelab/internal/harness"
	_ "homelab/internal/mcpface"
)

// root is the folder of the module.
const root = "../.."

// bin is a folder with the programs that are tested.
var bin string

func TestMain(m *testing.M) {
	status, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(status)
}

func run(m *testing.M) (status int, err error) {
	if bin, err = os.MkdirTemp("", "homelab-e2e-"); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(bin)) }()
	built, err := command.Run(context.Background(), command.Cmd{
		Name: "go", Args: []string{"build", "-buildvcs=false", "-o", bin + "/", "./cmd/...", "./examples/mcpclient"},
		Dir: root, Env: []string{"CGO_ENABLED=0"},
	})
	if err != nil {
		return 0, err
	}
	if built.Exit != 0 {
		return 0, fmt.Errorf("build: %s", built.Stderr)
	}
	return m.Run(), nil
}
