package dockerhost_test

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/engine/dockerhost"
	"homelab/internal/fault"
)

func TestSocketFailures(t *testing.T) {
	dir := t.TempDir()
	deserted := filepath.Join(dir, "deserted.sock")
	listener, err := net.Listen("unix", deserted)
	require.NoError(t, err)
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(t, listener.Close())
	put(t, filepath.Join(dir, "file"), "")

	rows := map[string]struct{ socket, message string }{
		"missing":      {filepath.Join(dir, "missing.sock"), "there is no such socket"},
		"deserted":     {deserted, "nothing listens on the socket"},
		"not a socket": {filepath.Join(dir, "file"), "nothing listens on the socket"},
		"below a file": {filepath.Join(dir, "file", "x.sock"), "not a directory"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			f := refused(t, dockerhost.Endpoint{URL: "unix://" + row.socket, Source: "default"})
			assert.Equal(t, fault.EngineUnavailable, f.Code)
			assert.Contains(t, f.Message, row.message)
			assert.Contains(t, f.Message, "unix://"+row.socket+" (default)")
			assert.Contains(t, f.Hint, "hosts.NAME.docker")
		})
	}
}

// TestSocketOfOthers cannot use a socket: it may run as root, who has access.
func TestSocketOfOthers(t *testing.T) {
	f := dockerhost.SocketFailure(dockerhost.Endpoint{URL: "unix:///var/run/docker.sock"}, os.NewSyscallError("connect", syscall.EACCES))
	assert.Equal(t, fault.EngineUnavailable, f.Code)
	assert.Equal(t, "no access to the Docker engine at unix:///var/run/docker.sock: permission denied", f.Message)
	assert.Contains(t, f.Hint, "group docker")
}

func TestNetworkFailures(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed := listener.Addr().String()
	require.NoError(t, listener.Close())

	rows := map[string]struct {
		hostport, message string
		code              fault.Code
	}{
		"refused":       {closed, "refuses the connection", fault.EngineUnavailable},
		"no such name":  {"nobody..invalid:2375", `the name "nobody..invalid" cannot be resolved`, fault.HostUnreachable},
		"no such route": {"255.255.255.255:2375", "cannot reach the Docker engine", fault.HostUnreachable},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			f := refused(t, dockerhost.Endpoint{URL: "tcp://" + row.hostport})
			assert.Equal(t, row.code, f.Code)
			assert.Contains(t, f.Message, row.message)
			assert.Contains(t, f.Message, "tcp://"+row.hostport)
			assert.NotEmpty(t, f.Hint)
		})
	}
}
