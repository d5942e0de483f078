package docker_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/engine/docker"
	"homelab/internal/engine/docker/dockertest"
	"homelab/internal/engine/dockerhost"
	"homelab/internal/fault"
)

func open(t *testing.T, url string) *docker.Engine {
	t.Helper()
	way, err := dockerhost.Dial(context.Background(), dockerhost.Endpoint{URL: url})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, way.Close()) })
	e, err := docker.New(way)
	require.NoError(t, err)
	return e
}

// A real engine keeps the promises, through its socket and through ssh.
func TestRealEngine(t *testing.T) {
	ssh := dockertest.StartSSH(t)
	t.Setenv("PATH", ssh.Bin+":"+os.Getenv("PATH"))
	for way, url := range map[string]func(socket string) string{
		"socket": func(socket string) string { return "unix://" + socket },
		"ssh":    ssh.URL,
	} {
		t.Run(way, func(t *testing.T) {
			socket := dockertest.StartEngine(t)
			deploytest.Run(t, func(t *testing.T) deploy.Engine { return open(t, url(socket)) })
		})
	}
}

func TestNoEngine(t *testing.T) {
	e := open(t, "unix://"+filepath.Join(t.TempDir(), "none.sock"))
	_, platformErr := e.Platform(t.Context())
	_, imageErr := e.Image(t.Context(), "a:b")
	_, listErr := e.Images(t.Context())
	loadErr := e.Load(t.Context(), strings.NewReader("x"))
	_, untagErr := e.Untag(t.Context(), "a:b")
	for _, err := range []error{untagErr, platformErr, imageErr, listErr, loadErr, e.Tag(t.Context(), "a:b", "a:c")} {
		assert.Equal(t, fault.EngineUnavailable, fault.CodeOf(err))
		assert.ErrorContains(t, err, "there is no such socket")
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
