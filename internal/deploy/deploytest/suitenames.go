package deploytest

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/fault"
)

// namesGo takes the names of an image away, and the image with the last one.
func namesGo(t *testing.T, e deploy.Engine) {
	ctx := t.Context()
	untag := func(name string) bool {
		t.Helper()
		gone, err := e.Untag(ctx, name)
		require.NoError(t, err)
		return gone
	}
	require.NoError(t, e.Load(ctx, bytes.NewReader(Archive("suite/h:v1", "untagged", "one", "only here"))))
	i := Found(t, e, "suite/h:v1")
	assert.Positive(t, i.Size)
	require.NoError(t, e.Tag(ctx, i.ID, "suite/h:v2"))
	require.NoError(t, e.Load(ctx, bytes.NewReader(Archive("suite/h:neighbour", "1", "one"))))

	for _, ref := range []string{i.ID, i.ID[len("sha256:"):][:12], "suite/h", "suite/h:never"} {
		assert.False(t, untag(ref), ref)
		assert.Equal(t, []string{"suite/h:v1", "suite/h:v2"}, sorted(Found(t, e, i.ID).Names), "%s is no name of an image", ref)
	}
	assert.False(t, untag("suite/h:v1"))
	assert.Equal(t, []string{"suite/h:v2"}, Found(t, e, i.ID).Names)
	assert.True(t, untag("suite/h:v2"), "it was the last one")
	for _, ref := range []string{"suite/h:v1", "suite/h:v2", i.ID} {
		there, err := e.Image(ctx, ref)
		require.NoError(t, err)
		assert.Nil(t, there, ref)
	}
	assert.False(t, untag("suite/h:v2"), "again")
	Found(t, e, "suite/h:neighbour")
}

// namesInUse has containers, which do not run, of images whose names are taken away.
func (s *containerSuite) namesInUse(t *testing.T) {
	ctx := t.Context()
	inUse := func(name, why string) {
		t.Helper()
		gone, err := s.Untag(ctx, name)
		assert.ErrorIs(t, err, deploy.ErrInUse)
		refusal(t, err, fault.Conflict, "image "+name+" is in use", why)
		assert.False(t, gone)
		Found(t, s, name)
	}
	goes := func(name string, image bool) {
		t.Helper()
		gone, err := s.Untag(ctx, name)
		require.NoError(t, err)
		assert.Equal(t, image, gone)
	}
	require.NoError(t, s.Load(ctx, bytes.NewReader(BehaviourArchive(t, "suite/used:v1", Behaviour{Says: []string{"used"}}))))
	spec := s.spec("suite-user", "used")
	id := s.create(t, spec)
	image := s.found(t, id).ImageID
	require.NoError(t, s.Tag(ctx, image, "suite/used:other"))
	inUse("suite/used:v1", "was made from it")
	goes("suite/used:other", false)

	// Its name moves on, and another one keeps the image.
	require.NoError(t, s.Tag(ctx, image, "suite/used:pin"))
	require.NoError(t, s.Tag(ctx, "suite/runs:v1", "suite/used:v1"))
	goes("suite/used:v1", false)
	inUse("suite/used:pin", "last name of an image that a container uses")
	require.NoError(t, s.Start(ctx, id))
	inUse("suite/used:pin", "last name of an image that a container uses")
	require.NoError(t, s.Stop(ctx, id, 0))
	require.NoError(t, s.Remove(ctx, id))
	goes("suite/used:pin", true)
}
