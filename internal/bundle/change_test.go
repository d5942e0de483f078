package bundle_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"homelab/internal/bundle"
	"homelab/internal/fault"
	"homelab/internal/tree/treetest"
)

// What changes while it is captured is a conflict that names it, and no bundle.
func TestChangesWhileCapturing(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 64<<10)
	for name, c := range map[string]struct {
		change func(tree string) error
		names  string
	}{
		"it grows": {func(tree string) error {
			f, err := os.OpenFile(tree+"/large", os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteString("more")
				f.Close()
			}
			return err
		}, "items/0/large"},
		"it shrinks":           {func(tree string) error { return os.Truncate(tree+"/large", 300<<10) }, "items/0/large"},
		"it vanishes":          {func(tree string) error { return os.Remove(tree + "/large") }, "items/0/large"},
		"is replaced":          {func(tree string) error { return os.Rename(tree+"/other", tree+"/large") }, "items/0/large"},
		"is rewritten":         {func(tree string) error { return os.WriteFile(tree+"/large", []byte(strings.ToUpper(large)), 0o600) }, "items/0/large"},
		"a later one vanishes": {func(tree string) error { return os.Remove(tree + "/z/last") }, "items/0"},
		"a later one grows":    {func(tree string) error { return os.WriteFile(tree+"/z/last", []byte("longer"), 0o600) }, "items/0"},
		"a later one is swapped": {func(tree string) error {
			_ = os.Remove(tree + "/z/last")
			return os.Symlink("/etc/shadow", tree+"/z/last")
		}, "items/0"},
		"a folder becomes a link": {func(tree string) error { _ = os.Rename(tree+"/z", tree+"/y"); return os.Symlink("/etc", tree+"/z") }, "items/0"},
		"an earlier one comes":    {func(tree string) error { return os.WriteFile(tree+"/0", nil, 0o600) }, "items/0"},
	} {
		t.Run(name, func(t *testing.T) {
			tree := t.TempDir()
			require.NoError(t, os.WriteFile(tree+"/large", []byte(large), 0o600))
			require.NoError(t, os.WriteFile(tree+"/other", []byte("other"), 0o600))
			require.NoError(t, os.Mkdir(tree+"/z", 0o700))
			require.NoError(t, os.WriteFile(tree+"/z/last", []byte("last"), 0o600))
			settle(t, tree)
			o, changed := order(t, tree), false
			o.Progress = func(p bundle.Progress) {
				if p.Stored > 0 && !changed {
					changed = true
					require.NoError(t, c.change(tree))
				}
			}
			var out bytes.Buffer
			_, err := bundle.Write(t.Context(), &out, o)
			require.True(t, changed)
			require.Equal(t, fault.Conflict, fault.CodeOf(err), "%v", err)
			assert.ErrorContains(t, err, c.names)
			_, err = verify(t, out.Bytes(), bundle.Trust{})
			assert.Equal(t, fault.BundleCorrupt, fault.CodeOf(err), "%v", err)
		})
	}
}

// settle gives a tree times of the past, as it has when nobody writes: within a
// tick of the clock a file system shows no change.
func settle(t *testing.T, tree string) {
	for path := range treetest.Read(t, tree) {
		treetest.Times(t, filepath.Join(tree, path), 1_000_000_000, 0)
	}
}

// A log that is written to all the time gives a bundle of a state that it was in,
// or a conflict.
func TestAWriterThatAppends(t *testing.T) {
	tree, stop, stopped := t.TempDir(), make(chan struct{}), make(chan error, 1)
	log, err := os.Create(filepath.Join(tree, "log"))
	require.NoError(t, err)
	_, err = log.WriteString(strings.Repeat("0123456\n", 1<<17))
	require.NoError(t, err)
	go func() {
		for i := 1 << 17; ; i++ {
			select {
			case <-stop:
				stopped <- log.Close()
				return
			default:
				if _, err := fmt.Fprintf(log, "%07d\n", i); err != nil {
					stopped <- err
					return
				}
			}
		}
	}()
	conflicts := 0
	for range 8 {
		var out bytes.Buffer
		if _, err := bundle.Write(t.Context(), &out, order(t, tree)); err != nil {
			require.Equal(t, fault.Conflict, fault.CodeOf(err), "%v", err)
			conflicts++
			continue
		}
		_, err := verify(t, out.Bytes(), bundle.Trust{})
		require.NoError(t, err)
	}
	close(stop)
	require.NoError(t, <-stopped)
	assert.NotZero(t, conflicts)
}

func TestWritingIsCanceled(t *testing.T) {
	tree := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(tree, "large"), make([]byte, 2<<20), 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	o := order(t, tree)
	o.Progress = func(bundle.Progress) { cancel() }
	_, err := bundle.Write(ctx, new(bytes.Buffer), o)
	assert.Equal(t, fault.Canceled, fault.CodeOf(err), "%v", err)

	data, _ := write(t, order(t, tree))
	r, err := bundle.Open(bytes.NewReader(data), bundle.Trust{})
	require.NoError(t, err)
	defer r.Close()
	_, err = r.Verify(ctx)
	assert.Equal(t, fault.Canceled, fault.CodeOf(err), "%v", err)
}

func TestSourcesThatAreNone(t *testing.T) {
	tree := t.TempDir()
	require.NoError(t, os.Symlink("/etc", filepath.Join(tree, "link")))
	require.NoError(t, os.MkdirAll(filepath.Join(tree, "deep", strings.Repeat("d/", 300)), 0o700))
	for at, want := range map[string]fault.Code{"link": fault.InvalidArgument, "gone": fault.NotFound, "deep": fault.Precondition} {
		o := order(t, tree)
		o.Sources[0].At = at
		_, err := bundle.Write(t.Context(), new(bytes.Buffer), o)
		assert.Equal(t, want, fault.CodeOf(err), "%s: %v", at, err)
	}
	o := order(t, tree)
	o.Sources[0].Exclude = []string{"deep", "[a"}
	_, err := bundle.Write(t.Context(), new(bytes.Buffer), o)
	assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err), "%v", err)
	o.Sources[0].Exclude, o.About = []string{"deep"}, []byte("no JSON")
	_, err = bundle.Write(t.Context(), new(bytes.Buffer), o)
	assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err), "%v", err)
}

// What takes the place of a file between looking and opening is not captured in
// its stead: no link is followed, and a FIFO holds up nobody.
func TestWhatIsSwappedAtTheLastMoment(t *testing.T) {
	for name, swap := range map[string]func(path string) error{
		"file": func(path string) error { return os.Rename(path+"-other", path) },
		"link": func(path string) error { _ = os.Remove(path); return os.Symlink(path+"-other", path) },
		"fifo": func(path string) error { _ = os.Remove(path); return unix.Mkfifo(path, 0o600) },
		"none": os.Remove,
	} {
		folder := t.TempDir()
		path := filepath.Join(folder, "f")
		require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
		require.NoError(t, os.WriteFile(path+"-other", []byte("y"), 0o600))
		f, err := os.Open(folder)
		require.NoError(t, err)
		require.NoError(t, bundle.CaptureLate(f, "f", func() {}))
		err = bundle.CaptureLate(f, "f", func() { require.NoError(t, swap(path)) })
		assert.Equal(t, fault.Conflict, fault.CodeOf(err), "%s: %v", name, err)
		require.NoError(t, f.Close())
	}
}
