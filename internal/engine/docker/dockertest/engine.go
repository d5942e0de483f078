// Package dockertest gives tests a real Docker engine and a real ssh server of
// their own. What a machine lacks for it fails the test and says what to
// install.
package dockertest

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/command"
)

// StartEngine starts a Docker engine and returns the path of its socket. The
// engine has its own mount and network namespaces and keeps everything in a
// temporary folder, so it shares nothing with an engine of the machine; its
// containers have no network but loopback. It ends with the test.
func StartEngine(t testing.TB) string {
	t.Helper()
	return StartEngineWith(t, "")
}

// StartEngineWith is StartEngine with the engine's data in a folder; empty: in a
// temporary one.
func StartEngineWith(t testing.TB, data string) string {
	t.Helper()
	return startEngine(t, data, "--bridge", "none")
}

// startEngine starts an engine with options for its bridge.
func startEngine(t testing.TB, data string, bridge ...string) string {
	t.Helper()
	require.Zero(t, os.Geteuid(), "a Docker engine can only be started as root: run the tests as root")

	// Not t.TempDir: its path, with the test's name in it, can be too long for
	// the sockets below it.
	dir, err := os.MkdirTemp("", "dockerd-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	in := func(name string) string { return filepath.Join(dir, name) }
	if data == "" {
		data = in("data")
	}

	engine := start(t, command.Cmd{
		Name: tool(t, "unshare", "util-linux"),
		Args: append([]string{"--net", "--mount", tool(t, "dockerd", "docker.io"),
			"--data-root", data, "--exec-root", in("exec"), "--pidfile", in("pid"),
			"--host", "unix://" + in("docker.sock"), "--iptables=false"}, bridge...),
	})
	// Asked to end by its own process alone: it still has containers to stop. One
	// that was killed leaves its containerd.
	t.Cleanup(func() {
		stop(t, engine, in("pid"))
		if pid := pidIn(t, in("exec/containerd/containerd.pid")); pid != 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	waitFor(t, engine, "the Docker engine", func(ctx context.Context) bool { return ping(ctx, in("docker.sock")) })
	return in("docker.sock")
}

func ping(ctx context.Context, socket string) bool {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, "http://docker/_ping", nil)
	if err != nil {
		return false
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return false
	}
	return answer.Body.Close() == nil && answer.StatusCode == http.StatusOK
}

// Kill kills an engine that StartEngine started, without warning.
func Kill(t testing.TB, socket string) {
	t.Helper()
	pid := pidIn(t, filepath.Join(filepath.Dir(socket), "pid"))
	require.NotZero(t, pid)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
}

// pidIn is the process id in a file; 0 when there is no such file.
func pidIn(t testing.TB, file string) int {
	t.Helper()
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	require.NoError(t, err)
	return pid
}

// stop ends a server that wrote its process id into pidFile, and waits.
func stop(t testing.TB, server *command.Pipe, pidFile string) {
	const patience = 30 * time.Second
	defer func() { assert.NoError(t, server.Close()) }()
	select {
	case <-server.Done():
		return // it failed to start, or died
	default:
	}
	pid := pidIn(t, pidFile)
	require.NotZero(t, pid)
	if err := syscall.Kill(pid, syscall.SIGTERM); !errors.Is(err, syscall.ESRCH) {
		require.NoError(t, err)
	}
	select {
	case <-server.Done():
	case <-time.After(patience):
		t.Errorf("process %d did not end in %s", pid, patience)
	}
}
