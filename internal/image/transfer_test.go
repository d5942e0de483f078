package image_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/image"
)

// transferOf is one of a file with the content.
func transferOf(t testing.TB, content []byte) image.Transfer {
	t.Helper()
	file := save(t, content, 0o644)
	read, err := image.Read(t.Context(), file)
	require.NoError(t, err)
	return image.Transfer{Image: read, Names: []string{"app:v2"}, Open: image.OpenFile(file)}
}

// streamOf is one of a script that writes the content.
func streamOf(t testing.TB, content []byte) image.Transfer {
	t.Helper()
	read, err := image.ReadArchive(t.Context(), bytes.NewReader(content))
	require.NoError(t, err)
	return image.Transfer{Image: read, Names: []string{"app:v2"}, Open: opens(content)}
}

func opens(content []byte) func(context.Context) (io.ReadCloser, error) {
	return func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
}

// write returns what was written, also when it failed.
func write(t testing.TB, transfer image.Transfer, to func(image.Transfer, context.Context, io.Writer) error) ([]byte, error) {
	t.Helper()
	var buffer bytes.Buffer
	err := to(transfer, t.Context(), &buffer)
	return buffer.Bytes(), err
}

func writeDocker(t testing.TB, transfer image.Transfer) []byte {
	t.Helper()
	written, err := write(t, transfer, image.Transfer.WriteDocker)
	require.NoError(t, err)
	return written
}

func writeOCI(t testing.TB, transfer image.Transfer) (written []byte, manifest string) {
	t.Helper()
	var buffer bytes.Buffer
	manifest, err := transfer.WriteOCI(t.Context(), &buffer)
	require.NoError(t, err)
	return buffer.Bytes(), manifest
}

// toOCI is WriteOCI without what it returns.
func toOCI(transfer image.Transfer, ctx context.Context, w io.Writer) error {
	_, err := transfer.WriteOCI(ctx, w)
	return err
}

func readBack(t testing.TB, archive []byte) *image.Image {
	t.Helper()
	read, err := image.Read(t.Context(), save(t, archive, 0o444))
	require.NoError(t, err)
	return read
}

// filesOf is what is in an archive, which must be ended.
func filesOf(t testing.TB, archive []byte) map[string]string {
	t.Helper()
	files := map[string]string{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := r.Next()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		content, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NotContains(t, files, header.Name, "written twice")
		files[header.Name] = string(content)
	}
	require.Equal(t, make([]byte, 1024), archive[len(archive)-1024:])
	return files
}

// noise is a layer that does not compress, of some bytes more than size.
func noise(t testing.TB, name string, size int) []byte {
	t.Helper()
	content := make([]byte, size)
	_, err := rand.NewChaCha8([32]byte([]byte((name + strings.Repeat(" ", 32))[:32]))).Read(content)
	require.NoError(t, err)
	return tarOf(t, part{name: name, body: content})
}

// sources are images of two layers, a and b, in every form that there is.
func sources(t testing.TB, a, b []byte) map[string]image.Transfer {
	t.Helper()
	c := configOf(t, a, b)
	first, second, config := part{name: "a", body: a}, part{name: "b", body: b}, part{name: "c", body: c}
	manifest := manifestOf(t, "c", "other:v1", "a", "b")
	whole := tarOf(t, first, second, config, manifest)
	copied := manifestOf(t, "d", "other:v1", "a", "b")
	noisy := file("x.json", strings.Repeat("{", 5000)) // JSON that is no config
	oci := func(a, b []byte, more ...part) []byte {
		m := ociManifestOf(t, c, a, b)
		return tarOf(t, append(more, file("oci-layout", "{}"), part{name: "index.json", body: indexOf(t, describe(ociManifest, m, nil))}, blob(c), blob(m), blob(b))...)
	}
	gz, zst := gzipped(t, a), zstandard(t, b)
	return map[string]image.Transfer{
		"docker":                    transferOf(t, whole),
		"docker, gzip":              transferOf(t, gzipped(t, whole)),
		"docker, zstd":              transferOf(t, zstandard(t, whole)),
		"docker, manifest first":    transferOf(t, tarOf(t, noisy, manifest, config, second, first, noisy)),
		"docker, layers packed":     transferOf(t, tarOf(t, part{name: "a", body: gz}, part{name: "b", body: zst}, config, manifest)),
		"docker, layers linked":     transferOf(t, tarOf(t, part{name: "a", link: "./d"}, second, config, manifest, part{name: "d", body: a})),
		"docker, hard links":        transferOf(t, tarOf(t, part{name: "d", body: a}, part{name: "a", link: "d", kind: tar.TypeLink}, second, config, manifest)),
		"docker, written twice":     transferOf(t, tarOf(t, part{name: "a", body: b}, part{name: "c", body: a}, first, second, config, manifest)),
		"docker, config linked":     transferOf(t, tarOf(t, first, second, part{name: "c", link: "e"}, part{name: "e", body: c}, manifest)),
		"docker, config twice":      transferOf(t, tarOf(t, first, config, second, part{name: "d", body: c}, copied)),
		"oci, gzip and zstd":        transferOf(t, oci(gz, zst, blob(gz))),
		"oci, plain":                transferOf(t, oci(a, b, blob(a))),
		"oci, whole packed":         transferOf(t, zstandard(t, oci(a, zst, blob(a)))),
		"oci, a blob linked":        transferOf(t, oci(gz, b, part{name: blob(gz).name, link: "/d"}, part{name: "d", body: gz})),
		"stream":                    streamOf(t, whole),
		"stream, gzip":              streamOf(t, gzipped(t, whole)),
		"nix2container":             transferOf(t, nix2container(t, fileLayer(t, a, a), fileLayer(t, b, b))),
		"nix2container, compressed": transferOf(t, nix2container(t, fileLayer(t, a, gz), fileLayer(t, b, zst))),
	}
}

// Whatever form an image has, it comes out as the same image.
func TestTransferRoundTrip(t *testing.T) {
	a, b := noise(t, "a", 300<<10), layer(t, "b")
	for name, transfer := range sources(t, a, b) {
		t.Run(name, func(t *testing.T) {
			want := image.Image{
				Kind: image.DockerArchive, Name: "app", Tag: "v2", Digest: transfer.Image.Digest, Architecture: "arm64", OS: "linux",
				Layers: []image.Layer{
					{DiffID: digest(a), Digest: digest(a), Size: int64(len(a))},
					{DiffID: digest(b), Digest: digest(b), Size: int64(len(b))},
				},
			}
			check := func(archive []byte) {
				t.Helper()
				got := readBack(t, archive)
				require.Equal(t, got.Size, got.Bytes)
				// Headers, JSON and padding.
				assert.Less(t, got.Size, int64(len(a)+len(b)+16<<10))
				got.Size, got.Bytes = 0, 0
				for i := range got.Layers {
					got.Layers[i].Entry = 0
				}
				assert.Equal(t, &want, got)
			}
			check(writeDocker(t, transfer))
			archive, manifest := writeOCI(t, transfer)
			want.Kind, want.Name = image.OCIArchive, "docker.io/library/app"
			check(archive)
			assert.Contains(t, filesOf(t, archive), "blobs/sha256/"+strings.TrimPrefix(manifest, "sha256:"))
			again, _ := writeOCI(t, transfer)
			assert.Equal(t, archive, again, "the same bytes each time")
		})
	}
}

// What is omitted is not there, and nothing else is changed by it.
func TestTransferOmits(t *testing.T) {
	a, b := layer(t, "a"), layer(t, "b")
	for name, transfer := range sources(t, a, b) {
		t.Run(name, func(t *testing.T) {
			for _, omitted := range [][]int{{0}, {1}, {0, 1}, {}} {
				short := transfer
				short.Omit = func(layer int) bool { return slices.Contains(omitted, layer) }
				docker, oci := filesOf(t, writeDocker(t, transfer)), map[string]string{}
				whole, id := writeOCI(t, transfer)
				maps.Copy(oci, filesOf(t, whole))
				size := int64(len(a) + len(b))
				for _, i := range omitted {
					layer := [][]byte{a, b}[i]
					delete(docker, sum(layer)+".tar")
					delete(oci, blob(layer).name)
					size -= int64(len(layer))
				}
				assert.Equal(t, docker, filesOf(t, writeDocker(t, short)))
				written, shortID := writeOCI(t, short)
				assert.Equal(t, oci, filesOf(t, written))
				assert.Equal(t, id, shortID)
				if transfer.Image.Kind != image.Nix2container { // which does not know
					assert.Equal(t, size, short.Size())
				}
			}
		})
	}
}

// A layer that an image has twice is written once, unless it is omitted at both
// positions.
func TestTransferOfTheSameLayerTwice(t *testing.T) {
	a, b := layer(t, "a"), layer(t, "b")
	c := configOf(t, a, b, a)
	config, second := part{name: "c", body: c}, part{name: "b", body: b}
	for name, archive := range map[string][]byte{
		"linked":   tarOf(t, part{name: "a", body: a}, second, part{name: "d", link: "a"}, config, manifestOf(t, "c", "x:y", "a", "b", "d")),
		"one file": tarOf(t, part{name: "a", body: a}, second, config, manifestOf(t, "c", "x:y", "a", "b", "a")),
		"copied":   tarOf(t, part{name: "a", body: a}, second, part{name: "d", body: a}, config, manifestOf(t, "c", "x:y", "a", "b", "d")),
		"packed":   tarOf(t, part{name: "a", body: a}, second, part{name: "d", body: gzipped(t, a)}, config, manifestOf(t, "c", "x:y", "a", "b", "d")),
	} {
		t.Run(name, func(t *testing.T) {
			transfer := transferOf(t, archive)
			check := func(archive []byte) {
				t.Helper()
				filesOf(t, archive) // none twice
				got := readBack(t, archive)
				assert.Equal(t, digest(c), got.Digest)
				assert.Len(t, got.Layers, 3)
			}
			for _, omitted := range [][]int{nil, {0}, {2}} {
				transfer.Omit = func(layer int) bool { return slices.Contains(omitted, layer) }
				check(writeDocker(t, transfer))
				archive, _ := writeOCI(t, transfer)
				check(archive)
				assert.EqualValues(t, len(a)+len(b), transfer.Size())
			}
			transfer.Omit = func(layer int) bool { return layer != 1 }
			assert.NotContains(t, filesOf(t, writeDocker(t, transfer)), sum(a)+".tar")
		})
	}
}

func TestTransferOfNoLayers(t *testing.T) {
	transfer := transferOf(t, tarOf(t, part{name: "c", body: configOf(t)}, manifestOf(t, "c", "x:y")))
	assert.Equal(t, digest(configOf(t)), readBack(t, writeDocker(t, transfer)).Digest)
	archive, _ := writeOCI(t, transfer)
	assert.Equal(t, digest(configOf(t)), readBack(t, archive).Digest)
	assert.Zero(t, transfer.Size())
}

// The names are those that are given, in the form that each engine wants.
func TestTransferNames(t *testing.T) {
	transfer := transferOf(t, dockerArchive(t))
	full := map[string]string{ // as github.com/distribution/reference says
		"app:v1":                          "docker.io/library/app:v1",
		"team/app:v1":                     "docker.io/team/app:v1",
		"docker.io/app:v1":                "docker.io/library/app:v1",
		"index.docker.io/team/app:v1":     "docker.io/team/app:v1",
		"localhost/app:v1":                "localhost/app:v1",
		"registry.example/app:1.2_3-x":    "registry.example/app:1.2_3-x",
		"registry:5000/a/b__c/d-e.f:v1":   "registry:5000/a/b__c/d-e.f:v1",
		"[::1]:5000/app:v1":               "[::1]:5000/app:v1",
		"Registry/app:v1":                 "Registry/app:v1",
		"homelab/" + sum(nil) + ":latest": "docker.io/homelab/" + sum(nil) + ":latest",
	}
	transfer.Names = slices.Sorted(maps.Keys(full))

	var manifest []struct{ RepoTags []string }
	require.NoError(t, json.Unmarshal([]byte(filesOf(t, writeDocker(t, transfer))["manifest.json"]), &manifest))
	assert.Equal(t, transfer.Names, manifest[0].RepoTags)

	archive, id := writeOCI(t, transfer)
	var index struct {
		Manifests []struct {
			MediaType, Digest string
			Annotations       map[string]string
		}
	}
	require.NoError(t, json.Unmarshal([]byte(filesOf(t, archive)["index.json"]), &index))
	require.Len(t, index.Manifests, len(full))
	for i, name := range transfer.Names {
		got := index.Manifests[i]
		assert.Equal(t, []string{ociManifest, id}, []string{got.MediaType, got.Digest})
		assert.Equal(t, map[string]string{
			"io.containerd.image.name": full[name], "org.opencontainers.image.ref.name": name[strings.LastIndexByte(name, ':')+1:],
		}, got.Annotations)
	}
}

var errFull = errors.New("full")

func TestReadArchive(t *testing.T) {
	plain := dockerArchive(t)
	for name, content := range map[string][]byte{"plain": plain, "gzip": gzipped(t, plain), "zstd": zstandard(t, plain)} {
		t.Run(name, func(t *testing.T) {
			want, err := image.Read(t.Context(), save(t, content, 0o444))
			require.NoError(t, err)
			want.Kind = image.Stream
			got, err := image.ReadArchive(t.Context(), io.MultiReader(bytes.NewReader(content[:1]), bytes.NewReader(content[1:])))
			require.NoError(t, err)
			assert.Equal(t, want, got)
		})
	}
	for want, content := range map[string]string{
		"it wrote nothing":          "",
		`it starts with "error: h"`: "error: hello",
		"cut short":                 string(plain[:2000]),
		"neither manifest.json nor": string(tarOf(t, file("x", "y"))),
	} {
		_, err := image.ReadArchive(t.Context(), strings.NewReader(content))
		require.ErrorContains(t, err, want)
		assert.True(t, strings.HasPrefix(err.Error(), "what the script wrote: "), err)
		assert.Equal(t, fault.Precondition, fault.CodeOf(err))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := image.ReadArchive(ctx, bytes.NewReader(plain))
	require.ErrorIs(t, err, context.Canceled)
}

// A transfer takes the same memory however large the image is.
func TestTransferNeedsLittleMemory(t *testing.T) {
	const size = 64 << 20
	big := noise(t, "a", size)
	whole := tarOf(t, part{name: "a", body: big}, part{name: "c", body: configOf(t, big)}, manifestOf(t, "c", "x:y", "a"))
	transfer := transferOf(t, whole)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	require.NoError(t, transfer.WriteDocker(t.Context(), io.Discard))
	runtime.ReadMemStats(&after)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20), "bytes allocated")
}
