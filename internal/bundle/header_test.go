package bundle_test

import (
	"archive/tar"
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/bundle"
)

// Go's tar reads what is written, beyond what the plain header can hold.
func TestHeadersOfLargeNumbers(t *testing.T) {
	for _, p := range []bundle.Parsed{
		{Path: "a", Kind: '0', Mode: 0o644, Size: 8<<30 - 1, Time: time.Unix(8<<30-1, 0)},
		{Path: "a", Kind: '0', Mode: 0o7777, Size: 8 << 30, Time: time.Unix(8<<30, 0), UID: 1<<21 - 1, GID: 1 << 21},
		{Path: "a", Kind: '0', Mode: 0, Size: 1 << 52, Time: time.Unix(-5, 1), UID: 1<<32 - 1},
		{Path: "b", Kind: '2', Mode: 0o777, Link: "\xff", Time: time.Unix(0, 999_999_999)},
		{Path: "b", Kind: '0', Xattrs: map[string]string{"user.%3D=%25": "\n=\x00"}, Time: time.Unix(1, 0)},
	} {
		if p.Xattrs == nil {
			p.Xattrs = map[string]string{}
		}
		raw := bundle.EncodeHeader(p)
		got, n, err := bundle.ParseHeader(raw)
		require.NoError(t, err)
		assert.Equal(t, p, got)
		assert.Equal(t, len(raw), n)
		agrees(t, p, raw)
	}
}

// agrees checks that Go's tar reads the same from a header.
func agrees(t *testing.T, p bundle.Parsed, raw []byte) {
	t.Helper()
	h, err := tar.NewReader(bytes.NewReader(raw)).Next()
	require.NoError(t, err)
	name := p.Path
	if p.Kind == '5' {
		name += "/"
	}
	kind := p.Kind
	require.Equal(t, name, h.Name)
	require.Equal(t, string(kind), string(h.Typeflag))
	require.Equal(t, p.Link, h.Linkname)
	require.Equal(t, int64(p.Mode), h.Mode)
	require.Equal(t, int64(p.UID), int64(h.Uid))
	require.Equal(t, int64(p.GID), int64(h.Gid))
	require.Equal(t, p.Size, h.Size)
	require.True(t, p.Time.Equal(h.ModTime), "%s %s", p.Time, h.ModTime)
	found := 0
	for key, value := range h.PAXRecords {
		if name, is := bytes.CutPrefix([]byte(key), []byte("SCHILY.xattr.")); is {
			found++
			plain := bytes.ReplaceAll(bytes.ReplaceAll(name, []byte("%3D"), []byte("=")), []byte("%25"), []byte("%"))
			require.Equal(t, p.Xattrs[string(plain)], value)
		}
	}
	require.Len(t, p.Xattrs, found)
}

// A file of very many small holes is stored with the smallest of them, so that
// there is room for its map.
func TestManyHoles(t *testing.T) {
	var offsets []int64
	for i := range int64(50_000) {
		offsets = append(offsets, i*8192)
	}
	count, stored := bundle.Thin(offsets, 4096)
	assert.Equal(t, 1, count)
	assert.Equal(t, int64(49_999*8192+4096), stored)

	offsets = nil
	for i := range int64(20_000) {
		offsets = append(offsets, i*8192+i/2*(1<<20))
	}
	count, stored = bundle.Thin(offsets, 4096)
	assert.Equal(t, 10_000, count, "two are near each other")
	assert.Equal(t, int64(10_000*(8192+4096)), stored)
	count, _ = bundle.Thin(offsets[:100], 4096)
	assert.Equal(t, 100, count)
}

// Whatever header is taken, Go's tar and a person's tar see the same entry.
func FuzzHeader(f *testing.F) {
	for _, name := range []string{"v1-plain.bundle", "v1-signed.bundle"} {
		tarred := bundle.Unpack(golden(f, name))
		for len(tarred) > 0 {
			p, n, err := bundle.ParseHeader(tarred)
			if err != nil {
				break
			}
			f.Add(tarred[:n])
			stored := (p.Size + 511) &^ 511
			if p.Sparse {
				stored = 4096
			}
			tarred = tarred[n+int(stored):]
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		bundle.FixChecksums(data)
		p, n, err := bundle.ParseHeader(data)
		if err == nil {
			agrees(t, p, data[:n])
		}
	})
}

// Whatever is read, it is verified and extracted or it is neither, and Go's tar
// finds the same entries.
func FuzzRead(f *testing.F) {
	for _, name := range []string{"v1-plain.bundle", "v1-signed.bundle"} {
		f.Add(bundle.Unpack(golden(f, name)))
	}
	random := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		tarred := bundle.Unpack(golden(f, "v1-plain.bundle"))
		tarred[random.IntN(len(tarred))] ^= 1 << random.IntN(8)
		f.Add(tarred)
	}
	f.Fuzz(func(t *testing.T, tarred []byte) {
		data := bundle.Pack(tarred)
		report, err := verify(t, data, bundle.Trust{})
		if err != nil {
			return
		}
		var entries int64
		for r := tar.NewReader(bytes.NewReader(tarred)); ; entries++ {
			_, err := r.Next()
			if err == io.EOF {
				break
			}
			require.NoError(t, err)
		}
		require.Contains(t, []int64{report.Entries + 2, report.Entries + 3}, entries, "with manifest, index and perhaps a signature")
		if report.Bytes < 1<<30 && report.Entries < 1000 {
			extracted, err := extract(t, data, t.TempDir(), bundle.Extraction{}, bundle.Trust{})
			require.NoError(t, err)
			require.Equal(t, *report, extracted.Report)
		}
	})
}
