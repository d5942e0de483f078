package docker_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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

// noise is an archive with a layer that nothing makes smaller.
func noise(t *testing.T, name string, size int) []byte {
	t.Helper()
	content := make([]byte, size)
	_, err := rand.Read(content)
	require.NoError(t, err)
	return deploytest.Archive(name, "1", "x"+string(content))
}

// An engine that is killed while it takes an archive is told as such.
func TestEngineDiesInTheMiddle(t *testing.T) {
	socket := dockertest.StartEngine(t)
	e := open(t, "unix://"+socket)
	archive := noise(t, "dying:v1", 32<<20)
	half := io.MultiReader(bytes.NewReader(archive[:16<<20]), readerFunc(func([]byte) (int, error) {
		dockertest.Kill(t, socket)
		return 0, io.EOF
	}), bytes.NewReader(archive[16<<20:]))
	err := e.Load(t.Context(), half)
	require.Error(t, err)
	assert.Equal(t, fault.EngineUnavailable, fault.CodeOf(err), "%v", err)
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A disk that is too small for an image is told as such, and nothing of the
// image is there.
func TestDiskIsFull(t *testing.T) {
	small := t.TempDir()
	require.NoError(t, syscall.Mount("none", small, "tmpfs", 0, "size=48m"), "this test needs root")
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(small, syscall.MNT_DETACH)) })
	e := open(t, "unix://"+dockertest.StartEngineWith(t, small))
	err := e.Load(t.Context(), bytes.NewReader(noise(t, "large:v1", 64<<20)))
	require.Error(t, err)
	assert.ErrorIs(t, err, deploy.ErrNoSpace)
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
	assert.Contains(t, fault.Of(err).Hint, "make room")
	i, err := e.Image(t.Context(), "large:v1")
	require.NoError(t, err)
	assert.Nil(t, i)
}
