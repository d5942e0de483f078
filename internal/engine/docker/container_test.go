package docker_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/engine/docker/dockertest"
)

// A real engine keeps the promises for containers, through its socket and through
// ssh.
func TestRealContainers(t *testing.T) {
	engine := dockertest.StartEngineWithBridge(t)
	stranger := func(t *testing.T, name, image string) string { return makeStranger(t, engine.Socket, name, image) }
	plug := func(t *testing.T, id, network string, connected bool) {
		plugByHand(t, engine.Socket, id, network, connected)
	}
	volumes := func(t *testing.T, name string, options map[string]string) {
		makeVolume(t, engine.Socket, name, options)
	}
	files := t.TempDir()
	put := func(t *testing.T, name, content string) string {
		path := filepath.Join(files, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	t.Run("socket", func(t *testing.T) {
		deploytest.RunContainers(t, func(t *testing.T) deploy.Containers { return open(t, "unix://"+engine.Socket) }, deploytest.Lab{
			Stranger: stranger, Plug: plug, Put: put, Volume: volumes, Inside: func(do func()) { engine.Inside(t, do) },
		})
	})
	t.Run("ssh", func(t *testing.T) {
		ssh := engine.StartSSH(t)
		t.Setenv("PATH", ssh.Bin+":"+os.Getenv("PATH"))
		deploytest.RunContainers(t, func(t *testing.T) deploy.Containers { return open(t, ssh.URL(engine.Socket)) }, deploytest.Lab{
			Stranger: stranger, Plug: plug, Put: put, Volume: volumes,
		})
	})
}

// raw is Docker's own client.
func raw(t *testing.T, socket string) *client.Client {
	t.Helper()
	api, err := client.NewClientWithOpts(client.WithHost("unix://"+socket), client.WithAPIVersionNegotiation())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, api.Close()) })
	return api
}

// makeStranger makes a container as somebody else would.
func makeStranger(t *testing.T, socket, name, image string) string {
	t.Helper()
	api := raw(t, socket)
	made, err := api.ContainerCreate(t.Context(), &container.Config{Image: image}, nil, nil, nil, name)
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, api.ContainerRemove(context.Background(), made.ID, container.RemoveOptions{Force: true}))
	})
	return made.ID
}

// plugByHand connects a container with a network, or disconnects it.
func plugByHand(t *testing.T, socket, id, network string, connected bool) {
	t.Helper()
	api := raw(t, socket)
	if connected {
		require.NoError(t, api.NetworkConnect(t.Context(), network, id, nil))
		return
	}
	require.NoError(t, api.NetworkDisconnect(t.Context(), network, id, false))
}

// makeVolume makes a volume as somebody else would.
func makeVolume(t *testing.T, socket, name string, options map[string]string) {
	t.Helper()
	_, err := raw(t, socket).VolumeCreate(t.Context(), volume.CreateOptions{Name: name, DriverOpts: options})
	require.NoError(t, err)
}
