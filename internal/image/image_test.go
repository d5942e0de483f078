package image_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
)

// part is an entry of an archive: a file, or a link when it leads somewhere.
type part struct {
	name string
	body []byte
	link string
	kind byte // of a link; a symbolic one when it is zero
}

func file(name, body string) part { return part{name: name, body: []byte(body)} }

func tarOf(t testing.TB, parts ...part) []byte {
	t.Helper()
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for _, p := range parts {
		header := &tar.Header{Name: p.name, Size: int64(len(p.body)), Mode: 0o644}
		switch {
		case p.link != "" && p.kind == 0:
			header.Typeflag, header.Linkname = tar.TypeSymlink, p.link
		case p.link != "":
			header.Typeflag, header.Linkname = p.kind, p.link
		case strings.HasSuffix(p.name, "/"):
			header.Typeflag = tar.TypeDir
		}
		require.NoError(t, w.WriteHeader(header))
		_, err := w.Write(p.body)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return buffer.Bytes()
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var buffer bytes.Buffer
	w := gzip.NewWriter(&buffer)
	_, err := w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return buffer.Bytes()
}

func zstandard(t testing.TB, data []byte) []byte {
	t.Helper()
	var buffer bytes.Buffer
	w, err := zstd.NewWriter(&buffer)
	require.NoError(t, err)
	_, err = w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return buffer.Bytes()
}

func sum(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }

func digest(data []byte) string { return "sha256:" + sum(data) }

func toJSON(t testing.TB, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	require.NoError(t, err)
	return text
}

// object is JSON that a test writes down.
type object map[string]any

// layer is a small tar as layers are.
func layer(t testing.TB, content string) []byte {
	t.Helper()
	return tarOf(t, file("etc/"+content, content))
}

// configOf is a config that knows the layers, uncompressed.
func configOf(t testing.TB, layers ...[]byte) []byte {
	t.Helper()
	ids := []string{}
	for _, l := range layers {
		ids = append(ids, digest(l))
	}
	return toJSON(t, object{"architecture": "arm64", "os": "linux", "rootfs": object{"type": "layers", "diff_ids": ids}})
}

// manifestOf is a manifest.json with one image.
func manifestOf(t testing.TB, config, tag string, layers ...string) part {
	t.Helper()
	return part{name: "manifest.json", body: toJSON(t, []object{{"Config": config, "RepoTags": []string{tag}, "Layers": layers}})}
}

// dockerArchive is as dockerTools writes it: layers, config, manifest.
func dockerArchive(t testing.TB) []byte {
	t.Helper()
	a, b := layer(t, "a"), layer(t, "b")
	c := configOf(t, a, b)
	return tarOf(t,
		part{name: sum(a) + "/layer.tar", body: a},
		part{name: sum(b) + "/layer.tar", body: b},
		part{name: sum(c) + ".json", body: c},
		manifestOf(t, sum(c)+".json", "app:v1", sum(a)+"/layer.tar", sum(b)+"/layer.tar"))
}

// blob is an entry of an OCI layout.
func blob(body []byte) part { return part{name: "blobs/sha256/" + sum(body), body: body} }

const (
	ociManifest = "application/vnd.oci.image.manifest.v1+json"
	ociIndex    = "application/vnd.oci.image.index.v1+json"
)

// describe refers to a blob.
func describe(kind string, body []byte, annotations object) object {
	return object{"mediaType": kind, "digest": digest(body), "size": len(body), "annotations": annotations}
}

func ociManifestOf(t testing.TB, config []byte, layers ...[]byte) []byte {
	t.Helper()
	described := []object{}
	for _, l := range layers {
		described = append(described, describe("application/vnd.oci.image.layer.v1.tar+gzip", l, nil))
	}
	return toJSON(t, object{"schemaVersion": 2, "mediaType": ociManifest,
		"config": describe("application/vnd.oci.image.config.v1+json", config, nil), "layers": described})
}

func indexOf(t testing.TB, manifests ...object) []byte {
	t.Helper()
	return toJSON(t, object{"schemaVersion": 2, "mediaType": ociIndex, "manifests": manifests})
}

// ociArchive has one compressed layer and an index that ref names.
func ociArchive(t testing.TB, annotations object) []byte {
	t.Helper()
	plain := layer(t, "a")
	stored := gzipped(t, plain)
	config := configOf(t, plain)
	manifest := ociManifestOf(t, config, stored)
	return tarOf(t, file("oci-layout", `{"imageLayoutVersion":"1.0.0"}`), part{name: "blobs/"}, blob(stored), blob(config), blob(manifest),
		part{name: "index.json", body: indexOf(t, describe(ociManifest, manifest, annotations))})
}

// save writes a file that a test reads.
func save(t testing.TB, data []byte, mode os.FileMode) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "image")
	require.NoError(t, os.WriteFile(name, data, mode))
	return name
}

// ancient turns the first header of a tar into one of before ustar.
func ancient(t testing.TB, archive []byte) []byte {
	t.Helper()
	archive = bytes.Clone(archive)
	clear(archive[257:265])
	seal(archive)
	return archive
}

// seal writes the checksum of a tar's first header.
func seal(archive []byte) {
	copy(archive[148:], "        ")
	total := 0
	for _, b := range archive[:512] {
		total += int(b)
	}
	copy(archive[148:], fmt.Sprintf("%06o\x00 ", total))
}
