package bundle_test

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/bundle"
	"homelab/internal/fault"
	"homelab/internal/tree/treetest"
)

type entries = []bundle.Forged

func aFolder(path string) bundle.Forged { return bundle.Forged{Path: path, Kind: '5', Mode: 0o755} }

func aFile(path, content string) bundle.Forged {
	return bundle.Forged{Path: path, Kind: '0', Mode: 0o644, Content: content}
}

// forger is for a bundle of one item with totals that fit.
func forger(list ...bundle.Forged) bundle.Forger {
	f := bundle.Forger{Entries: append(entries{aFolder("items/0")}, list...)}
	t := bundle.Totals{Entries: int64(len(f.Entries))}
	for _, e := range list {
		t.Stored += int64(len(e.Content))
		t.Bytes += int64(len(e.Content)) + e.Size
	}
	f.Manifest = bundle.Manifest{ID: "forged", Created: created, Items: []bundle.Item{{Name: "data", Totals: t}}}
	return f
}

// What would be good is, so that each case below is refused for its own reason.
func TestForgerForges(t *testing.T) {
	sparse := bundle.Forged{Path: "items/0/s", Kind: '0', Sparse: true, Size: 1 << 40}
	data := bundle.Pack(forger(aFolder("items/0/a"), aFile("items/0/a/b", "x"), aFile("items/0/c", ""), sparse).Tar())
	_, err := verify(t, data, bundle.Trust{})
	require.NoError(t, err)
}

func TestHostileBundlesAreRefused(t *testing.T) {
	long := strings.Repeat("n", 256)
	link := func(path, to string) bundle.Forged {
		return bundle.Forged{Path: path, Kind: '2', Link: to, Mode: 0o777}
	}
	hard := func(path, to string) bundle.Forged {
		return bundle.Forged{Path: path, Kind: '1', Link: to, Mode: 0o644}
	}
	replaced := func(from, to string) func([]byte) []byte {
		return func(index []byte) []byte { return bytes.Replace(index, []byte(from), []byte(to), 1) }
	}
	more := func(f bundle.Forger, change func(*bundle.Forger)) bundle.Forger {
		change(&f)
		return f
	}
	header := func(change func(*tar.Header)) bundle.Forged {
		h := &tar.Header{Name: "items/0/x", Typeflag: tar.TypeReg, Mode: 0o644, Format: tar.FormatPAX}
		change(h)
		var out bytes.Buffer
		require.NoError(t, tar.NewWriter(&out).WriteHeader(h))
		return bundle.Forged{Path: "items/0/x", Kind: '0', Header: out.Bytes()}
	}
	for name, c := range map[string]struct {
		forger bundle.Forger
		want   string
	}{
		"absolute":              {forger(aFile("/etc/passwd", "x")), "leads elsewhere"},
		"dotdot":                {forger(aFile("items/0/../../etc/passwd", "x")), "leads elsewhere"},
		"dotdot at the end":     {forger(aFolder("items/0/..")), "leads elsewhere"},
		"dot":                   {forger(aFile("items/0/./x", "x")), "leads elsewhere"},
		"empty component":       {forger(aFile("items/0//x", "x")), "leads elsewhere"},
		"no item":               {forger(aFile("elsewhere", "x")), "not what comes next"},
		"another item":          {forger(aFolder("items/1")), "not what comes next"},
		"like the item":         {forger(aFile("items/00", "x")), "not what comes next"},
		"through a link":        {forger(link("items/0/a", "/tmp"), aFile("items/0/a/b", "x")), "in no folder"},
		"through a file":        {forger(aFile("items/0/a", ""), aFile("items/0/a/b", "x")), "in no folder"},
		"no folder":             {forger(aFile("items/0/a/b", "x")), "in no folder"},
		"left folder":           {forger(aFolder("items/0/a"), aFile("items/0/b", ""), aFile("items/0/a/c", "x")), "twice in the bundle, or in the wrong place"},
		"duplicate":             {forger(aFile("items/0/a", "1"), aFile("items/0/a", "2")), "twice in the bundle"},
		"folder twice":          {forger(aFolder("items/0/a"), aFolder("items/0/a")), "twice in the bundle"},
		"root twice":            {forger(aFolder("items/0")), "not what comes next"},
		"order":                 {forger(aFile("items/0/b", ""), aFile("items/0/a", "")), "in the wrong place"},
		"hard link outside":     {forger(hard("items/0/a", "/etc/shadow")), "no file before it"},
		"hard link up":          {forger(hard("items/0/a", "items/0/../x")), "no file before it"},
		"hard link to a link":   {forger(link("items/0/a", "/etc/shadow"), hard("items/0/b", "items/0/a")), "no file before it"},
		"hard link ahead":       {forger(hard("items/0/a", "items/0/b"), aFile("items/0/b", "")), "no file before it"},
		"hard link to a folder": {forger(aFolder("items/0/a"), hard("items/0/b", "items/0/a")), "no file before it"},
		"hard link with data":   {forger(bundle.Forged{Path: "items/0/b", Kind: '1', Link: "x", Content: "data"}), "cannot have a size"},
		"character device":      {forger(bundle.Forged{Path: "items/0/null", Kind: '3'}), "device or a FIFO"},
		"block device":          {forger(bundle.Forged{Path: "items/0/sda", Kind: '4'}), "device or a FIFO"},
		"FIFO":                  {forger(bundle.Forged{Path: "items/0/fifo", Kind: '6'}), "device or a FIFO"},
		"contiguous":            {forger(bundle.Forged{Path: "items/0/x", Kind: '7'}), "unknown type"},
		"long name":             {forger(aFile("items/0/"+long, "")), "more than 255 bytes"},
		"long path":             {forger(aFile("items/0/"+strings.Repeat(long[1:]+"/", 80)+"x", "")), "longer than"},
		"deep":                  {forger(aFile("items/0/"+strings.Repeat("a/", 300)+"x", "")), "deeper than"},
		"target of a file":      {forger(bundle.Forged{Path: "items/0/x", Kind: '0', Link: "y"}), "cannot have"},
		"link without a target": {forger(bundle.Forged{Path: "items/0/x", Kind: '2'}), "cannot have"},
		"xattr trusted":         {forger(bundle.Forged{Path: "items/0/x", Kind: '0', Xattr: "trusted.overlay.redirect"}), "which no bundle holds"},
		"xattr selinux":         {forger(bundle.Forged{Path: "items/0/x", Kind: '0', Xattr: "security.selinux"}), "which no bundle holds"},
		"xattr of a link":       {forger(bundle.Forged{Path: "items/0/x", Kind: '2', Link: "y", Xattr: "user.x"}), "which no bundle holds"},
		"huge and undeclared":   {more(forger(bundle.Forged{Path: "items/0/s", Kind: '0', Sparse: true, Size: 1 << 50}), func(f *bundle.Forger) { f.Manifest.Items[0].Bytes = 1 << 49 }), "holds more than the bundle says"},
		"huge beyond numbers":   {more(forger(bundle.Forged{Path: "items/0/s", Kind: '0', Sparse: true, Size: 1 << 62}), func(f *bundle.Forger) { f.Manifest.Items[0].Bytes = 1 << 62 }), "impossible totals"},
		"bomb":                  {more(forger(aFile("items/0/zeros", strings.Repeat("\x00", 16<<20))), func(f *bundle.Forger) { f.Manifest.Items[0].Stored = 1 << 20 }), "holds more than the bundle says"},
		"more entries":          {more(forger(aFile("items/0/a", ""), aFile("items/0/b", "")), func(f *bundle.Forger) { f.Manifest.Items[0].Entries-- }), "holds more than the bundle says"},
		"fewer entries":         {more(forger(aFile("items/0/a", "")), func(f *bundle.Forger) { f.Manifest.Items[0].Entries++ }), "holds less than the bundle says"},
		"an item is missing":    {more(forger(), func(f *bundle.Forger) { f.Manifest.Items = append(f.Manifest.Items, f.Manifest.Items[0]) }), "has 1 items, and says it has 2"},
		"an item is a link":     {more(forger(), func(f *bundle.Forger) { f.Entries[0] = link("items/0", "/etc") }), "neither a folder nor a file"},
		"index of another file": {more(forger(aFile("items/0/a", "")), func(f *bundle.Forger) { f.Index = replaced("items/0/a", "items/0/b") }), "not what the index says"},
		"index of another size": {more(forger(aFile("items/0/a", "")), func(f *bundle.Forger) { f.Index = replaced(`"size":0,"sha256"`, `"size":1,"sha256"`) }), "not what the index says"},
		"index misses one":      {more(forger(aFile("items/0/a", "")), func(f *bundle.Forger) { f.Entries[1].NoIndex = true }), "has 2 entries, and the index tells of 1"},
		"index has one more":    {more(forger(aFile("items/0/a", "")), func(f *bundle.Forger) { f.Index = replaced(`],"skipped"`, `,{"path":"more"}],"skipped"`) }), "in the index and not in the bundle"},
		"index of another":      {more(forger(), func(f *bundle.Forger) { f.Index = replaced(`"manifest":"`, `"manifest":"0`) }), "not the one that the index tells of"},
		"index twice the same":  {more(forger(), func(f *bundle.Forger) { f.Index = replaced(`"skipped":[]`, `"entries":[]`) }), "twice"},
		"index without entries": {more(forger(), func(f *bundle.Forger) { f.Index = func([]byte) []byte { return []byte("{}") } }), "index.json cannot be read"},
		"index cut":             {more(forger(), func(f *bundle.Forger) { f.Index = func(i []byte) []byte { return i[:len(i)-3] } }), "index.json cannot be read"},
		"index and more":        {more(forger(), func(f *bundle.Forger) { f.Index = func(i []byte) []byte { return append(i, '1') } }), "index.json cannot be read"},
		"no index":              {more(forger(), func(f *bundle.Forger) { f.Index = func([]byte) []byte { return nil } }), "has no index"},
		"behind the index":      {more(forger(), func(f *bundle.Forger) { f.Last = entries{aFile("items/0/z", "")} }), "comes after the index"},
		"two indexes":           {more(forger(), func(f *bundle.Forger) { f.Last = entries{aFile("index.json", "{}")} }), "comes after the index"},
		"two manifests":         {forger(aFile("manifest.json", "{}")), "not what comes next"},
		"no signature":          {more(forger(), func(f *bundle.Forger) { f.Last = entries{aFile("index.json.sig", "signed, me")} }), "no signature of ssh-keygen"},
		"large signature":       {more(forger(), func(f *bundle.Forger) { f.Last = entries{aFile("index.json.sig", strings.Repeat("x", 5000))} }), "more than any"},
		"another time": {more(forger(), func(f *bundle.Forger) {
			f.Raw = []byte(`{"format":"homelab-bundle","version":1,"created":"2001-01-01T00:00:00Z"}`)
		}), "manifest.json is not as homelab writes it"},
		"an index of something": {more(forger(), func(f *bundle.Forger) { f.Index = replaced("homelab-bundle-index", "homelab-garden-index") }), "index.json cannot be read"},
		"behind the end":        {more(forger(), func(f *bundle.Forger) { f.Tail = make([]byte, 1536) }), "behind the end"},
		"half an end":           {more(forger(), func(f *bundle.Forger) { f.Tail = make([]byte, 512) }), "cut short"},
		"of Go":                 {forger(header(func(h *tar.Header) { h.Devmajor = 1 })), "the form that homelab writes"},
		"of GNU":                {forger(header(func(h *tar.Header) { h.Format, h.Size = tar.FormatGNU, 1<<40 })), "cannot be read"},
		"unknown record":        {forger(header(func(h *tar.Header) { h.PAXRecords = map[string]string{"LIBARCHIVE.x": "1"} })), "in its extended header"},
		"an owner by name":      {forger(header(func(h *tar.Header) { h.Uname = "root" })), "the form that homelab writes"},
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, bundle.Pack(c.forger.Tar()), c.want)
		})
	}
}

// refused checks that a bundle is neither verified nor extracted, and that the
// latter touches nothing outside.
func refused(t *testing.T, data []byte, want string) {
	t.Helper()
	_, err := verify(t, data, bundle.Trust{})
	require.ErrorContains(t, err, want)
	assert.Equal(t, fault.BundleCorrupt, fault.CodeOf(err))

	into := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(into, "target"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(into, "outside"), []byte("untouched"), 0o600))
	before := treetest.Read(t, into)
	_, err = extract(t, data, filepath.Join(into, "target"), bundle.Extraction{Privileged: true}, bundle.Trust{})
	require.ErrorContains(t, err, want)
	after := treetest.Read(t, into)
	for path := range after {
		if path != "target" && strings.HasPrefix(path, "target") {
			delete(after, path)
		}
	}
	for _, path := range []string{".", "outside"} {
		assert.Equal(t, before[path], after[path])
	}
	assert.Len(t, after, 3)
}

func TestWhatIsNoBundle(t *testing.T) {
	var other bytes.Buffer
	w := tar.NewWriter(&other)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "other.json", Size: 2}))
	_, _ = w.Write([]byte("{}"))
	require.NoError(t, w.Close())
	e, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	for name, data := range map[string][]byte{
		"empty":      nil,
		"text":       []byte("this is a text of some length, and no bundle at all"),
		"a tar":      other.Bytes(),
		"a tar.zst":  bundle.Reseal(append(e.EncodeAll(other.Bytes(), nil), make([]byte, bundle.SealSize)...)),
		"an archive": bundle.Pack(other.Bytes()),
		"of another": bundle.Pack(bundle.Forger{Raw: []byte(`{"format":"backup","version":1}`)}.Tar()),
	} {
		_, err := verify(t, data, bundle.Trust{})
		assert.ErrorContains(t, err, "this is no bundle", name)
	}
}

func TestNewerBundlesAreToldSo(t *testing.T) {
	_, err := verify(t, bundle.Pack(bundle.Forger{Raw: []byte(`{"format":"homelab-bundle","version":2,"items":{}}`)}.Tar()), bundle.Trust{})
	assert.Equal(t, fault.BundleIncompatible, fault.CodeOf(err))
	assert.ErrorContains(t, err, "has format 2, and this homelab knows format 1")
}

func TestUnknownFieldsAreIgnored(t *testing.T) {
	f := forger()
	f.Raw = []byte(`{"format":"homelab-bundle","version":1,"created":"2026-03-04T05:06:07.000000008Z","mood":"good","items":[{"name":"data","entries":1,"weight":{"kg":3}}]}`)
	f.Index = func(index []byte) []byte {
		index = bytes.Replace(index, []byte(`"skipped":`), []byte(`"mood":[{"good":1}],"skipped":`), 1)
		return bytes.Replace(index, []byte(`{"path":`), []byte(`{"mood":"good","path":`), 1)
	}
	_, err := verify(t, bundle.Pack(f.Tar()), bundle.Trust{})
	assert.NoError(t, err)
}

func TestLimits(t *testing.T) {
	data := bundle.Pack(forger(aFile("items/0/a", "12345")).Tar())
	for _, limits := range []bundle.Limits{{Entries: 1}, {Stored: 4}} {
		_, err := bundle.Open(bytes.NewReader(data), bundle.Trust{Limits: limits})
		assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
	}
	_, err := verify(t, data, bundle.Trust{Limits: bundle.Limits{Entries: 2, Stored: 5}})
	assert.NoError(t, err)
	f := forger()
	f.Manifest.Items[0].Entries = 1 << 40
	_, err = verify(t, bundle.Pack(f.Tar()), bundle.Trust{})
	assert.ErrorContains(t, err, "more than the 20000000 that are allowed", "there are limits by default")
}

// A frame that says it is larger than any, or does not say, is not unpacked.
func TestFramesAreBounded(t *testing.T) {
	tarred := forger(aFile("items/0/zeros", strings.Repeat("\x00", 3*bundle.FrameSize))).Tar()
	for name, options := range map[string][]zstd.EOption{
		"a frame for all": {},
		"no checksum":     {zstd.WithEncoderCRC(false)},
	} {
		e, err := zstd.NewWriter(nil, options...)
		require.NoError(t, err)
		data := bundle.Reseal(append(e.EncodeAll(tarred, nil), make([]byte, bundle.SealSize)...))
		_, err = verify(t, data, bundle.Trust{})
		assert.ErrorContains(t, err, "this is no bundle", name)
	}
	var stream bytes.Buffer
	e, err := zstd.NewWriter(&stream)
	require.NoError(t, err)
	_, err = e.Write(tarred)
	require.NoError(t, err)
	require.NoError(t, e.Close())
	_, err = verify(t, bundle.Reseal(append(stream.Bytes(), make([]byte, bundle.SealSize)...)), bundle.Trust{})
	assert.ErrorContains(t, err, "this is no bundle")
}
