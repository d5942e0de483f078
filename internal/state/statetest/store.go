package statetest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math/rand/v2"
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
	"homelab/internal/state"
)

// Ground is an empty store, and the means to harm it.
type Ground struct {
	Open func(ctx context.Context) (state.Store, error)
	// Data lists the files on this machine that hold what is kept, and how many of
	// their first bytes matter.
	Data  func(t *testing.T) map[string]int64
	Flips int // how many of their bits are tried
	Cuts  int // how many cuts are tried in all: restic tries for a minute to get what is missing
}

func (g Ground) open(t *testing.T) state.Store {
	t.Helper()
	store, err := g.Open(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.Close()) })
	return store
}

// Store runs the suite of [state.Store]. New makes a ground.
func Store(t *testing.T, new func(t *testing.T) Ground) {
	t.Run("what is saved comes back", func(t *testing.T) {
		store := new(t).open(t)
		tree := makeTree(t)
		order := orderOf(t, tree)
		written, err := store.Save(t.Context(), "wiki", order)
		require.NoError(t, err)
		assert.Equal(t, order.ID, written.Manifest.ID)

		b := open(t, store, order.ID)
		told := *b.Manifest()
		assert.JSONEq(t, string(order.About), string(told.About))
		told.About = written.Manifest.About
		assert.Equal(t, written.Manifest, told)
		report, err := b.Verify(t.Context())
		require.NoError(t, err)
		require.NotEmpty(t, report.Index)
		assert.True(t, strings.HasPrefix(report.Index, written.Index))
		assert.Equal(t, written.Manifest.Totals(), report.Totals)

		into := t.TempDir()
		whole, err := os.OpenRoot(into)
		require.NoError(t, err)
		defer whole.Close()
		require.NoError(t, whole.Mkdir("empty", 0o700))
		empty, err := whole.OpenRoot("empty")
		require.NoError(t, err)
		defer empty.Close()
		done, err := open(t, store, order.ID).Extract(t.Context(), bundle.Extraction{Sync: true, Targets: []bundle.Target{
			{Root: whole, Name: "data"}, {Root: whole, Name: "config"}, {},
		}})
		require.NoError(t, err)
		want := fingerprint(t, filepath.Join(tree, "data"))
		assert.Equal(t, want, fingerprint(t, filepath.Join(into, "data")))
		assert.Equal(t, fingerprint(t, filepath.Join(tree, "config")), fingerprint(t, filepath.Join(into, "config")))
		assert.EqualValues(t, len(want)+1, done.Placed)
		assert.Equal(t, report.Index, done.Index)
		assert.EqualValues(t, 1, done.Stripped)

		_, err = open(t, store, order.ID).Extract(t.Context(), bundle.Extraction{Targets: []bundle.Target{{Root: empty, Name: "."}, {}, {}}})
		require.NoError(t, err)
		assert.Equal(t, want, fingerprint(t, filepath.Join(into, "empty")))
		entries, err := os.ReadDir(into)
		require.NoError(t, err)
		assert.Len(t, entries, 3, "nothing else is left there")
	})
	t.Run("nothing is extracted over what is there", func(t *testing.T) {
		store := new(t).open(t)
		order := saved(t, store, "wiki", time.Now())
		into := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(into, "there"), []byte("mine"), 0o600))
		root, err := os.OpenRoot(into)
		require.NoError(t, err)
		defer root.Close()
		for _, name := range []string{"there", "."} {
			_, err = open(t, store, order.ID).Extract(t.Context(), bundle.Extraction{Targets: []bundle.Target{{Root: root, Name: name}}})
			isFault(t, fault.Conflict, err)
		}
		for _, name := range []string{"", "..", "a/b"} {
			_, err = open(t, store, order.ID).Extract(t.Context(), bundle.Extraction{Targets: []bundle.Target{{Root: root, Name: name}}})
			isFault(t, fault.InvalidArgument, err)
		}
		_, err = open(t, store, order.ID).Extract(t.Context(), bundle.Extraction{})
		isFault(t, fault.InvalidArgument, err)
		content, err := os.ReadFile(filepath.Join(into, "there"))
		require.NoError(t, err)
		assert.Equal(t, "mine", string(content))
	})
	t.Run("lists", func(t *testing.T) {
		store := new(t).open(t)
		kept, err := store.List(t.Context(), "")
		require.NoError(t, err)
		assert.Equal(t, []state.Kept{}, kept)
		at := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
		older, newer := saved(t, store, "wiki", at), saved(t, store, "wiki", at.Add(time.Hour))
		other := saved(t, store, "mail", at.Add(time.Minute))
		ids := func(service string) []string {
			kept, err := store.List(t.Context(), service)
			require.NoError(t, err)
			found := []string{}
			for _, k := range kept {
				assert.Positive(t, k.Size)
				found = append(found, k.Service+" "+k.Created.Format(time.RFC3339)+" "+k.ID)
			}
			return found
		}
		lines := []string{"wiki 2026-03-14T13:00:00Z " + newer.ID, "mail 2026-03-14T12:01:00Z " + other.ID, "wiki 2026-03-14T12:00:00Z " + older.ID}
		assert.Equal(t, lines, ids(""))
		assert.Equal(t, []string{lines[0], lines[2]}, ids("wiki"))
		assert.Equal(t, []string{}, ids("nobody"))
		require.NoError(t, store.Remove(t.Context(), "wiki", newer.ID))
		assert.Equal(t, lines[1:], ids(""))
		_, err = store.Open(t.Context(), "wiki", newer.ID, bundle.Trust{})
		isFault(t, fault.NotFound, err)
		isFault(t, fault.NotFound, store.Remove(t.Context(), "wiki", newer.ID))
		_, err = store.Open(t.Context(), "wiki", other.ID, bundle.Trust{})
		isFault(t, fault.NotFound, err)
		_, err = open(t, store, older.ID).Verify(t.Context())
		require.NoError(t, err)
	})
	t.Run("an id that is taken", func(t *testing.T) {
		store := new(t).open(t)
		order := saved(t, store, "wiki", time.Now())
		before, err := store.List(t.Context(), "")
		require.NoError(t, err)
		_, err = store.Save(t.Context(), "wiki", order)
		after, failed := store.List(t.Context(), "")
		require.NoError(t, failed)
		assert.Equal(t, before, after)
		if err == nil { // then both are there, and neither is taken for the other
			_, err = store.Open(t.Context(), "wiki", order.ID, bundle.Trust{})
			isFault(t, fault.Conflict, err)
			err = store.Remove(t.Context(), "wiki", order.ID)
		} else {
			_, failed = open(t, store, order.ID).Verify(t.Context())
			require.NoError(t, failed)
		}
		isFault(t, fault.Conflict, err)
	})
	t.Run("ids that are none", func(t *testing.T) {
		store := new(t).open(t)
		order := orderOf(t, makeTree(t))
		for _, id := range []string{"", "x", "../" + order.ID} {
			bad := order
			bad.ID = id
			_, err := store.Save(t.Context(), "wiki", bad)
			isFault(t, fault.InvalidArgument, err)
			_, err = store.Open(t.Context(), "wiki", id, bundle.Trust{})
			isFault(t, fault.InvalidArgument, err)
			isFault(t, fault.InvalidArgument, store.Remove(t.Context(), "wiki", id))
		}
		_, err := store.Save(t.Context(), "../wiki", order)
		isFault(t, fault.InvalidArgument, err)
	})
	t.Run("what fails is not listed, and can be repeated", func(t *testing.T) {
		store := new(t).open(t)
		order := orderOf(t, makeTree(t))
		missing := order
		missing.Sources = append([]bundle.Source{}, order.Sources...)
		missing.Sources[1].At = "nothing"
		_, err := store.Save(t.Context(), "wiki", missing)
		isFault(t, fault.NotFound, err)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = store.Save(ctx, "wiki", order)
		isFault(t, fault.Canceled, err)
		kept, err := store.List(t.Context(), "")
		require.NoError(t, err)
		assert.Empty(t, kept)
		_, err = store.Save(t.Context(), "wiki", order)
		require.NoError(t, err)
	})
	t.Run("nobody signed it", func(t *testing.T) {
		store := new(t).open(t)
		order := saved(t, store, "wiki", time.Now())
		b, err := store.Open(t.Context(), "wiki", order.ID, bundle.Trust{Authors: []ssh.PublicKey{author(t)}})
		if err == nil {
			_, err = b.Verify(t.Context())
			require.NoError(t, b.Close())
		}
		isFault(t, fault.Denied, err)
	})
	t.Run("more than is allowed", func(t *testing.T) {
		store := new(t).open(t)
		order := saved(t, store, "wiki", time.Now())
		_, err := store.Open(t.Context(), "wiki", order.ID, bundle.Trust{Limits: bundle.Limits{Entries: 1}})
		isFault(t, fault.Precondition, err)
	})
	t.Run("damage is found", func(t *testing.T) { damage(t, new(t)) })
}

// damage flips bits of what is kept, and cuts it.
func damage(t *testing.T, g Ground) {
	store := g.open(t)
	order := saved(t, store, "wiki", time.Now())
	verify := func() error {
		b, err := store.Open(t.Context(), "wiki", order.ID, bundle.Trust{})
		if err != nil {
			return err
		}
		_, err = b.Verify(t.Context())
		require.NoError(t, b.Close())
		return err
	}
	require.NoError(t, verify())
	data := g.Data(t)
	require.NotEmpty(t, data)
	cuts := g.Cuts
	for path, size := range data {
		whole, err := os.ReadFile(path)
		require.NoError(t, err)
		broken := map[string][]byte{}
		for ; cuts > 0; cuts-- {
			at := rand.Int64N(size)
			broken[fmt.Sprintf("cut at %d of %d", at, size)] = whole[:at]
		}
		for range g.Flips {
			at := rand.Int64N(size)
			flipped := bytes.Clone(whole)
			flipped[at] ^= 1 << rand.IntN(8)
			broken[fmt.Sprintf("flipped at %d of %d", at, size)] = flipped
		}
		for how, content := range broken {
			require.NoError(t, os.Chmod(path, 0o600))
			require.NoError(t, os.WriteFile(path, content, 0o600))
			err := verify()
			assert.Equal(t, fault.BundleCorrupt, fault.CodeOf(err), "%s %s: %v", path, how, err)
		}
		require.NoError(t, os.WriteFile(path, whole, 0o600))
	}
	require.NoError(t, verify())
}

func open(t *testing.T, store state.Store, id string) state.Bundle {
	t.Helper()
	b, err := store.Open(t.Context(), "wiki", id, bundle.Trust{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, b.Close()) })
	return b
}

// saved saves a small bundle.
func saved(t *testing.T, store state.Store, service string, at time.Time) bundle.Order {
	t.Helper()
	tree := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(tree, "data"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(tree, "data", "file"), noise(10_000), 0o600))
	root, err := os.OpenRoot(tree)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, root.Close()) })
	order := bundle.Order{ID: state.NewID(at), Program: "test", Created: at, Sources: []bundle.Source{{Item: bundle.Item{Name: "data", Kind: "volume"}, Root: root, At: "data"}}}
	_, err = store.Save(t.Context(), service, order)
	require.NoError(t, err)
	return order
}

// orderOf captures a tree of [makeTree].
func orderOf(t *testing.T, tree string) bundle.Order {
	t.Helper()
	root, err := os.OpenRoot(tree)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, root.Close()) })
	other, err := root.OpenRoot("other")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, other.Close()) })
	now := time.Now().UTC().Truncate(time.Second)
	return bundle.Order{
		ID: state.NewID(now), Program: "test", Created: now, About: []byte(`{"service":"wiki"}`),
		Sources: []bundle.Source{
			{Item: bundle.Item{Name: "data", Kind: "volume", Source: "wiki_data", Class: "durable", Exclude: []string{"cache", "*.log"}}, Root: root, At: "data"},
			{Item: bundle.Item{Name: "config", Kind: "path", Source: "/etc/wiki.conf", Exclude: []string{}}, Root: root, At: "config"},
			{Item: bundle.Item{Name: "other", Kind: "path", Source: "/srv", Exclude: []string{}}, Root: other},
		},
	}
}

// makeTree makes what a bundle has to bring back, and beside it what it has not.
func makeTree(t *testing.T) string {
	t.Helper()
	tree := t.TempDir()
	in := func(name string) string { return filepath.Join(tree, name) }
	for _, folder := range []string{"data", "data/a", "data/a/empty", "data/cache", "other"} {
		require.NoError(t, os.Mkdir(in(folder), 0o750))
	}
	for name, size := range map[string]int{
		"config": 100, "other/x": 1, "data/large": 3 << 20, "data/a/none": 0, "data/b\xff[*]?\\": 10, "data/a/ line": 10, "data/program": 10, "data/shared": 10,
	} {
		require.NoError(t, os.WriteFile(in(name), noise(size), 0o640))
	}
	require.NoError(t, os.Symlink("/etc/passwd", in("data/link")))
	require.NoError(t, os.Link(in("data/large"), in("data/twin")))
	require.NoError(t, unix.Setxattr(in("data/a"), "user.note", []byte("n"), 0))
	require.NoError(t, unix.Setxattr(in("data/large"), "user.note", []byte("m"), 0))
	require.NoError(t, os.Lchown(in("data/large"), 1234, 5678))
	require.NoError(t, unix.Chmod(in("data/shared"), 0o1640))
	require.NoError(t, os.Chtimes(in("data/a"), time.Time{}, time.Unix(1_000_000_000, 123_456_789)))
	require.NoError(t, os.Chtimes(in("data"), time.Time{}, time.Unix(1_100_000_000, 987_654_321)))
	// What does not come back, or not so.
	require.NoError(t, os.WriteFile(in("data/cache/x"), nil, 0o600))
	require.NoError(t, os.WriteFile(in("data/x.log"), nil, 0o600))
	require.NoError(t, unix.Mkfifo(in("data/pipe"), 0o600))
	require.NoError(t, unix.Chmod(in("data/program"), 0o4755))
	require.NoError(t, os.Chtimes(in("data"), time.Time{}, time.Unix(1_100_000_000, 987_654_321)))
	return tree
}

// fingerprint tells of each entry all that is to come back.
func fingerprint(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	inodes := map[uint64]string{}
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path[len(root):], "/")
		if name == "cache" || name == "x.log" || name == "pipe" {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		var stat unix.Stat_t
		require.NoError(t, unix.Lstat(path, &stat))
		mode := stat.Mode
		if name == "program" {
			mode &^= unix.S_ISUID
		}
		line := fmt.Sprintf("%o %d:%d %d.%09d", mode, stat.Uid, stat.Gid, stat.Mtim.Sec, stat.Mtim.Nsec)
		switch {
		case entry.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			require.NoError(t, err)
			line += " " + to
		case entry.Type().IsRegular():
			content, err := os.ReadFile(path)
			require.NoError(t, err)
			line += fmt.Sprintf(" %d %x", len(content), sha256.Sum256(content))
			if first := inodes[stat.Ino]; first != "" {
				line += " as " + first
			}
			inodes[stat.Ino] = name
		}
		value := make([]byte, 100)
		if n, err := unix.Lgetxattr(path, "user.note", value); err == nil {
			line += " " + string(value[:n])
		}
		found[name] = line
		return nil
	}))
	return found
}

func author(t *testing.T) ssh.PublicKey {
	t.Helper()
	public, _, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	key, err := ssh.NewPublicKey(public)
	require.NoError(t, err)
	return key
}

// Save saves a small bundle.
func Save(t *testing.T, store state.Store, service string) bundle.Order {
	t.Helper()
	return saved(t, store, service, time.Now())
}

// FilesBelow lists the files below a folder, with their sizes.
func FilesBelow(t *testing.T, folder string) map[string]int64 {
	t.Helper()
	found := map[string]int64{}
	require.NoError(t, filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		found[path] = info.Size()
		return err
	}))
	return found
}
