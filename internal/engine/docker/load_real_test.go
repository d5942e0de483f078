package docker_test

import (
	"context"
	"crypto/rand"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/engine/docker"
	"homelab/internal/engine/docker/dockertest"
	"homelab/internal/fault"
)

// built is an image of ha as a build leaves it: a layer that all versions have, and
// one of a size that nothing makes smaller.
func built(t *testing.T, version string, size int) deploy.Artifact {
	t.Helper()
	content := make([]byte, size)
	_, err := rand.Read(content)
	require.NoError(t, err)
	archive := deploytest.Archive("homelab/ha:latest", version, "base", "x"+string(content))
	return deploy.Artifact{
		Service: "ha", Out: "/nix/store/" + strings.Repeat(version, 32) + "-ha.tar", Name: "homelab/ha:latest",
		Image: deploytest.Read(t, archive), Open: deploytest.Opener(archive),
	}
}

// changed is an artifact whose bytes are others when they are sent.
func changed(a deploy.Artifact, change func(archive io.Reader) io.Reader) deploy.Artifact {
	open := a.Open
	a.Open = func(ctx context.Context) (io.ReadCloser, error) {
		archive, err := open(ctx)
		return io.NopCloser(change(archive)), err
	}
	return a
}

// after calls a function when n bytes were read.
func after(n int64, archive io.Reader, do func() error) io.Reader {
	return io.MultiReader(io.LimitReader(archive, n), readerFunc(func([]byte) (int, error) {
		if err := do(); err != nil {
			return 0, err
		}
		return 0, io.EOF
	}), archive)
}

func sent(t *testing.T, e *docker.Engine, a deploy.Artifact) (*deploy.Loaded, error) {
	t.Helper()
	return deploy.Load(t.Context(), e, "nas", a, nil)
}

// flipping gives another byte in one place: the engine finds that out.
type flipping struct {
	from io.Reader
	at   int
}

func (f *flipping) Read(p []byte) (int, error) {
	n, err := f.from.Read(p)
	if f.at >= 0 && f.at < n {
		p[f.at] ^= 1
	}
	f.at -= n
	return n, err
}

// untouched says that of a version nothing is there, and the one before has its names.
func untouched(t *testing.T, e *docker.Engine, failed deploy.Artifact, before *deploy.Loaded) {
	t.Helper()
	there, err := e.Image(t.Context(), failed.Pin())
	require.NoError(t, err)
	assert.Nil(t, there)
	for _, name := range before.Names {
		assert.Equal(t, before.ID, deploytest.Found(t, e, name).ID)
	}
}

// What goes wrong on a real engine while an image is sent leaves what was there, and
// the same image can be loaded afterwards.
func TestRealLoadGoesWrong(t *testing.T) {
	const size = 4 << 20
	e := open(t, "unix://"+dockertest.StartEngine(t))
	before, err := sent(t, e, built(t, "1", 1))
	require.NoError(t, err)
	version := built(t, "2", size)
	for name, row := range map[string]struct {
		artifact deploy.Artifact
		code     fault.Code
		says     string
	}{
		"cut short":         {changed(version, func(archive io.Reader) io.Reader { return io.LimitReader(archive, size/2) }), fault.Precondition, "the archive is cut short"},
		"a byte is another": {changed(version, func(archive io.Reader) io.Reader { return &flipping{archive, size / 2} }), fault.Conflict, "the artifact cannot be sent"},
		"a byte less": {changed(version, func(archive io.Reader) io.Reader {
			return after(size/2, archive, func() error {
				_, err := io.CopyN(io.Discard, archive, 1)
				return err
			})
		}), fault.Precondition, "the artifact cannot be sent"},
		"the disk of this machine breaks": {changed(version, func(archive io.Reader) io.Reader {
			return after(size/2, archive, func() error { return syscall.EIO })
		}), fault.Precondition, "input/output error"},
		"for another processor": {func() deploy.Artifact {
			foreign, image := version, *version.Image
			image.Architecture, foreign.Image = "s390x", &image
			return changed(foreign, func(io.Reader) io.Reader { panic("nothing is to be sent") })
		}(), fault.Precondition, "exec format error"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sent(t, e, row.artifact)
			require.Error(t, err)
			assert.Equal(t, row.code, fault.CodeOf(err), "%v", err)
			assert.ErrorContains(t, err, row.says)
			untouched(t, e, version, before)
		})
	}
	loaded, err := sent(t, e, version)
	require.NoError(t, err)
	assert.False(t, loaded.Skipped)
	assert.Equal(t, loaded.ID, deploytest.Found(t, e, "homelab/ha:latest").ID)
}

// The machine of the engine goes down in the middle, and comes back.
func TestRealLoadThroughACrash(t *testing.T) {
	data := t.TempDir()
	socket := dockertest.StartEngineWith(t, data)
	e := open(t, "unix://"+socket)
	before, err := sent(t, e, built(t, "1", 1))
	require.NoError(t, err)
	const size = 16 << 20
	version := built(t, "2", size)
	_, err = sent(t, e, changed(version, func(archive io.Reader) io.Reader {
		return after(size/2, archive, func() error {
			dockertest.Crash(t, socket)
			return nil
		})
	}))
	require.Error(t, err)
	assert.Equal(t, fault.EngineUnavailable, fault.CodeOf(err), "%v", err)
	_, err = sent(t, e, version)
	assert.Equal(t, fault.EngineUnavailable, fault.CodeOf(err), "%v", err)

	e = open(t, "unix://"+dockertest.StartEngineWith(t, data))
	untouched(t, e, version, before)
	loaded, err := sent(t, e, version)
	require.NoError(t, err)
	assert.False(t, loaded.Skipped)
	assert.Equal(t, loaded.ID, deploytest.Found(t, e, "homelab/ha:latest").ID)
}

// A disk that is full is told at once: to send everything would not help. What fits
// still goes.
func TestRealLoadOntoAFullDisk(t *testing.T) {
	small := t.TempDir()
	require.NoError(t, syscall.Mount("none", small, "tmpfs", 0, "size=48m"), "this test needs root")
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(small, syscall.MNT_DETACH)) })
	e := open(t, "unix://"+dockertest.StartEngineWith(t, small))
	before, err := sent(t, e, built(t, "1", 1))
	require.NoError(t, err)
	large, opened := built(t, "2", 64<<20), 0
	_, err = sent(t, e, changed(large, func(archive io.Reader) io.Reader {
		opened++
		return archive
	}))
	require.Error(t, err)
	assert.ErrorIs(t, err, deploy.ErrNoSpace)
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
	assert.Contains(t, fault.Of(err).Hint, "make room")
	assert.Equal(t, 1, opened, "nobody tries again")
	untouched(t, e, large, before)
	// The store of containerd makes room again in its own time.
	fits := built(t, "3", 1<<20)
	assert.Eventually(t, func() bool { _, err = sent(t, e, fits); return err == nil }, time.Minute, 100*time.Millisecond, "%v", err)
}

// The store of containerd gives an image that it cannot unpack its name, and says so in
// passing, or fails: the name is taken away. Here somebody has made a container of it
// already.
func TestLoadOfWhatCannotBeUnpacked(t *testing.T) {
	for answer, says := range map[string]string{
		`{"stream":"Error unpacking image ha:v1: apply layer error: content digest sha256:0: not found\n"}`: "Error unpacking image ha:v1: apply layer error: content digest sha256:0: not found",
		`{"error":"failed to unpack loaded image: content digest sha256:0: not found"}`:                     "failed to unpack loaded image: content digest sha256:0: not found",
	} {
		e := open(t, fakeEngine(t, "unix", map[string]string{
			"/images/load":     "200 " + answer,
			"/ha:v1/json":      `200 {"Id":"sha256:1","RepoTags":["ha:v1"]}`,
			"/containers/json": `200 [{"Id":"0123456789abcdef","Image":"ha:v1"}]`,
		}))
		err := e.Load(t.Context(), strings.NewReader("x"), "ha:v1")
		assert.ErrorIs(t, err, deploy.ErrRefused)
		assert.ErrorContains(t, err, says)
		assert.ErrorIs(t, err, deploy.ErrInUse)
		assert.Equal(t, fault.Precondition, fault.CodeOf(err))
	}
}
