package dockertest

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"homelab/internal/command"
)

// tool is the path of a command that a Debian package brings. It also looks
// where only root's PATH goes.
func tool(t testing.TB, name, debian string) string {
	t.Helper()
	for _, candidate := range []string{name, filepath.Join("/usr/sbin", name), filepath.Join("/sbin", name)} {
		if path := command.Look(candidate); path != "" {
			return path
		}
	}
	t.Fatalf("this test needs %s: apt install %s", name, debian)
	return ""
}

func start(t testing.TB, c command.Cmd) *command.Pipe {
	t.Helper()
	server, err := command.Start(context.Background(), c)
	require.NoError(t, err)
	return server
}

// waitFor asks until the server is ready. A server that ends instead fails the
// test with what it said.
func waitFor(t testing.TB, server *command.Pipe, what string, ready func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ready(ctx) {
		select {
		case <-tick.C:
		case <-server.Done():
			result := server.Wait()
			t.Fatalf("%s ended with status %d:\n%s", what, result.Exit, result.Stderr)
		case <-ctx.Done():
			t.Fatalf("%s is not ready after a minute", what)
		}
	}
}
