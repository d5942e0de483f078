package image_test

import (
	"bytes"
	"context"
	"errors"
	"io"
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

// Unverified, a layer of the right size goes through as it is, for the engine to refuse;
// anything else that changed is told all the same.
func TestTransferLeavesDigestsToTheEngine(t *testing.T) {
	a, b, x := layer(t, "a"), layer(t, "b"), layer(t, "x")
	first, second, config := part{name: "a", body: a}, part{name: "b", body: b}, part{name: "c", body: configOf(t, a, b)}
	manifest := manifestOf(t, "c", "x:y", "a", "b")
	require.Len(t, x, len(b))
	for is, want := range map[string]string{
		string(tarOf(t, first, part{name: "b", body: x}, config, manifest)):                             "",
		string(tarOf(t, first, part{name: "b", body: b[:512]}, config, manifest)):                       "layer 2 is not " + digest(b),
		string(tarOf(t, part{name: "a", body: append(bytes.Clone(a), a...)}, second, config, manifest)): "layer 1 is not " + digest(a),
	} {
		transfer := transferOf(t, tarOf(t, first, second, config, manifest))
		transfer.Open, transfer.Unverified = opens([]byte(is)), true
		written, err := write(t, transfer, image.Transfer.WriteDocker)
		if want == "" {
			require.NoError(t, err)
			assert.True(t, bytes.Contains(written, x))
			continue
		}
		require.ErrorContains(t, err, want)
		refused(t, written)
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
