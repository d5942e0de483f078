package image_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/image"
)

// FuzzRead holds that whatever a file has in it, it is either an image with
// everything that its kind promises, or a fault that says what is wrong.
func FuzzRead(f *testing.F) {
	docker, oci := dockerArchive(f), ociArchive(f, object{"org.opencontainers.image.ref.name": "app:v1"})
	plain := layer(f, "a")
	config := configOf(f, plain)
	packed := tarOf(f, part{name: "x", body: gzipped(f, plain)}, part{name: "a", link: "x"}, part{name: "c", body: config}, manifestOf(f, "c", "app:v1", "a"))
	for _, seed := range [][]byte{
		docker, gzipped(f, docker), zstandard(f, docker), oci, gzipped(f, oci), packed, docker[:1000], sparse(f),
		[]byte("#!/bin/sh\n"), []byte(`{"version":1,"image-config":{},"layers":[],"arch":"amd64"}`), nil,
	} {
		f.Add(seed)
	}
	target := filepath.Join(f.TempDir(), "image")
	f.Fuzz(func(t *testing.T, content []byte) {
		require.NoError(t, os.WriteFile(target, content, 0o755))
		// A few bytes may unpack to very many, which takes time but no memory.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		got, err := image.Read(ctx, target)
		if err != nil {
			assert.Nil(t, got)
			if !errors.Is(err, context.DeadlineExceeded) {
				assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
			}
			assert.Less(t, len(err.Error()), 4000)
			return
		}
		assert.EqualValues(t, len(content), got.Size)
		assert.NotNil(t, got.Layers)
		if got.Kind == image.DockerArchive || got.Kind == image.OCIArchive {
			assert.Regexp(t, `^sha256:[0-9a-f]{64}$`, got.Digest)
			assert.NotZero(t, got.Bytes)
		}
		for _, l := range got.Layers {
			assert.Regexp(t, `^sha256:[0-9a-f]{64}$`, l.DiffID)
			assert.Regexp(t, `^sha256:[0-9a-f]{64}$`, l.Digest)
		}
	})
}
