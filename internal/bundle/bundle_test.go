package bundle_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"homelab/internal/bundle"
	"homelab/internal/fault"
	"homelab/internal/tree/treetest"
)

var created = time.Date(2026, 3, 4, 5, 6, 7, 8, time.UTC)

// root opens a folder until the test ends.
func root(t *testing.T, path string) *os.Root {
	t.Helper()
	r, err := os.OpenRoot(path)
	require.NoError(t, err)
	t.Cleanup(func() { r.Close() })
	return r
}

// order is a bundle of folders.
func order(t *testing.T, folders ...string) bundle.Order {
	o := bundle.Order{ID: "b-1", Program: "homelab test", Created: created, About: json.RawMessage(`{"service":"wiki"}`)}
	for _, path := range folders {
		o.Sources = append(o.Sources, bundle.Source{
			Item: bundle.Item{Name: filepath.Base(path), Kind: "volume", Source: "wiki-data", Class: "durable"},
			Root: root(t, path),
		})
	}
	return o
}

func write(t *testing.T, o bundle.Order) ([]byte, *bundle.Written) {
	t.Helper()
	var out bytes.Buffer
	written, err := bundle.Write(t.Context(), &out, o)
	require.NoError(t, err)
	assert.Equal(t, int64(out.Len()), written.Size)
	return out.Bytes(), written
}

func verify(t *testing.T, data []byte, trust bundle.Trust) (*bundle.Report, error) {
	t.Helper()
	r, err := bundle.Open(bytes.NewReader(data), trust)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.Verify(t.Context())
}

// extract extracts all items into a folder, under their numbers.
func extract(t *testing.T, data []byte, into string, x bundle.Extraction, trust bundle.Trust) (*bundle.Extracted, error) {
	t.Helper()
	r, err := bundle.Open(bytes.NewReader(data), trust)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	parent := root(t, into)
	for i := range r.Manifest.Items {
		x.Targets = append(x.Targets, bundle.Target{Root: parent, Name: string(rune('0' + i))})
	}
	return r.Extract(t.Context(), x)
}

func TestEverythingComesBack(t *testing.T) {
	tree, into := t.TempDir(), t.TempDir()
	treetest.Nasty(t, tree)
	want := treetest.Read(t, tree)
	treetest.Beyond(t, tree)
	treetest.Times(t, tree, 1_300_000_000, 20)
	data, written := write(t, order(t, tree))

	report, err := verify(t, data, bundle.Trust{})
	require.NoError(t, err)
	assert.Equal(t, written.Index, report.Index)
	assert.Equal(t, []bundle.Skipped{{"items/0/fifo", "fifo"}, {"items/0/null", "device"}, {"items/0/socket", "socket"}}, report.Skipped)
	assert.Equal(t, written.Skipped, report.Skipped)
	assert.Equal(t, int64(len(want)), report.Entries)
	assert.Equal(t, written.Manifest.Totals(), report.Totals)
	assert.Greater(t, report.Bytes, int64(9<<30))
	assert.Less(t, report.Stored, int64(4<<20))

	extracted, err := extract(t, data, into, bundle.Extraction{Privileged: true, Sync: true}, bundle.Trust{})
	require.NoError(t, err)
	assert.Equal(t, bundle.Extracted{Report: *report, Placed: report.Entries}, *extracted)
	got := treetest.Read(t, filepath.Join(into, "0"))
	for path, a := range want {
		assert.Equal(t, a, got[path], "%q", path)
		delete(got, path)
	}
	assert.Empty(t, got)

	again, _ := write(t, order(t, filepath.Join(into, "0")))
	reread, err := verify(t, again, bundle.Trust{})
	require.NoError(t, err)
	assert.Equal(t, want, treetest.Read(t, filepath.Join(into, "0")), "reading changes nothing")
	assert.Equal(t, report.Totals.Bytes, reread.Totals.Bytes)
}

func TestPrivilegesAreStripped(t *testing.T) {
	tree, into := t.TempDir(), t.TempDir()
	treetest.Nasty(t, tree)
	data, _ := write(t, order(t, tree))
	extracted, err := extract(t, data, into, bundle.Extraction{}, bundle.Trust{})
	require.NoError(t, err)
	assert.Equal(t, int64(3), extracted.Stripped)
	got := treetest.Read(t, filepath.Join(into, "0"))
	assert.Equal(t, uint32(unix.S_IFREG|0o755), got["modes/setuid"].Mode)
	assert.Equal(t, uint32(unix.S_IFREG|0o755), got["modes/setgid"].Mode)
	assert.Equal(t, uint32(unix.S_IFDIR|0o3777), got["modes"].Mode, "on a folder they mean something else")
	assert.NotContains(t, got["xattrs"].Xattrs, "security.capability")
	assert.Contains(t, got["xattrs"].Xattrs, "user.mime")
}

func TestSameTreeSameBundle(t *testing.T) {
	tree := t.TempDir()
	treetest.Nasty(t, tree)
	one, _ := write(t, order(t, tree))
	two, _ := write(t, order(t, tree))
	assert.Equal(t, one, two)
}

func TestManifestTellsWhatIsInside(t *testing.T) {
	tree, file := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(tree, "kept"), []byte("12345"), 0o600))
	require.NoError(t, os.MkdirAll(filepath.Join(tree, "cache/deep"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(tree, "cache/deep/x"), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(tree, "a.tmp"), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(file, "one.conf"), []byte("alone"), 0o640))
	o := order(t, tree, file)
	o.Sources[0].Exclude = []string{"cache", "*.tmp"}
	o.Sources[1].At, o.Sources[1].Kind = "one.conf", "path"
	data, written := write(t, o)

	r, err := bundle.Open(bytes.NewReader(data), bundle.Trust{})
	require.NoError(t, err)
	defer r.Close()
	assert.Equal(t, "b-1", r.Manifest.ID)
	assert.Equal(t, created, r.Manifest.Created)
	assert.JSONEq(t, `{"service":"wiki"}`, string(r.Manifest.About))
	assert.Equal(t, []bundle.Item{
		{Name: filepath.Base(tree), Kind: "volume", Source: "wiki-data", Class: "durable", Exclude: []string{"cache", "*.tmp"}, Totals: bundle.Totals{Entries: 2, Bytes: 5, Stored: 5}},
		{Name: filepath.Base(file), Kind: "path", Source: "wiki-data", Class: "durable", Exclude: []string{}, Totals: bundle.Totals{Entries: 1, Bytes: 5, Stored: 5}},
	}, r.Manifest.Items)
	assert.Equal(t, written.Manifest.Items, r.Manifest.Items)

	into := t.TempDir()
	_, err = extract(t, data, into, bundle.Extraction{}, bundle.Trust{})
	require.NoError(t, err)
	assert.Equal(t, treetest.Read(t, filepath.Join(file, "one.conf")), treetest.Read(t, filepath.Join(into, "1")), "an item that is a file")
	assert.NoFileExists(t, filepath.Join(into, "0/a.tmp"))
	assert.NoDirExists(t, filepath.Join(into, "0/cache"))
}

func TestItemsGoWhereTheyAreSent(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(one, "1"), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(two, "2"), nil, 0o600))
	treetest.Times(t, two, 1000, 1)
	data, _ := write(t, order(t, one, two))
	r, err := bundle.Open(bytes.NewReader(data), bundle.Trust{})
	require.NoError(t, err)
	defer r.Close()
	into := t.TempDir()
	require.NoError(t, unix.Setxattr(into, "system.posix_acl_default", treetest.ACL(99), 0))
	extracted, err := r.Extract(t.Context(), bundle.Extraction{Targets: []bundle.Target{{}, {Root: root(t, into), Name: "."}}})
	require.NoError(t, err)
	assert.Equal(t, int64(2), extracted.Placed)
	assert.Equal(t, int64(4), extracted.Entries)
	assert.Equal(t, treetest.Read(t, two), treetest.Read(t, into), "into the folder itself, without what it would hand on")
}

func TestTargetsAreCheckedBeforeTheFirstByte(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	data, _ := write(t, order(t, one, two))
	for name, want := range map[string]fault.Code{
		"taken":   fault.Conflict,
		".":       fault.Conflict,
		"..":      fault.InvalidArgument,
		"a/b":     fault.InvalidArgument,
		"/etc":    fault.InvalidArgument,
		"":        fault.InvalidArgument,
		"dangles": fault.Conflict,
	} {
		into := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(into, "taken"), []byte("old"), 0o600))
		require.NoError(t, os.Symlink("nowhere", filepath.Join(into, "dangles")))
		before := treetest.Read(t, into)
		r, err := bundle.Open(bytes.NewReader(data), bundle.Trust{})
		require.NoError(t, err)
		target := root(t, into)
		_, err = r.Extract(t.Context(), bundle.Extraction{Targets: []bundle.Target{{target, "good"}, {target, name}}})
		assert.Equal(t, want, fault.CodeOf(err), "%q: %v", name, err)
		assert.Equal(t, before, treetest.Read(t, into))
		r.Close()
	}
}

func TestProgressIsTold(t *testing.T) {
	tree := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(tree, "f"), []byte(strings.Repeat("x", 1<<20)), 0o600))
	o := order(t, tree)
	var last bundle.Progress
	o.Progress = func(p bundle.Progress) { last = p }
	data, _ := write(t, o)
	assert.Equal(t, bundle.Progress{Entries: 2, Stored: 1 << 20}, last)
	last = bundle.Progress{}
	_, err := extract(t, data, t.TempDir(), bundle.Extraction{Progress: o.Progress}, bundle.Trust{})
	require.NoError(t, err)
	assert.Equal(t, bundle.Progress{Entries: 2, Stored: 1 << 20}, last)
}

func authors(keys ...ssh.PublicKey) []ssh.PublicKey { return keys }
