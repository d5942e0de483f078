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
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

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

func TestTransferRefusesNames(t *testing.T) {
	transfer := transferOf(t, dockerArchive(t))
	for _, names := range [][]string{
		nil, {""}, {"app"}, {"app:"}, {":v1"}, {"app:v1", "App:v1"}, {"app:v 1"}, {"app:-"}, {"a//b:v1"}, {"/app:v1"}, {"-app:v1"}, {"a___b:v1"},
		{"app:v1@" + digest(nil)}, {sum(nil) + ":v1"}, {"app:" + strings.Repeat("x", 129)}, {strings.Repeat("x", 256) + ":v1"}, {"host:port/app:v1"}, {"app:v1\n"},
	} {
		transfer.Names = names
		written, err := write(t, transfer, image.Transfer.WriteDocker)
		require.Error(t, err, names)
		assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err), "%v: %v", names, err)
		assert.Empty(t, written)
	}
}

// A source that changed since it was read is refused, and what was written of it
// by then is no image.
func TestTransferRefusesWhatChanged(t *testing.T) {
	a, b, x := layer(t, "a"), layer(t, "b"), layer(t, "x")
	c := configOf(t, a, b)
	first, second, config := part{name: "a", body: a}, part{name: "b", body: b}, part{name: "c", body: c}
	manifest := manifestOf(t, "c", "x:y", "a", "b")
	gz := gzipped(t, a)
	packed, plain := tarOf(t, part{name: "a", body: gz}, second, config, manifest), tarOf(t, first, second, config, manifest)
	late := tarOf(t, config, manifest, first, second)
	bomb := gzipped(t, make([]byte, 10<<20))

	for name, row := range map[string]struct {
		was, is []byte
		want    string
	}{
		"another layer":     {plain, tarOf(t, first, part{name: "b", body: x}, config, manifest), "layer 2 is not " + digest(b)},
		"a longer layer":    {plain, tarOf(t, part{name: "a", body: append(bytes.Clone(a), a...)}, second, config, manifest), "layer 1 is not " + digest(a)},
		"layers swapped":    {plain, tarOf(t, second, first, config, manifest), "layer 1 is not"},
		"a link":            {plain, tarOf(t, part{name: "a", link: "b"}, second, config, manifest), "layer 1 is not"},
		"another config":    {plain, tarOf(t, first, second, part{name: "c", body: configOf(t, a, x)}, manifest), "its config, " + digest(c) + ", is not in it"},
		"a layer less":      {late, tarOf(t, config, manifest), "layer 1, " + digest(a) + ", is not in it"},
		"nothing":           {plain, tarOf(t), "is not in it"},
		"another packed":    {packed, tarOf(t, part{name: "a", body: gzipped(t, x)}, second, config, manifest), "layer 1 is not"},
		"more than it said": {packed, tarOf(t, part{name: "a", body: bomb}, second, config, manifest), "layer 1 is not"},
		"less than it said": {packed, tarOf(t, part{name: "a", body: gzipped(t, a[:512])}, second, config, manifest), "layer 1 is not"},
		"an empty layer":    {packed, tarOf(t, part{name: "a"}, second, config, manifest), "layer 1 is not"},
	} {
		for form, to := range map[string]func(image.Transfer, context.Context, io.Writer) error{"docker": image.Transfer.WriteDocker, "oci": toOCI} {
			t.Run(name+", "+form, func(t *testing.T) {
				transfer := transferOf(t, row.was)
				transfer.Open = opens(row.is)
				written, err := write(t, transfer, to)
				require.ErrorContains(t, err, row.want)
				assert.True(t, strings.HasPrefix(err.Error(), "image app:v2: "), err)
				assert.Equal(t, fault.Conflict, fault.CodeOf(err))
				assert.NotEmpty(t, fault.Of(err).Hint)
				refused(t, written)
			})
		}
	}
}

// refused says that an engine takes nothing of what was written: the file that
// makes it an image is not there.
func refused(t testing.TB, written []byte) {
	t.Helper()
	assert.NotContains(t, string(written), "manifest.json")
	assert.NotContains(t, string(written), "index.json")
}

// What is wrong with the source is told as Read tells it.
func TestTransferRefusesWhatIsBroken(t *testing.T) {
	plain := dockerArchive(t)
	gz := tarOf(t, part{name: "a", body: gzipped(t, layer(t, "a"))}, part{name: "c", body: configOf(t, layer(t, "a"))}, manifestOf(t, "c", "x:y", "a"))
	damaged := bytes.Clone(gz)
	damaged[512+20] ^= 1
	badSum := gzipped(t, plain)
	badSum[len(badSum)-5] ^= 1

	for name, row := range map[string]struct {
		was, is []byte
		want    string
	}{
		"empty":            {plain, nil, "cut short"},
		"text":             {plain, []byte("hello world"), "cut short"},
		"more text":        {plain, bytes.Repeat([]byte("hello world"), 100), "cannot be unpacked"},
		"gzip of nothing":  {plain, []byte{0x1f, 0x8b}, "cut short"},
		"a wrong checksum": {plain, badSum, "invalid checksum"},
		"garbage behind":   {plain, append(bytes.Clone(plain), "garbage"...), "something behind the end"},
		"a damaged layer":  {gz, damaged, "cannot be unpacked"},
		"many entries":     {tarOf(t, part{name: "c", body: configOf(t)}, manifestOf(t, "c", "x:y")), many(t, 11, slices.Repeat([]part{{name: "x/"}}, 1000)...), "more than 10000 entries"},
	} {
		t.Run(name, func(t *testing.T) {
			transfer := transferOf(t, row.was)
			transfer.Open = opens(row.is)
			written, err := write(t, transfer, image.Transfer.WriteDocker)
			require.ErrorContains(t, err, row.want)
			assert.Equal(t, fault.Precondition, fault.CodeOf(err))
			refused(t, written)
		})
	}
	transfer := transferOf(t, plain)
	transfer.Open = image.OpenFile(filepath.Join(t.TempDir(), "gone"))
	_, err := write(t, transfer, image.Transfer.WriteDocker)
	require.ErrorContains(t, err, "image app:v2: gone: it cannot be read")
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))

	transfer.Image, err = image.Read(t.Context(), save(t, []byte("#!/bin/sh\n"), 0o755))
	require.NoError(t, err)
	_, err = write(t, transfer, image.Transfer.WriteDocker)
	require.ErrorContains(t, err, "ReadArchive")
}

// A source that lost its end is refused wherever it was cut.
func TestTransferRefusesWhatIsCutShort(t *testing.T) {
	plain := dockerArchive(t)
	for name, whole := range map[string][]byte{"plain": plain, "gzip": gzipped(t, plain), "zstd": zstandard(t, plain)} {
		transfer := transferOf(t, whole)
		for cut := 0; cut < len(whole); cut += 37 {
			transfer.Open = opens(whole[:cut])
			written, err := write(t, transfer, image.Transfer.WriteDocker)
			require.Error(t, err, "%s cut to %d of %d bytes", name, cut, len(whole))
			require.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
			refused(t, written)

			// What is left out of a file is stepped over.
			short := transfer
			short.Omit = func(layer int) bool { return layer == 0 }
			short.Open = func(context.Context) (io.ReadCloser, error) { return seekable{bytes.NewReader(whole[:cut])}, nil }
			written, err = write(t, short, image.Transfer.WriteDocker)
			require.Error(t, err, "%s cut to %d of %d bytes, without a layer", name, cut, len(whole))
			refused(t, written)
		}
	}
}

// seekable is like a file.
type seekable struct{ *bytes.Reader }

func (seekable) Close() error { return nil }

// limited takes so many bytes.
type limited struct{ left int }

var errFull = errors.New("full")

func (l *limited) Write(p []byte) (int, error) {
	n := min(l.left, len(p))
	l.left -= n
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

// Whenever the engine hangs up, its error is the error, and nothing is left
// running.
func TestTransferEndsWithItsWriter(t *testing.T) {
	before := runtime.NumGoroutine()
	for name, transfer := range sources(t, noise(t, "a", 300<<10), layer(t, "b")) {
		whole, _ := writeOCI(t, transfer)
		for left := 0; left < len(whole); left += 20011 {
			_, err := transfer.WriteOCI(t.Context(), &limited{left})
			require.ErrorIs(t, err, errFull, "%s after %d of %d bytes", name, left, len(whole))
			require.ErrorContains(t, err, "it cannot be written")
		}
	}
	same(t, before)
}

// same waits until there are as many goroutines as there were.
func same(t testing.TB, before int) {
	t.Helper()
	for patience := 1000; runtime.NumGoroutine() > before && patience > 0; patience-- {
		time.Sleep(time.Millisecond)
	}
	assert.LessOrEqual(t, runtime.NumGoroutine(), before, "goroutines")
}

// hanging gives some bytes and then nothing more until its context ends.
type hanging struct {
	io.Reader
	ctx    context.Context
	reads  chan struct{} // closed when it hangs
	closed *bool
}

func (h *hanging) Read(p []byte) (int, error) {
	if n, err := h.Reader.Read(p); err == nil {
		return n, nil
	}
	if h.reads != nil {
		close(h.reads)
	}
	<-h.ctx.Done()
	return 0, errors.New("killed")
}

func (h *hanging) Close() error {
	*h.closed = true
	return errors.New("the script was killed")
}

func TestTransferEndsWithItsContext(t *testing.T) {
	before := runtime.NumGoroutine()
	whole := dockerArchive(t)
	for _, given := range []int{0, 700, len(whole) - 1} {
		transfer := transferOf(t, whole)
		ctx, cancel := context.WithCancel(t.Context())
		reads, closed := make(chan struct{}), false
		transfer.Open = func(ctx context.Context) (io.ReadCloser, error) {
			return &hanging{bytes.NewReader(whole[:given]), ctx, reads, &closed}, nil
		}
		go func() {
			<-reads
			cancel()
		}()
		var written bytes.Buffer
		err := transfer.WriteDocker(ctx, &written)
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, fault.Canceled, fault.CodeOf(err))
		assert.True(t, closed)
		refused(t, written.Bytes())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, transfer := range sources(t, layer(t, "a"), layer(t, "b")) {
		require.ErrorIs(t, transfer.WriteDocker(ctx, io.Discard), context.Canceled, name)
	}
	same(t, before)
}

// late fails only when its source hangs.
type late struct {
	limited
	hangs chan struct{}
}

func (l *late) Write(p []byte) (int, error) {
	n, err := l.limited.Write(p)
	if err != nil {
		<-l.hangs
	}
	return n, err
}

// A script that hangs does not keep a transfer that failed for another reason.
func TestTransferGivesUpItsSource(t *testing.T) {
	big := noise(t, "a", 2<<20)
	for _, stored := range [][]byte{big, gzipped(t, big), zstandard(t, big)} {
		whole := tarOf(t, part{name: "a", body: stored}, part{name: "c", body: configOf(t, big)}, manifestOf(t, "c", "x:y", "a"))
		transfer, closed, hangs := transferOf(t, whole), false, make(chan struct{})
		transfer.Open = func(ctx context.Context) (io.ReadCloser, error) {
			return &hanging{bytes.NewReader(whole[:1800<<10]), ctx, hangs, &closed}, nil
		}
		_, err := transfer.WriteOCI(t.Context(), &late{limited{100 << 10}, hangs})
		require.ErrorIs(t, err, errFull)
		assert.True(t, closed)

		hangs = make(chan struct{})
		read := *transfer.Image
		transfer.Image, read.Layers = &read, slices.Clone(read.Layers)
		read.Layers[0].Size = 100 << 10
		err = transfer.WriteDocker(t.Context(), io.Discard)
		require.ErrorContains(t, err, "layer 1 is not", "that it was killed for it is a consequence")
	}
}

// failing ends as a script does that failed.
type failing struct{ io.Reader }

func (failing) Close() error { return errors.New("the script ended with status 1: no space left") }

func TestTransferTellsWhyItsSourceEnded(t *testing.T) {
	whole := dockerArchive(t)
	transfer := transferOf(t, whole)
	for _, given := range []int{0, 1000, len(whole)} {
		transfer.Open = func(context.Context) (io.ReadCloser, error) { return failing{bytes.NewReader(whole[:given])}, nil }
		written, err := write(t, transfer, image.Transfer.WriteDocker)
		require.EqualError(t, err, "image app:v2: the script ended with status 1: no space left")
		refused(t, written)
	}
}

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
