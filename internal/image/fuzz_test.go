package image_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
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

// FuzzTransfer holds that whatever a source turned into, what is written of it is
// the image that was read, or a fault.
func FuzzTransfer(f *testing.F) {
	docker, oci := dockerArchive(f), ociArchive(f, nil)
	packed := tarOf(f, part{name: "a", body: gzipped(f, layer(f, "a"))}, part{name: "c", body: configOf(f, layer(f, "a"))}, manifestOf(f, "c", "app:v1", "a"))
	was := []image.Transfer{transferOf(f, docker), transferOf(f, oci), transferOf(f, packed)}
	for _, seed := range [][]byte{docker, gzipped(f, docker), zstandard(f, docker), oci, packed, docker[:1000], sparse(f), []byte(`{"version":1}`), nil} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		all := was
		if now, err := image.ReadArchive(ctx, bytes.NewReader(content)); err == nil {
			all = append(slices.Clone(was), image.Transfer{Image: now, Names: []string{"app:v1"}})
		}
		for i, transfer := range all {
			transfer.Open = opens(content)
			var written bytes.Buffer
			err := transfer.WriteDocker(ctx, &written)
			assert.LessOrEqual(t, int64(written.Len()), transfer.Size()+int64(2*len(content)+16<<10))
			if err != nil {
				if i == len(was) {
					require.ErrorIs(t, err, context.DeadlineExceeded, "what can be read can be written")
				}
				if !errors.Is(err, context.DeadlineExceeded) {
					assert.Contains(t, []fault.Code{fault.Precondition, fault.Conflict}, fault.CodeOf(err), "%v", err)
				}
				continue
			}
			got, err := image.ReadArchive(t.Context(), &written)
			require.NoError(t, err)
			assert.Equal(t, transfer.Image.Digest, got.Digest)
			require.Len(t, got.Layers, len(transfer.Image.Layers))
			for i, layer := range got.Layers {
				assert.Equal(t, transfer.Image.Layers[i].DiffID, layer.DiffID)
			}
		}
	})
}
