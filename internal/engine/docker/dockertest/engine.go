// Package dockertest gives tests a real Docker engine and a real ssh server of
// their own. What a machine lacks for it fails the test and says what to
// install.
package dockertest

import (
	"context"
	"errors"
	"fmt"
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

	options := append([]string{"--data-root", data, "--exec-root", in("exec"), "--pidfile", in(pidFile),
		"--host", "unix://" + in("docker.sock"), "--iptables=false"}, bridge...)
	write(t, in(optionsFile), strings.Join(options, "\n"), 0o600)
	// One that was killed leaves its containerd.
	t.Cleanup(func() {
		if pid := pidIn(t, in(containerdPid)); pid != 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	serve(t, in("docker.sock"), tool(t, "unshare", "util-linux"), "--net", "--mount")
	return in("docker.sock")
}

// Files of an engine, beside its socket.
const (
	optionsFile   = "options" // that it was started with, one a line
	pidFile       = "pid"
	containerdPid = "exec/containerd/containerd.pid"
)

func beside(socket, file string) string { return filepath.Join(filepath.Dir(socket), file) }

// serve starts an engine by a command that puts it where it belongs, and waits until
// it answers.
func serve(t testing.TB, socket, name string, args ...string) {
	t.Helper()
	options, err := os.ReadFile(beside(socket, optionsFile))
	require.NoError(t, err)
	args = append(append(args, tool(t, "dockerd", "docker.io")), strings.Split(string(options), "\n")...)
	engine := start(t, command.Cmd{Name: name, Args: args})
	// Asked to end by its own process alone: it still has containers to stop.
	t.Cleanup(func() { stop(t, engine, beside(socket, pidFile)) })
	waitFor(t, engine, "the Docker engine", func(ctx context.Context) bool { return ping(ctx, socket) })
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

// Kill kills an engine that StartEngine started, without warning. Revive starts it
// again, with all that it had; its containers have not ended by then.
func Kill(t testing.TB, socket string) (revive func()) {
	t.Helper()
	pid := pidIn(t, beside(socket, pidFile))
	require.NotZero(t, pid)
	// What holds a namespace open keeps it: the engine has to come back to its own.
	args := []string{}
	for option, name := range map[string]string{"--net": "net", "--mount": "mnt"} {
		namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, name))
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, namespace.Close()) })
		args = append(args, fmt.Sprintf("%s=/proc/%d/fd/%d", option, os.Getpid(), namespace.Fd()))
	}
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	return func() {
		// Its containerd dies with it, and may stay on as a zombie, which the next
		// engine would take for alive.
		require.NoError(t, os.Remove(beside(socket, containerdPid)))
		serve(t, socket, tool(t, "nsenter", "util-linux"), args...)
	}
}

// Crash is Kill for the engine's containerd as well, as when the machine goes down:
// another engine can then start with the same data.
func Crash(t testing.TB, socket string) {
	t.Helper()
	Kill(t, socket)
	pid := pidIn(t, beside(socket, containerdPid))
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

// stop ends a server that wrote its process id into a file, and waits.
func stop(t testing.TB, server *command.Pipe, file string) {
	const patience = 30 * time.Second
	defer func() { assert.NoError(t, server.Close()) }()
	select {
	case <-server.Done():
		return // it failed to start, or died
	default:
	}
	pid := pidIn(t, file)
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
