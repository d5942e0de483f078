package dockerhost_test

import (
	"context"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/engine/docker/dockertest"
	"homelab/internal/engine/dockerhost"
	"homelab/internal/fault"
	"homelab/registry"
)

// TestRealEngine asks one Docker engine through its socket and through ssh.
func TestRealEngine(t *testing.T) {
	socket := dockertest.StartEngine(t)
	ssh := dockertest.StartSSH(t)
	t.Setenv("PATH", ssh.Bin+":"+os.Getenv("PATH"))

	local := ask(t, dockerhost.Endpoint{URL: "unix://" + socket})
	assert.Equal(t, registry.SystemOf("linux", runtime.GOARCH), local.System)
	assert.Equal(t, "linux", local.OS)
	assert.Equal(t, runtime.GOARCH, local.Arch)
	assert.NotEmpty(t, local.Version)
	assert.Regexp(t, `^1\.\d+$`, local.APIVersion)

	t.Run("as Docker's own client reads it", func(t *testing.T) {
		api, err := client.NewClientWithOpts(client.WithHost("unix://"+socket), client.WithAPIVersionNegotiation())
		require.NoError(t, err)
		defer api.Close()
		want, err := api.ServerVersion(t.Context())
		require.NoError(t, err)
		assert.Equal(t, []string{want.Version, want.APIVersion, want.Os, want.Arch},
			[]string{local.Version, local.APIVersion, local.OS, local.Arch})
	})

	t.Run("through ssh", func(t *testing.T) {
		assert.Equal(t, local, ask(t, dockerhost.Endpoint{URL: ssh.URL(socket)}))
	})

	t.Run("through ssh, socket with odd name", func(t *testing.T) {
		odd := t.TempDir() + "/it's a $(socket)"
		require.NoError(t, os.Symlink(socket, odd))
		e, err := dockerhost.Resolve(registry.Host{Docker: ssh.URL(odd)}, os.Getenv, t.TempDir())
		require.NoError(t, err)
		assert.Equal(t, local, ask(t, e))
	})

	t.Run("ssh without an engine behind it", func(t *testing.T) {
		f := refused(t, dockerhost.Endpoint{URL: ssh.URL(t.TempDir() + "/none.sock")})
		assert.Equal(t, fault.EngineUnavailable, f.Code)
		assert.Contains(t, f.Message, "none.sock")
		assert.Contains(t, f.Hint, "start Docker on that host")
	})

	t.Run("ssh with an unknown user", func(t *testing.T) {
		stranger := ssh
		stranger.User = "nobody-of-that-name"
		f := refused(t, dockerhost.Endpoint{URL: stranger.URL(socket)})
		assert.Equal(t, fault.HostUnreachable, f.Code)
		assert.Contains(t, f.Message, "Permission denied")
		assert.Equal(t, "try it by hand: ssh -p "+ssh.Port+" nobody-of-that-name@127.0.0.1 docker version", f.Hint)
	})
}

// TestCloseEndsSSH looks at the process that carries the connection.
func TestCloseEndsSSH(t *testing.T) {
	socket := dockertest.StartEngine(t)
	ssh := dockertest.StartSSH(t)
	pids := recordPIDs(t, ssh.Bin)

	engine, err := dockerhost.Dial(t.Context(), dockerhost.Endpoint{URL: ssh.URL(socket)})
	require.NoError(t, err)
	for range 3 {
		_, err = engine.Server(t.Context())
		require.NoError(t, err)
	}
	require.Len(t, pids(), 1, "one connection serves all calls")
	assert.NoError(t, syscall.Kill(pids()[0], 0), "it is kept for the next call")

	var calls sync.WaitGroup
	for range 4 {
		calls.Go(func() {
			_, err := engine.Server(t.Context())
			assert.NoError(t, err)
		})
	}
	calls.Wait()

	require.NoError(t, engine.Close())
	ended := pids()
	for _, pid := range ended {
		assert.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
	}
	_, err = engine.Server(t.Context())
	assert.Error(t, err, "a closed handle starts nothing")
	assert.Equal(t, ended, pids())
}

func ask(t *testing.T, e dockerhost.Endpoint) dockerhost.Server {
	t.Helper()
	engine, err := dockerhost.Dial(t.Context(), e)
	require.NoError(t, err)
	defer func() { assert.NoError(t, engine.Close()) }()
	server, err := engine.Server(t.Context())
	require.NoError(t, err)
	return server
}

// refused asks an engine that must not answer, in less time than it has.
func refused(t *testing.T, e dockerhost.Endpoint) *fault.Error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	engine, err := dockerhost.Dial(ctx, e)
	require.NoError(t, err)
	defer func() { assert.NoError(t, engine.Close()) }()
	_, err = engine.Server(ctx)
	require.Error(t, err)
	return fault.Of(err)
}
