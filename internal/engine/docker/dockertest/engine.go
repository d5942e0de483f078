// Package dockertest gives tests a real Docker engine and a real ssh server of
// their own. What a machine lacks for it fails the test and says what to
// install.
package dockertest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/command"
)

// engine is a Docker engine and the namespaces that it runs in.
type engine struct {
	dir     string // what it keeps, and its socket
	options []string
	// init is the first process in the namespaces, seen from here: whatever was
	// started in them dies with it, whoever its parent is by then.
	init   int
	server *command.Pipe
}

// engines has what was started, by socket.
var engines sync.Map

func engineAt(t testing.TB, socket string) *engine {
	t.Helper()
	e, ok := engines.Load(socket)
	require.True(t, ok, "no engine was started at %s", socket)
	return e.(*engine)
}

// StartEngine starts a Docker engine and returns the path of its socket. The
// engine has its own mount, network and process namespaces and keeps everything in a
// temporary folder, so it shares nothing with an engine of the machine; its
// containers have no network but loopback. It ends with the test.
func StartEngine(t testing.TB) string {
	t.Helper()
	return StartEngineWith(t, "")
}

// StartEngineWith is StartEngine with the engine's data in a folder; empty: in a
// temporary one; and with more options.
func StartEngineWith(t testing.TB, data string, options ...string) string {
	t.Helper()
	return startEngine(t, data, append([]string{"--bridge", "none"}, options...)...)
}

// startEngine starts an engine with options for its bridge. It makes no rules for its
// firewall unless one says so.
func startEngine(t testing.TB, data string, bridge ...string) string {
	t.Helper()
	require.Zero(t, os.Geteuid(), "a Docker engine can only be started as root: run the tests as root")

	// Not t.TempDir: its path, with the test's name in it, can be too long for
	// the sockets below it.
	dir, err := os.MkdirTemp("", "dockerd-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	e := &engine{dir: dir}
	if data == "" {
		data = e.in("data")
	}
	socket := e.in("docker.sock")
	e.options = append([]string{"--data-root", data, "--exec-root", e.in("exec"), "--pidfile", e.in("pid"),
		"--host", "unix://" + socket, "--iptables=false"}, bridge...)
	t.Cleanup(func() { leavesNothing(t, dir) })
	e.enclose(t)
	e.serve(t)
	engines.Store(socket, e)
	t.Cleanup(func() { engines.Delete(socket) })
	return socket
}

func (e *engine) in(name string) string { return filepath.Join(e.dir, name) }

// enclose makes the namespaces. They go when their first process does, which reads
// until the test's process closes its end, or dies; meanwhile it buries orphans.
func (e *engine) enclose(t testing.TB) {
	t.Helper()
	keeper := start(t, command.Cmd{Name: tool(t, "unshare", "util-linux"), Args: []string{
		"--net", "--mount", "--mount-proc", "--pid", "--fork", "--kill-child",
		"sh", "-c", "exec 3<&0; cat <&3 & echo ready; wait",
	}})
	t.Cleanup(func() {
		require.NoError(t, keeper.CloseWrite())
		ended(t, keeper, "what the engine ran in")
	})
	ready := make([]byte, len("ready"))
	_, err := io.ReadFull(keeper, ready)
	require.NoError(t, err)
	e.init = childOf(t, keeper.PID)
}

// serve starts the engine in its namespaces, and waits until it answers.
func (e *engine) serve(t testing.TB) {
	t.Helper()
	args := append([]string{"--target", strconv.Itoa(e.init), "--net", "--mount", "--pid", tool(t, "dockerd", "docker.io")}, e.options...)
	server := start(t, command.Cmd{Name: tool(t, "nsenter", "util-linux"), Args: args})
	e.server = server
	// Asked to end by its own process alone: it still has containers to stop.
	t.Cleanup(func() {
		select {
		case <-server.Done(): // it failed to start, or was killed
		default:
			signal(t, childOf(t, server.PID), syscall.SIGTERM)
		}
		ended(t, server, "the Docker engine")
	})
	waitFor(t, server, "the Docker engine", func(ctx context.Context) bool { return ping(ctx, e.in("docker.sock")) })
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
	e := engineAt(t, socket)
	signal(t, childOf(t, e.server.PID), syscall.SIGKILL)
	ended(t, e.server, "the Docker engine")
	return func() {
		// Its containerd dies with it, but not at once: the next engine would take
		// it for alive.
		require.NoError(t, os.Remove(e.in("exec/containerd/containerd.pid")))
		e.serve(t)
	}
}

// Crash kills the engine and all that it started, as when the machine goes down:
// another engine can then start with the same data.
func Crash(t testing.TB, socket string) {
	t.Helper()
	e := engineAt(t, socket)
	signal(t, e.init, syscall.SIGKILL)
	ended(t, e.server, "the Docker engine")
}

// OnHost is a command that runs another one, with its arguments, in the namespaces of
// the engine's host.
func OnHost(t testing.TB, socket string) []string {
	t.Helper()
	return []string{tool(t, "nsenter", "util-linux"), "--target", strconv.Itoa(engineAt(t, socket).init), "--net", "--mount", "--pid"}
}

// childOf is the only child of a process.
func childOf(t testing.TB, parent int) int {
	t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(t, err)
	for _, process := range processes {
		raw, _ := os.ReadFile(filepath.Join(process, "stat")) // none: it ended meanwhile
		// PID (NAME) STATE PARENT …, where the name may be anything.
		fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			pid, err := strconv.Atoi(filepath.Base(process))
			require.NoError(t, err)
			return pid
		}
	}
	t.Fatalf("process %d has no child", parent)
	return 0
}

// signal sends a signal to a process; one that is over needs none.
func signal(t testing.TB, pid int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, s); !errors.Is(err, syscall.ESRCH) {
		require.NoError(t, err)
	}
}

// ended waits for a process that was told to end.
func ended(t testing.TB, p *command.Pipe, what string) {
	t.Helper()
	const patience = 30 * time.Second
	select {
	case <-p.Done():
	case <-time.After(patience):
		t.Errorf("%s did not end in %s", what, patience)
	}
	assert.NoError(t, p.Close())
}
