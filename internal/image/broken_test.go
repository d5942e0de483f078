package image_test

import (
	"archive/tar"
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/image"
)

func TestReadRefuses(t *testing.T) {
	a, b := layer(t, "a"), layer(t, "b")
	c := configOf(t, a)
	name := sum(c) + ".json"
	first, config, manifest := part{name: "a", body: a}, part{name: name, body: c}, manifestOf(t, name, "app:v1", "a")
	whole := tarOf(t, first, config, manifest)
	gz := gzipped(t, a)
	badGzip := bytes.Clone(gz)
	badGzip[len(badGzip)-5] ^= 1 // its checksum
	badSum := gzipped(t, whole)
	badSum[len(badSum)-5] ^= 1
	wide := configOf(t, make([]byte, 5<<20))
	otherPlatform := ociManifestOf(t, wide)
	ociOf := func(config []byte, index part, more ...part) []byte {
		return tarOf(t, append(more, blob(config), blob(ociManifestOf(t, config, gz)), index)...)
	}
	index := func(manifests ...object) part { return part{name: "index.json", body: indexOf(t, manifests...)} }
	of := func(platform object, manifest []byte) object {
		d := describe(ociManifest, manifest, nil)
		d["platform"] = platform
		return d
	}
	oci := ociManifestOf(t, c, gz)
	wrongSize := describe(ociManifest, oci, nil)
	wrongSize["size"] = 1

	for name, row := range map[string]struct {
		content []byte
		want    string // in the message
	}{
		"nothing":                       {nil, "the file is empty"},
		"text":                          {[]byte("hello world"), `it starts with "hello wo"`},
		"a program":                     {[]byte("\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 600)), "this is a program (ELF)"},
		"xz":                            {[]byte("\xfd7zXZ\x00..."), "compressed with xz"},
		"zeros":                         {make([]byte, 2048), "this is not an image"},
		"gzip of text":                  {gzipped(t, []byte(strings.Repeat("hello ", 200))), "this is no tar archive"},
		"gzip of nothing":               {gzipped(t, nil), "cut short"},
		"the magic of gzip":             {[]byte{0x1f, 0x8b}, "cut short"},
		"the magic of zstd":             {[]byte{0x28, 0xb5, 0x2f, 0xfd}, "cut short"},
		"another JSON":                  {[]byte(`{"name":"x"}`), "it has no version"},
		"JSON cut short":                {[]byte(`{"version":1,`), "starts like JSON"},
		"newer nix2container":           {[]byte(`{"version":2,"image-config":{}}`), "version 2"},
		"nix2container without digests": {[]byte(`{"version":1,"image-config":{},"layers":[{"digest":"x"}]}`), "layer 1 has no digest"},
		"nix2container of no size":      {toJSON(t, object{"version": 1, "image-config": object{}, "layers": []object{{"digest": digest(a), "diff_ids": digest(a), "size": -1}}}), "layer 1 has -1 bytes"},

		"a tar of something":  {tarOf(t, file("hello.txt", "hello")), "neither manifest.json nor index.json"},
		"no entries":          {gzipped(t, tarOf(t)), "neither manifest.json nor index.json"},
		"no config":           {tarOf(t, first, manifest), `.json" is missing`},
		"no layer":            {tarOf(t, config, manifest), `layer 1, "a", is missing`},
		"a link to nothing":   {tarOf(t, part{name: "a", link: "b"}, config, manifest), `layer 1, "a", is missing`},
		"a link to itself":    {tarOf(t, part{name: "a", link: "a"}, config, manifest), `layer 1, "a", is missing`},
		"another layer":       {tarOf(t, part{name: "a", body: b}, config, manifest), `layer 1, "a", has the diff ID ` + digest(b) + `, but its config says "` + digest(a)},
		"another, compressed": {tarOf(t, part{name: "a", body: gzipped(t, b)}, config, manifest), `has the diff ID ` + digest(b)},
		"a damaged gzip":      {tarOf(t, part{name: "a", body: badGzip}, config, manifest), "cannot be decompressed: gzip: invalid checksum"},
		"a layer too many":    {tarOf(t, first, config, manifestOf(t, name, "app", "a", "a")), "has 2 layers, but its config names 1"},
		"another config":      {tarOf(t, first, part{name: name, body: configOf(t, b)}, manifest), "has the digest " + digest(configOf(t, b))},
		"a damaged blob":      {tarOf(t, first, config, manifest, part{name: blob(a).name, body: b}), "has the digest " + digest(b)},
		"no manifests":        {tarOf(t, first, config, file("manifest.json", "[]")), "holds no image"},
		"a manifest of text":  {tarOf(t, first, config, file("manifest.json", "hello")), `"manifest.json" cannot be read`},
		"an odd manifest":     {tarOf(t, first, config, file("manifest.json", `{"Config":1}`)), `"manifest.json" cannot be read`},
		"two images": {tarOf(t, first, config, file("manifest.json", `[{"RepoTags":["app:v1"]},{"RepoTags":["db:v2","db:latest"]}]`)),
			"holds 2 images (app:v1, db:v2 db:latest)"},
		"a huge manifest":  {tarOf(t, first, config, file("manifest.json", "[{}"+strings.Repeat(" ", 4<<20)+"]")), "bytes, more than"},
		"too much JSON":    {many(t, 17, part{name: "x", body: append([]byte("{"), make([]byte, 4<<20-1)...)}), "bytes of names and JSON"},
		"too many entries": {many(t, 11, slices.Repeat([]part{{name: "x/"}}, 1000)...), "more than 10000 entries"},
		"a hole":           {sparse(t), "is sparse"},
		"a hole, PAX":      {sparsePAX(t), "is sparse"},

		"garbage behind the tar":   {append(bytes.Clone(whole), "garbage"...), "something behind the end"},
		"two tars":                 {append(bytes.Clone(whole), whole...), "something behind the end"},
		"garbage behind in gzip":   {gzipped(t, append(bytes.Clone(whole), "garbage"...)), "something behind the end"},
		"garbage behind the gzip":  {append(gzipped(t, whole), "some more garbage"...), "cannot be unpacked"},
		"garbage behind the zstd":  {append(zstandard(t, whole), "some more garbage"...), "cannot be unpacked"},
		"a wrong checksum in gzip": {badSum, "invalid checksum"},
		// A frame header alone: a window of 256 MiB, and of 2 EiB.
		"a wide zstd window":  {[]byte{0x28, 0xb5, 0x2f, 0xfd, 0, 18 << 3, 1, 0, 0}, "a zstd window of more than 128 MiB"},
		"a huge zstd segment": {[]byte("\x28\xb5\x2f\xfd\xe0\x00\x00\x00\x00\x00\x00\x00\x20\x01\x00\x00"), "a zstd window of more than 128 MiB"},

		"OCI, no layer":        {ociOf(c, index(describe(ociManifest, oci, nil))), "blob " + digest(gz) + " is missing"},
		"OCI, no manifest":     {tarOf(t, blob(c), blob(gz), index(describe(ociManifest, oci, nil))), "blob " + digest(oci) + " is missing"},
		"OCI, another size":    {ociOf(c, index(wrongSize), blob(gz)), "but 1 are announced"},
		"OCI, another diff ID": {ociOf(configOf(t, b), index(describe(ociManifest, ociManifestOf(t, configOf(t, b), gz), nil)), blob(gz)), "has the diff ID " + digest(a)},
		"OCI, a damaged layer": {ociOf(c, index(describe(ociManifest, oci, nil)), part{name: blob(gz).name, body: badGzip}), "has the digest " + digest(badGzip)},
		"OCI, behind a link":   {ociOf(c, index(describe(ociManifest, oci, nil)), part{name: blob(gz).name, link: "/other"}, part{name: "other", body: b}), "has the digest " + digest(b)},
		"OCI, no images":       {tarOf(t, index()), "holds no image"},
		"OCI, sha512":          {tarOf(t, index(object{"digest": "sha512:00"})), "not by its sha256 digest"},
		"OCI, two platforms": {ociOf(c, index(of(object{"os": "linux", "architecture": "arm64", "variant": "v8"}, oci), of(nil, otherPlatform)), blob(gz), blob(otherPlatform)),
			"holds 2 images (linux/arm64/v8, " + digest(otherPlatform) + ")"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := image.Read(t.Context(), save(t, row.content, 0o444))
			assert.Nil(t, got)
			require.ErrorContains(t, err, row.want)
			assert.True(t, strings.HasPrefix(err.Error(), "image image: "), err)
			assert.Equal(t, fault.Precondition, fault.CodeOf(err))
			assert.NotEmpty(t, fault.Of(err).Hint)
		})
	}
}

// many is a compressed tar that has the parts so many times.
func many(t testing.TB, times int, parts ...part) []byte {
	t.Helper()
	once := tarOf(t, parts...)
	return bytes.Repeat(zstandard(t, once[:len(once)-1024]), times)
}

// sparse claims a file of an exabyte that takes no room.
func sparse(t testing.TB) []byte {
	t.Helper()
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "x", Typeflag: tar.TypeReg}))
	require.NoError(t, w.Close())
	block := buffer.Bytes()
	block[156] = tar.TypeGNUSparse
	copy(block[257:], "ustar  \x00")
	copy(block[386:], "00000000000\x0000000000000\x00")
	copy(block[483:], "77777777777\x00")
	seal(block)
	return block
}

// sparsePAX claims a file of a gigabyte in the way of newer GNU tars.
func sparsePAX(t testing.TB) []byte {
	t.Helper()
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "x", Typeflag: tar.TypeReg, Size: 512, PAXRecords: map[string]string{
		"XNU.sparse.major": "1", "XNU.sparse.minor": "0", "XNU.sparse.name": "x", "XNU.sparse.realsize": "1000000000",
	}}))
	_, err := w.Write(append([]byte("1\n1000000000\n0\n"), make([]byte, 512-len("1\n1000000000\n0\n"))...))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return bytes.ReplaceAll(buffer.Bytes(), []byte("XNU.sparse"), []byte("GNU.sparse")) // which Go does not write
}

func TestReadRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	_, err := image.Read(t.Context(), dir)
	require.ErrorContains(t, err, "this is a folder")
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))

	_, err = image.Read(t.Context(), filepath.Join(dir, "missing"))
	require.ErrorContains(t, err, "image missing: it does not exist")
	assert.Equal(t, fault.NotFound, fault.CodeOf(err))

	_, err = image.Read(t.Context(), os.DevNull)
	require.ErrorContains(t, err, "not a regular file")

	_, err = image.Read(t.Context(), save(t, []byte("#!/bin/sh\n"), 0o444))
	require.ErrorContains(t, err, "a script that cannot be executed")
}

// An archive that lost its end is never taken for the whole, wherever it was
// cut: a disk that ran full, a copy that was interrupted.
func TestReadRefusesWhatIsCutShort(t *testing.T) {
	docker, oci := dockerArchive(t), ociArchive(t, nil)
	for name, row := range map[string]struct {
		whole []byte
		step  int
	}{
		"docker":         {docker, 512},
		"docker, gzip":   {gzipped(t, docker), 7},
		"docker, zstd":   {zstandard(t, docker), 7},
		"oci":            {oci, 512},
		"oci, gzip":      {gzipped(t, oci), 7},
		"docker, inside": {docker, 500},
	} {
		t.Run(name, func(t *testing.T) {
			target := save(t, row.whole, 0o644)
			_, err := image.Read(t.Context(), target)
			require.NoError(t, err)
			cut := len(row.whole) - 1
			for ; cut >= 0; cut -= row.step {
				require.NoError(t, os.Truncate(target, int64(cut)))
				got, err := image.Read(t.Context(), target)
				require.Error(t, err, "cut to %d of %d bytes", cut, len(row.whole))
				require.Nil(t, got)
				require.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
				cut -= cut % row.step // from now on at the border of a block
			}
		})
	}
}

func TestReadEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, content := range [][]byte{dockerArchive(t), gzipped(t, dockerArchive(t)), zstandard(t, dockerArchive(t))} {
		_, err := image.Read(ctx, save(t, content, 0o444))
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, fault.Canceled, fault.CodeOf(err))
	}
}

// Reading takes the same memory however large the archive is.
func TestReadNeedsLittleMemory(t *testing.T) {
	const size = 64 << 20
	var buffer bytes.Buffer
	require.NoError(t, tar.NewWriter(&buffer).WriteHeader(&tar.Header{Name: "big", Size: size, Mode: 0o644}))
	target := save(t, buffer.Bytes(), 0o644)
	f, err := os.OpenFile(target, os.O_RDWR, 0)
	require.NoError(t, err)
	_, err = f.WriteAt(dockerArchive(t), int64(buffer.Len())+size)
	require.NoError(t, err)
	require.NoError(t, f.Close())

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err := image.Read(t.Context(), target)
	runtime.ReadMemStats(&after)
	require.NoError(t, err)
	assert.Len(t, got.Layers, 2)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20), "bytes allocated")
}
