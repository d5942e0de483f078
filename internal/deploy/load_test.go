package deploy_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/fault"
)

func TestMemory(t *testing.T) {
	for name, containerd := range map[string]bool{"graph driver": false, "containerd": true} {
		t.Run(name, func(t *testing.T) {
			deploytest.Run(t, func(*testing.T) deploy.Engine { return &deploytest.Memory{Containerd: containerd} })
		})
	}
}

const store = "/nix/store/"

// artifact is a build of ha: its hash is that of the version.
func artifact(t *testing.T, version string, layers ...string) deploy.Artifact {
	t.Helper()
	archive := deploytest.Archive("homelab/ha:latest", version, layers...)
	return deploy.Artifact{
		Service: "ha", Out: store + strings.Repeat(version, 32)[:32] + "-ha.tar.gz", Name: "homelab/ha:latest",
		Image: deploytest.Read(t, archive), Open: deploytest.Opener(archive),
	}
}

func load(t *testing.T, e deploy.Engine, a deploy.Artifact) *deploy.Loaded {
	t.Helper()
	l, err := deploy.Load(t.Context(), e, "nas", a, nil)
	require.NoError(t, err)
	return l
}

// What is there is not sent, what is new is, and what was before keeps its name.
func TestLoad(t *testing.T) {
	for name, containerd := range map[string]bool{"graph driver": false, "containerd": true} {
		t.Run(name, func(t *testing.T) {
			e := &deploytest.Memory{Containerd: containerd}
			first := artifact(t, "1", "base", "app 1")
			l := load(t, e, first)
			assert.False(t, l.Skipped)
			assert.Positive(t, l.Sent)
			assert.Equal(t, []string{"homelab/ha:latest", "homelab/ha:nix-11111111111111111111111111111111"}, l.Names)
			assert.Equal(t, []int{2, 0}, []int{l.Layers, l.Reused})
			assert.Equal(t, l.ID, deploytest.Found(t, e, "homelab/ha:latest").ID)

			again := load(t, e, first)
			assert.True(t, again.Skipped)
			assert.Zero(t, again.Sent)
			assert.Equal(t, 2, again.Reused)
			assert.Equal(t, 1, e.Loads())

			second := load(t, e, artifact(t, "2", "base", "app 2"))
			assert.Equal(t, []int{2, 1}, []int{second.Layers, second.Reused})
			assert.False(t, second.Whole)
			assert.Less(t, second.Sent, l.Sent)
			assert.Equal(t, second.ID, deploytest.Found(t, e, "homelab/ha:latest").ID, "the name moves on")
			assert.Equal(t, l.ID, deploytest.Found(t, e, first.Pin()).ID, "and the one before keeps its pin")

			back := load(t, e, first)
			assert.True(t, back.Skipped)
			assert.Equal(t, l.ID, deploytest.Found(t, e, "homelab/ha:latest").ID)
		})
	}
}

// Equal layers do not make equal images: the config counts.
func TestLoadOfAnotherConfig(t *testing.T) {
	for name, containerd := range map[string]bool{"graph driver": false, "containerd": true} {
		t.Run(name, func(t *testing.T) {
			e := &deploytest.Memory{Containerd: containerd}
			one := load(t, e, artifact(t, "1", "base"))
			two := load(t, e, artifact(t, "2", "base"))
			assert.False(t, two.Skipped)
			assert.NotEqual(t, one.ID, two.ID)
			assert.Equal(t, 1, two.Reused)
		})
	}
}

// Built anew to the same image under another store path, it is not sent again
// where the ID tells it.
func TestLoadOfTheSameImage(t *testing.T) {
	e := &deploytest.Memory{}
	a := artifact(t, "1", "base")
	load(t, e, a)
	a.Out = store + strings.Repeat("9", 32) + "-ha.tar.gz"
	l := load(t, e, a)
	assert.True(t, l.Skipped)
	assert.Equal(t, l.ID, deploytest.Found(t, e, a.Pin()).ID)
}

// An engine that turns out to lack a layer gets all of them.
func TestLoadFallsBack(t *testing.T) {
	e := &deploytest.Memory{}
	first := artifact(t, "1", "base", "app 1")
	load(t, e, first)
	e.Lose(first.Image.Layers[0].DiffID)
	l := load(t, e, artifact(t, "2", "base", "app 2"))
	assert.True(t, l.Whole)
	assert.Zero(t, l.Reused)
	assert.Equal(t, 3, e.Loads())
}

func TestLoadFails(t *testing.T) {
	full := fault.Newf(fault.Precondition, "make room", "the disk is full: %w", deploy.ErrNoSpace)
	down := fault.New(fault.EngineUnavailable, "no Docker engine", "start Docker")
	broken := errors.New("the disk broke")
	for name, c := range map[string]struct {
		prepare func(e *deploytest.Memory, a *deploy.Artifact)
		code    fault.Code
		says    string
		loads   int
	}{
		"the engine is down":         {func(e *deploytest.Memory, _ *deploy.Artifact) { e.Fail = failing("platform", down) }, fault.EngineUnavailable, "no Docker engine", 0},
		"it goes down in the middle": {func(e *deploytest.Memory, _ *deploy.Artifact) { e.Fail = failing("load", down) }, fault.EngineUnavailable, "no Docker engine", 1},
		"its disk is full":           {func(e *deploytest.Memory, _ *deploy.Artifact) { e.Fail = failing("load", full) }, fault.Precondition, "the disk is full", 1},
		"it says nothing":            {func(e *deploytest.Memory, _ *deploy.Artifact) { e.Forget = true }, fault.Precondition, "does not have it", 2},
		"for another machine": {func(_ *deploytest.Memory, a *deploy.Artifact) { a.Image.Architecture = "s390x" }, fault.Precondition,
			`the image of ha is for linux/s390x, and host nas runs linux/` + runtime.GOARCH + `: it would end with "exec format error"`, 0},
		"the artifact cannot be read": {func(_ *deploytest.Memory, a *deploy.Artifact) {
			a.Open = func(context.Context) (io.ReadCloser, error) { return nil, broken }
		}, fault.Internal, "the disk broke", 1},
		"the artifact is another": {func(_ *deploytest.Memory, a *deploy.Artifact) {
			a.Open = deploytest.Opener(deploytest.Archive("homelab/ha:latest", "1", "base", "app X"))
		}, fault.Conflict, "the artifact cannot be sent", 1},
	} {
		t.Run(name, func(t *testing.T) {
			e := &deploytest.Memory{}
			load(t, e, artifact(t, "0", "base")) // so that something can be left out
			before := e.Loads()
			a := artifact(t, "1", "base", "app 1")
			c.prepare(e, &a)
			_, err := deploy.Load(t.Context(), e, "nas", a, nil)
			require.Error(t, err)
			assert.Equal(t, c.code, fault.CodeOf(err), "%v", err)
			assert.Contains(t, err.Error(), c.says)
			assert.Equal(t, c.loads, e.Loads()-before)
			e.Fail, e.Forget = nil, false
			there, err := e.Image(t.Context(), a.Pin())
			require.NoError(t, err)
			assert.Nil(t, there)
		})
	}
}

func failing(call string, err error) func(string) error {
	return func(asked string) error {
		if asked == call {
			return err
		}
		return nil
	}
}

// A load that is canceled ends, and the reader of the artifact is closed.
func TestLoadIsCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	e := &deploytest.Memory{Fail: func(call string) error {
		if call == "load" {
			cancel()
			return context.Canceled
		}
		return nil
	}}
	_, err := deploy.Load(ctx, e, "nas", artifact(t, "1", "base"), nil)
	assert.Equal(t, fault.Canceled, fault.CodeOf(err))
}
