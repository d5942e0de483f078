package image_test

import (
	"archive/tar"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/image"
)

func TestReadDockerArchive(t *testing.T) {
	a, b := layer(t, "a"), layer(t, "b")
	c := configOf(t, a, b)
	name := sum(c) + ".json"
	first, second := part{name: "a/layer.tar", body: a}, part{name: "b/layer.tar", body: b}
	config, manifest := part{name: name, body: c}, manifestOf(t, name, "localhost:5000/app:v1", "a/layer.tar", "b/layer.tar")
	want := image.Image{
		Kind: image.DockerArchive, Name: "localhost:5000/app", Tag: "v1", Digest: digest(c), Architecture: "arm64", OS: "linux",
		Layers: []image.Layer{
			{DiffID: digest(a), Digest: digest(a), Size: int64(len(a))},
			{DiffID: digest(b), Digest: digest(b), Size: int64(len(b))},
		},
	}
	stored := func(layers ...[]byte) []image.Layer {
		changed := append([]image.Layer{}, want.Layers...)
		for i, l := range layers {
			changed[i].Digest = digest(l)
		}
		return changed
	}
	gz, zst := gzipped(t, a), zstandard(t, b)

	whole := tarOf(t, first, second, config, manifest)
	for name, row := range map[string]struct {
		plain       []byte
		packed      []byte // plain, compressed
		compression image.Compression
		layers      []image.Layer // as in want, when nil
		entries     [2]int        // where the layers are; 1 and 2 when zero
	}{
		"layers first, as dockerTools writes": {plain: whole},
		"manifest first":                      {plain: tarOf(t, manifest, config, first, second), entries: [2]int{3, 4}},
		"config first":                        {plain: tarOf(t, config, second, first, manifest), entries: [2]int{3, 2}},
		"gzip":                                {plain: whole, packed: gzipped(t, whole), compression: image.Gzip},
		"gzip in two members":                 {plain: whole, packed: append(gzipped(t, whole[:700]), gzipped(t, whole[700:])...), compression: image.Gzip},
		"zstd":                                {plain: whole, packed: zstandard(t, whole), compression: image.Zstd},
		"zstd in two frames":                  {plain: whole, packed: append(zstandard(t, whole[:700]), zstandard(t, whole[700:])...), compression: image.Zstd},
		"tar without a magic":                 {plain: ancient(t, whole)},
		"padding":                             {plain: append(tarOf(t, first, second, config, manifest), make([]byte, 10<<10)...)},
		"names with ./": {plain: tarOf(t, part{name: "./"}, part{name: "./a/"}, part{name: "./a/layer.tar", body: a}, part{name: "./b/layer.tar", body: b},
			part{name: "./" + name, body: c}, part{name: "./manifest.json", body: manifest.body}), entries: [2]int{3, 4}},
		"a symlinked layer": {plain: tarOf(t, part{name: "a/layer.tar", link: "../c/layer.tar"}, part{name: "c/layer.tar", body: a}, second, config, manifest), entries: [2]int{2, 3}},
		"links to links": {plain: tarOf(t, part{name: "a/layer.tar", link: "/c/layer.tar"}, part{name: "c/layer.tar", link: "d", kind: tar.TypeLink},
			part{name: "d", body: a}, second, config, manifest), entries: [2]int{3, 4}},
		"a hard-linked layer":                   {plain: tarOf(t, part{name: "c/layer.tar", body: a}, part{name: "a/layer.tar", link: "c/layer.tar", kind: tar.TypeLink}, second, config, manifest), entries: [2]int{1, 3}},
		"compressed layers":                     {plain: tarOf(t, part{name: "a/layer.tar", body: gz}, part{name: "b/layer.tar", body: zst}, config, manifest), layers: stored(gz, zst)},
		"an entry written twice":                {plain: tarOf(t, part{name: "a/layer.tar", body: b}, first, second, config, manifest), entries: [2]int{2, 3}},
		"an OCI layout beside":                  {plain: tarOf(t, first, second, config, manifest, file("oci-layout", "{}"), file("index.json", "{}"))},
		"what looks compressed and is no layer": {plain: tarOf(t, first, second, config, manifest, file("x", "\x1f\x8b?"), file("y", "\x28\xb5\x2f\xfd"), file("z", ""))},
	} {
		t.Run(name, func(t *testing.T) {
			if row.packed == nil {
				row.packed = row.plain
			}
			expected := want
			expected.Compression, expected.Size, expected.Bytes = row.compression, int64(len(row.packed)), int64(len(row.plain))
			if row.layers != nil {
				expected.Layers = row.layers
			}
			expected.Layers = slices.Clone(expected.Layers)
			for i := range expected.Layers {
				if expected.Layers[i].Entry = row.entries[i]; row.entries[i] == 0 {
					expected.Layers[i].Entry = i + 1
				}
			}
			got, err := image.Read(t.Context(), save(t, row.packed, 0o444))
			require.NoError(t, err)
			assert.Equal(t, &expected, got)
		})
	}
}

func TestReadLargeCompressedLayers(t *testing.T) {
	plain := make([]byte, 600<<10) // more than is decompressed without reading ahead
	_, err := rand.NewChaCha8([32]byte{}).Read(plain)
	require.NoError(t, err)
	big := tarOf(t, part{name: "big", body: plain})
	config := configOf(t, big, big)
	gz, zst := gzipped(t, big), zstandard(t, big)
	require.Greater(t, min(len(gz), len(zst)), 512<<10)
	got, err := image.Read(t.Context(), save(t, tarOf(t, part{name: "a", body: gz}, part{name: "b", body: zst}, part{name: "c", body: config}, manifestOf(t, "c", "app", "a", "b")), 0o444))
	require.NoError(t, err)
	assert.Equal(t, []image.Layer{
		{DiffID: digest(big), Digest: digest(gz), Size: int64(len(big)), Entry: 1},
		{DiffID: digest(big), Digest: digest(zst), Size: int64(len(big)), Entry: 2},
	}, got.Layers)
	assert.Equal(t, []string{"app", ""}, []string{got.Name, got.Tag})
}

func TestReadNames(t *testing.T) {
	config := configOf(t)
	for _, row := range []struct{ reference, name, tag string }{
		{"app:v1", "app", "v1"},
		{"app", "app", ""},
		{"host:5000/app", "host:5000/app", ""},
		{"host:5000/team/app:1.2", "host:5000/team/app", "1.2"},
		{"app:v1@" + digest(config), "app", "v1"},
	} {
		got, err := image.Read(t.Context(), save(t, tarOf(t, part{name: "c", body: config}, manifestOf(t, "c", row.reference)), 0o444))
		require.NoError(t, err, row.reference)
		assert.Equal(t, []string{row.name, row.tag}, []string{got.Name, got.Tag}, row.reference)
		assert.Equal(t, []image.Layer{}, got.Layers)
	}
	got, err := image.Read(t.Context(), save(t, tarOf(t, part{name: "c", body: config}, file("manifest.json", `[{"Config":"c","RepoTags":null,"Layers":null}]`)), 0o444))
	require.NoError(t, err, "docker save of an image ID has no tags")
	assert.Equal(t, digest(config), got.Digest)
	assert.Empty(t, got.Name+got.Tag)
}

func TestReadOCIArchive(t *testing.T) {
	plain := layer(t, "a")
	stored := gzipped(t, plain)
	config := configOf(t, plain)
	manifest := ociManifestOf(t, config, stored)
	attestation := ociManifestOf(t, []byte("{}"))
	inner := indexOf(t, describe(ociManifest, manifest, object{"com.example": "x"}),
		describe(ociManifest, attestation, object{"vnd.docker.reference.type": "attestation-manifest"}))
	with := func(index []byte, more ...part) []byte {
		return tarOf(t, append(more, file("oci-layout", "{}"), blob(stored), blob(config), blob(manifest), part{name: "index.json", body: index})...)
	}
	for name, row := range map[string]struct {
		archive   []byte
		name, tag string
		entry     int // of the layer
	}{
		"a tag":            {ociArchive(t, object{"org.opencontainers.image.ref.name": "v1"}), "", "v1", 3},
		"a name and a tag": {ociArchive(t, object{"org.opencontainers.image.ref.name": "app:v1"}), "app", "v1", 3},
		"the name of containerd": {ociArchive(t, object{"org.opencontainers.image.ref.name": "v1", "io.containerd.image.name": "docker.io/library/app:v1"}),
			"docker.io/library/app", "v1", 3},
		"no name":           {ociArchive(t, nil), "", "", 3},
		"a nested index":    {with(indexOf(t, describe(ociIndex, inner, object{"org.opencontainers.image.ref.name": "v2"})), blob(inner), blob(attestation)), "", "v2", 4},
		"the same twice":    {with(indexOf(t, describe(ociManifest, manifest, nil), describe(ociManifest, manifest, nil))), "", "", 2},
		"without mediaType": {with(toJSON(t, object{"manifests": []object{{"digest": digest(manifest), "size": len(manifest)}}})), "", "", 2},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := image.Read(t.Context(), save(t, row.archive, 0o444))
			require.NoError(t, err)
			size := int64(len(row.archive))
			assert.Equal(t, &image.Image{
				Kind: image.OCIArchive, Name: row.name, Tag: row.tag, Digest: digest(config), Architecture: "arm64", OS: "linux",
				Layers: []image.Layer{{DiffID: digest(plain), Digest: digest(stored), Size: int64(len(plain)), Entry: row.entry}},
				Size:   size, Bytes: size,
			}, got)
		})
	}
}

func TestReadStream(t *testing.T) {
	const script = "#!/bin/sh\nrm -rf important\n"
	got, err := image.Read(t.Context(), save(t, []byte(script), 0o555))
	require.NoError(t, err)
	assert.Equal(t, &image.Image{Kind: image.Stream, Layers: []image.Layer{}, Size: int64(len(script))}, got)
}

func TestReadNix2container(t *testing.T) {
	a, b := digest([]byte("a")), digest([]byte("b"))
	text := toJSON(t, object{"version": 1, "image-config": object{"Cmd": []string{"/bin/app"}}, "arch": "amd64", "created": "0001-01-01T00:00:00Z",
		"layers": []object{
			{"digest": a, "size": 10240, "diff_ids": a, "paths": []object{{"path": "/nix/store/x"}}, "mediatype": "application/vnd.oci.image.layer.v1.tar", "History": object{}},
			{"digest": a, "size": 7, "diff_ids": b, "mediatype": "application/vnd.oci.image.layer.v1.tar+gzip"},
		}})
	got, err := image.Read(t.Context(), save(t, append([]byte("\n"), text...), 0o444))
	require.NoError(t, err)
	assert.Equal(t, &image.Image{
		Kind: image.Nix2container, Architecture: "amd64", OS: "linux", Size: int64(len(text)) + 1,
		Digest: digest([]byte(`{"created":"0001-01-01T00:00:00Z","architecture":"amd64","os":"linux","config":{"Cmd":["/bin/app"]},` +
			`"rootfs":{"type":"layers","diff_ids":["` + a + `","` + b + `"]},"history":[{},{}]}`)),
		Layers: []image.Layer{{DiffID: a, Digest: a, Size: 10240}, {DiffID: b, Digest: a, Size: 7}},
	}, got)

	// As nix2container writes what it pulled; the digest is that of its own
	// GetConfigDigest.
	got, err = image.Read(t.Context(), save(t, toJSON(t, object{"version": 1, "image-config": object{}, "arch": "amd64", "created": nil,
		"layers": []object{{"digest": a, "diff_ids": a, "layer-path": "/x", "size": 0}}}), 0o444))
	require.NoError(t, err)
	assert.Equal(t, "sha256:4c92a430fda41b69876c001481618fc6e04ba54cd0e3197132c55cc6be81c6d0", got.Digest)
}
