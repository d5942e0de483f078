package deploytest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/image"
)

// Run holds an engine against the promises of [deploy.Engine]. Each call of open
// gives one that may have images of earlier ones.
func Run(t *testing.T, open func(t *testing.T) deploy.Engine) {
	e := open(t)
	ctx := t.Context()
	platform, err := e.Platform(ctx)
	require.NoError(t, err)
	assert.Equal(t, "linux", platform.OS)

	t.Run("nothing is there", func(t *testing.T) {
		i, err := e.Image(ctx, "suite/none:v1")
		require.NoError(t, err)
		assert.Nil(t, i)
		assert.ErrorIs(t, e.Tag(ctx, "suite/none:v1", "suite/other:v1"), deploy.ErrRefused)
	})

	t.Run("what is loaded is there", func(t *testing.T) {
		archive := Archive("suite/a:v1", "1", "one", "two")
		require.NoError(t, e.Load(ctx, bytes.NewReader(archive)))
		i := Found(t, e, "suite/a:v1")
		want := Read(t, archive)
		assert.Equal(t, diffIDs(want), i.DiffIDs)
		assert.Equal(t, []string{"suite/a:v1"}, i.Names)
		assert.Equal(t, "linux/"+runtime.GOARCH, i.OS+"/"+i.Arch)
		if !platform.Containerd {
			assert.Equal(t, want.Digest, i.ID)
		}
		assert.Equal(t, i, Found(t, e, i.ID))
		require.NoError(t, e.Load(ctx, bytes.NewReader(archive)), "again")
		all, err := e.Images(ctx)
		require.NoError(t, err)
		assert.Contains(t, all, *i)
	})

	t.Run("a name moves", func(t *testing.T) {
		require.NoError(t, e.Load(ctx, bytes.NewReader(Archive("suite/b:v1", "1", "one"))))
		require.NoError(t, e.Load(ctx, bytes.NewReader(Archive("suite/b:v2", "2", "one"))))
		first := Found(t, e, "suite/b:v1")
		require.NoError(t, e.Tag(ctx, first.ID, "suite/b:kept"))
		require.NoError(t, e.Tag(ctx, "suite/b:v2", "suite/b:v1"))
		assert.Equal(t, Found(t, e, "suite/b:v2").ID, Found(t, e, "suite/b:v1").ID)
		assert.Equal(t, first.ID, Found(t, e, "suite/b:kept").ID)
	})

	t.Run("layers that are there are left out", func(t *testing.T) {
		require.NoError(t, send(ctx, e, platform, Archive("suite/c:v1", "1", "base", "old"), "suite/c:v1", nil))
		archive := Archive("suite/c:v2", "1", "base", "new")
		require.NoError(t, send(ctx, e, platform, archive, "suite/c:v2", func(layer int) bool { return layer == 0 }))
		assert.Equal(t, diffIDs(Read(t, archive)), Found(t, e, "suite/c:v2").DiffIDs)
	})

	t.Run("layers that are not there cannot be", func(t *testing.T) {
		archive := Archive("suite/d:v1", "1", "never seen", "nor this")
		err := send(ctx, e, platform, archive, "suite/d:v1", func(layer int) bool { return layer == 0 })
		i, failed := e.Image(ctx, "suite/d:v1")
		require.NoError(t, failed)
		assert.Nil(t, i, "%v", err)
		require.NoError(t, send(ctx, e, platform, archive, "suite/d:v1", nil), "the whole helps")
		Found(t, e, "suite/d:v1")
	})

	t.Run("names go", func(t *testing.T) { namesGo(t, e) })

	t.Run("what is no archive is not taken", func(t *testing.T) {
		whole := Archive("suite/e:v1", "1", "a layer of its own")
		for name, content := range map[string][]byte{
			"text": []byte(strings.Repeat("hello ", 300)), "nothing": {}, "cut short": whole[:len(whole)/2],
		} {
			_ = e.Load(ctx, bytes.NewReader(content)) // some engines say nothing of it
			i, err := e.Image(ctx, "suite/e:v1")
			require.NoError(t, err)
			assert.Nil(t, i, name)
		}
	})

	t.Run("a reader that fails", func(t *testing.T) {
		cause := errors.New("the disk broke")
		whole := Archive("suite/f:v1", "1", "yet another layer")
		broken := io.MultiReader(bytes.NewReader(whole[:len(whole)/2]), iotest.ErrReader(cause))
		assert.ErrorIs(t, e.Load(ctx, broken), cause)
		i, err := e.Image(ctx, "suite/f:v1")
		require.NoError(t, err)
		assert.Nil(t, i)
	})

	t.Run("canceled", func(t *testing.T) {
		over, cancel := context.WithCancel(ctx)
		cancel()
		assert.ErrorIs(t, e.Load(over, bytes.NewReader(Archive("suite/g:v1", "1", "x"))), context.Canceled)
		_, err := e.Image(over, "suite/g:v1")
		assert.ErrorIs(t, err, context.Canceled)
		_, err = e.Untag(over, "suite/g:v1")
		assert.ErrorIs(t, err, context.Canceled)
	})
}

// Found is an image that must be there.
func Found(t *testing.T, e deploy.Engine, ref string) *deploy.HostImage {
	t.Helper()
	i, err := e.Image(t.Context(), ref)
	require.NoError(t, err)
	require.NotNil(t, i, ref)
	return i
}

// Read reads an archive as a build does.
func Read(t *testing.T, archive []byte) *image.Image {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.tar")
	require.NoError(t, os.WriteFile(path, archive, 0o600))
	i, err := image.Read(t.Context(), path)
	require.NoError(t, err)
	return i
}

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}

func diffIDs(i *image.Image) []string {
	ids := []string{}
	for _, layer := range i.Layers {
		ids = append(ids, layer.DiffID)
	}
	return ids
}

// send loads an archive in the form that the engine takes without layers.
func send(ctx context.Context, e deploy.Engine, p deploy.Platform, archive []byte, name string, omit func(int) bool) error {
	i, err := image.ReadArchive(ctx, bytes.NewReader(archive))
	if err != nil {
		return err
	}
	t := image.Transfer{Image: i, Names: []string{name}, Omit: omit, Open: Opener(archive)}
	var out bytes.Buffer
	if p.Containerd {
		_, err = t.WriteOCI(ctx, &out)
	} else {
		err = t.WriteDocker(ctx, &out)
	}
	if err != nil {
		return err
	}
	return e.Load(ctx, &out, t.Names...)
}

// Opener gives the bytes of an archive.
func Opener(archive []byte) func(context.Context) (io.ReadCloser, error) {
	return func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive)), nil }
}
