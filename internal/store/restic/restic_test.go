package restic_test

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/bundle"
	"homelab/internal/command"
	"homelab/internal/fault"
	"homelab/internal/mirror"
	"homelab/internal/state"
	"homelab/internal/state/statetest"
	"homelab/internal/store/restic"
	"homelab/registry"
)

func TestStore(t *testing.T) {
	statetest.Store(t, func(t *testing.T) statetest.Ground {
		at := newRepository(t)
		work := t.TempDir()
		return statetest.Ground{
			Open:  func(context.Context) (state.Store, error) { return restic.New(at, work) },
			Cuts:  1,
			Flips: 1, // it is slow, and has checksums of its own
			// Behind the data of a pack is a list of it, which restic has in its index too:
			// restoring does not read it.
			Data: func(t *testing.T) map[string]int64 {
				found := statetest.FilesBelow(t, filepath.Join(at.Path, "data"))
				for path, size := range found {
					found[path] = size - listOf(t, at, filepath.Base(path))
				}
				return found
			},
		}
	})
}

func TestWhatIsWrong(t *testing.T) {
	at := newRepository(t)
	open := func(at registry.Store) error {
		store, err := restic.New(at, t.TempDir())
		require.NoError(t, err)
		_, err = store.List(t.Context(), "")
		return err
	}
	require.NoError(t, open(at))
	rows := map[string]struct {
		repository, password string
		code                 fault.Code
		hint                 string
	}{
		"no repository":  {t.TempDir(), statetest.Secret, fault.Precondition, "restic init"},
		"wrong password": {at.Path, "another", fault.Denied, "RESTIC_PASSWORD"},
		"server away":    {"rest:http://127.0.0.1:1/", statetest.Secret, fault.HostUnreachable, "by hand"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Setenv("RESTIC_PASSWORD", row.password)
			err := open(registry.Store{Kind: "restic", Address: "restic:" + row.repository, Path: row.repository})
			assert.Equal(t, row.code, fault.CodeOf(err), "%v", err)
			assert.Contains(t, fault.Of(err).Hint, row.hint)
			assert.NotContains(t, err.Error(), statetest.Secret)
		})
	}
	t.Setenv("RESTIC_PASSWORD", "")
	_, err := restic.New(at, t.TempDir())
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
}

// What did not change is not read again, nor stored.
func TestUnchangedTrees(t *testing.T) {
	store, err := restic.New(newRepository(t), t.TempDir())
	require.NoError(t, err)
	order := statetest.Save(t, store, "wiki")
	order.ID = state.NewID(order.Created)
	written, err := store.Save(t.Context(), "wiki", order)
	require.NoError(t, err)
	assert.Less(t, written.Size, int64(8000), "its file has 10,000 bytes of noise")
}

// A copy that is kept between bundles has what was written through a memory map, though
// the size and the times of the file stay what they were.
func TestMemoryMapsThroughAKeptCopy(t *testing.T) {
	const size = 8 << 20 // restic makes no piece that is larger
	tree, copies := t.TempDir(), t.TempDir()
	// Here times never tell of a map.
	require.NoError(t, syscall.Mount("tmpfs", tree, "tmpfs", 0, "size=16m"))
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(tree, syscall.MNT_DETACH)) })
	path := filepath.Join(tree, "mapped")
	require.NoError(t, os.WriteFile(path, statetest.Noise(size), 0o600))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	data, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	require.NoError(t, err)
	defer func() { require.NoError(t, syscall.Munmap(data)) }()
	before, err := f.Stat()
	require.NoError(t, err)
	store, err := restic.New(newRepository(t), t.TempDir())
	require.NoError(t, err)
	root, err := os.OpenRoot(copies)
	require.NoError(t, err)
	defer root.Close()
	for i := range 3 {
		data[size/2]++
		capture(t, tree, root)
		created := time.Date(2026, 5, 1, i, 0, 0, 0, time.UTC)
		order := bundle.Order{ID: state.NewID(created), Program: "test", Created: created, Sources: []bundle.Source{
			{Item: bundle.Item{Name: "data", Kind: "volume", Source: "data"}, Root: root, At: "0"},
		}}
		written, err := store.Save(t.Context(), "wiki", order)
		require.NoError(t, err)
		if i > 0 {
			assert.Less(t, written.Size, int64(size), "what is the same is not stored again")
		}
		assert.Equal(t, string(data), string(restored(t, store, order.ID)))
	}
	after, err := f.Stat()
	require.NoError(t, err)
	assert.Equal(t, []any{before.ModTime(), before.Size()}, []any{after.ModTime(), after.Size()})
}

// capture brings the copy of a tree up to date.
func capture(t *testing.T, tree string, copies *os.Root) {
	t.Helper()
	from, err := os.OpenRoot(tree)
	require.NoError(t, err)
	defer from.Close()
	here, there := net.Pipe()
	source, err := mirror.NewSource(here, mirror.Tree{Root: from})
	require.NoError(t, err)
	sink, err := mirror.NewSink(there, mirror.Place{Root: copies, Name: "0", Memory: "0.memory", Privileged: true})
	require.NoError(t, err)
	end, ctx := make(chan error, 1), t.Context()
	go func() { end <- source.Serve(ctx) }()
	_, err = sink.Pass(ctx, true)
	require.NoError(t, err)
	require.NoError(t, sink.Keep(ctx))
	require.NoError(t, sink.Close())
	require.NoError(t, <-end)
}

// restored is the file of a bundle that has one.
func restored(t *testing.T, store state.Store, id string) []byte {
	t.Helper()
	b, err := store.Open(t.Context(), "wiki", id, bundle.Trust{})
	require.NoError(t, err)
	defer b.Close()
	place := t.TempDir()
	root, err := os.OpenRoot(place)
	require.NoError(t, err)
	defer root.Close()
	_, err = b.Extract(t.Context(), bundle.Extraction{Targets: []bundle.Target{{Root: root, Name: "data"}}})
	require.NoError(t, err)
	content, err := os.ReadFile(filepath.Join(place, "data", "mapped"))
	require.NoError(t, err)
	return content
}

// A repository that is full keeps what it has.
func TestFullRepository(t *testing.T) {
	folder := t.TempDir()
	require.NoError(t, syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=4m"))
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(folder, syscall.MNT_DETACH)) })
	at := repositoryIn(t, folder)
	store, err := restic.New(at, t.TempDir())
	require.NoError(t, err)
	order := statetest.Save(t, store, "wiki")
	large := order
	large.ID = state.NewID(order.Created)
	require.NoError(t, os.WriteFile(filepath.Join(order.Sources[0].Root.Name(), "data", "large"), statetest.Noise(8<<20), 0o600))
	_, err = store.Save(t.Context(), "wiki", large)
	assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
	assert.ErrorContains(t, err, "no space is left")
	kept, err := store.List(t.Context(), "")
	require.NoError(t, err)
	require.Len(t, kept, 1)
	b, err := store.Open(t.Context(), "wiki", order.ID, bundle.Trust{})
	require.NoError(t, err)
	_, err = b.Verify(t.Context())
	require.NoError(t, err)
}

// A repository that is gone in the midst of a bundle, or a restic that is killed then,
// leaves nothing that is listed, and the same can be done again.
func TestBackupIsCut(t *testing.T) {
	for how, cut := range map[string]func(repository string, pid int, stop func()){
		"killed": func(_ string, pid int, _ func()) { assert.NoError(t, syscall.Kill(pid, syscall.SIGKILL)) },
		"gone": func(repository string, _ int, stop func()) {
			assert.NoError(t, os.Rename(repository, repository+"-away"))
			stop() // restic would wait for a quarter of an hour
		},
	} {
		t.Run(how, func(t *testing.T) {
			at := newRepository(t)
			store, err := restic.New(at, t.TempDir())
			require.NoError(t, err)
			order := statetest.Save(t, store, "wiki")
			order.ID = state.NewID(order.Created)
			require.NoError(t, os.WriteFile(filepath.Join(order.Sources[0].Root.Name(), "data", "large"), statetest.Noise(120<<20), 0o600))
			packs := func() int { return len(statetest.FilesBelow(t, filepath.Join(at.Path, "data"))) }
			before := packs()
			pid := wrap(t)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			done := make(chan error)
			go func() {
				_, err := store.Save(ctx, "wiki", order)
				done <- err
			}()
			require.Eventually(t, func() bool { return packs() > before }, time.Minute, time.Millisecond, "some of it is there")
			cut(at.Path, pid(), stop)
			err = <-done
			require.Error(t, err)
			assert.Contains(t, []fault.Code{fault.Canceled, fault.Precondition}, fault.CodeOf(err), "%v", err)
			if how == "gone" {
				require.NoError(t, os.Rename(at.Path+"-away", at.Path))
			}
			kept, err := store.List(t.Context(), "")
			require.NoError(t, err)
			assert.Len(t, kept, 1)
			_, err = store.Save(t.Context(), "wiki", order)
			require.NoError(t, err)
			b, err := store.Open(t.Context(), "wiki", order.ID, bundle.Trust{})
			require.NoError(t, err)
			_, err = b.Verify(t.Context())
			require.NoError(t, err)
			require.NoError(t, b.Close())
		})
	}
}

// wrap has each restic that makes a backup say who it is.
func wrap(t *testing.T) (pid func() int) {
	t.Helper()
	folder, real := t.TempDir(), command.Look("restic")
	said := filepath.Join(folder, "pid")
	require.NoError(t, os.WriteFile(filepath.Join(folder, "restic"), []byte("#!/bin/sh\ncase $1 in backup) echo $$ >'"+said+"' ;; esac\nexec '"+real+"' \"$@\"\n"), 0o755))
	t.Setenv("PATH", folder+":"+os.Getenv("PATH"))
	return func() int {
		text, err := os.ReadFile(said)
		require.NoError(t, err)
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		require.NoError(t, err)
		return pid
	}
}

// Whatever of a repository is damaged, besides the data, nothing is verified with it.
func TestDamagedRepository(t *testing.T) {
	at := newRepository(t)
	store, err := restic.New(at, t.TempDir())
	require.NoError(t, err)
	order := statetest.Save(t, store, "wiki")
	verify := func() error {
		t.Setenv("RESTIC_CACHE_DIR", t.TempDir()) // another machine
		b, err := store.Open(t.Context(), "wiki", order.ID, bundle.Trust{})
		if err != nil {
			return err
		}
		_, err = b.Verify(t.Context())
		require.NoError(t, b.Close())
		return err
	}
	require.NoError(t, verify())
	for _, folder := range []string{"snapshots", "index", "keys", "config"} {
		found := statetest.FilesBelow(t, filepath.Join(at.Path, folder))
		require.NotEmpty(t, found, folder)
		for path, size := range found {
			whole, err := os.ReadFile(path)
			require.NoError(t, err)
			broken := map[string][]byte{"cut": whole[:rand.Int64N(size)], "empty": {}, "cut in the nonce": whole[:15], "cut behind it": whole[:31]}
			if folder != "keys" { // in which restic also notes who made it, unprotected
				broken["flipped"] = bytes.Clone(whole)
				broken["flipped"][rand.Int64N(size)] ^= 1 << rand.IntN(8)
			}
			for how, content := range broken {
				require.NoError(t, os.Chmod(path, 0o600))
				require.NoError(t, os.WriteFile(path, content, 0o600))
				err := verify()
				assert.Equal(t, fault.BundleCorrupt, fault.CodeOf(err), "%s %s: %v", folder, how, err)
			}
			require.NoError(t, os.WriteFile(path, whole, 0o600))
		}
	}
	require.NoError(t, verify())
}

// A restic that was killed leaves its lock, and it must not stay.
func TestLocksOfTheDead(t *testing.T) {
	at := newRepository(t)
	store, err := restic.New(at, t.TempDir())
	require.NoError(t, err)
	order := statetest.Save(t, store, "wiki")
	lockOfTheDead(t, at)
	require.NoError(t, store.Remove(t.Context(), "wiki", order.ID))
}

// A file that cannot be read makes no bundle, also none that is listed.
func TestTreeThatChanges(t *testing.T) {
	store, err := restic.New(newRepository(t), t.TempDir())
	require.NoError(t, err)
	order := statetest.Save(t, store, "wiki")
	order.ID = state.NewID(order.Created)
	file := filepath.Join(order.Sources[0].Root.Name(), "data", "file")
	wrapped := filepath.Join(t.TempDir(), "restic")
	real := command.Look("restic")
	require.NoError(t, os.WriteFile(wrapped, []byte("#!/bin/sh\ncase $1 in backup) echo >>'"+file+"' ;; esac\nexec '"+real+"' \"$@\"\n"), 0o755))
	t.Setenv("PATH", filepath.Dir(wrapped)+":"+os.Getenv("PATH"))
	_, err = store.Save(t.Context(), "wiki", order)
	assert.Equal(t, fault.Conflict, fault.CodeOf(err), "%v", err)
	kept, err := store.List(t.Context(), "")
	require.NoError(t, err)
	assert.Len(t, kept, 1)
}

func newRepository(t *testing.T) registry.Store {
	t.Helper()
	return repositoryIn(t, filepath.Join(t.TempDir(), "repository"))
}

func repositoryIn(t *testing.T, folder string) registry.Store {
	t.Helper()
	t.Setenv("RESTIC_PASSWORD", statetest.Secret)
	t.Setenv("RESTIC_CACHE_DIR", t.TempDir())
	at := registry.Store{Kind: "restic", Address: "restic:" + folder, Path: folder}
	run(t, at, "init")
	return at
}

func run(t *testing.T, at registry.Store, args ...string) []byte {
	t.Helper()
	result, err := command.Run(t.Context(), command.Cmd{Name: "restic", Args: append([]string{"--repo", at.Path}, args...)})
	require.NoError(t, err)
	require.Zero(t, result.Exit, "%s", result.Stderr)
	return result.Stdout
}

// listOf is how many bytes of a pack are the list of what is in it.
func listOf(t *testing.T, at registry.Store, pack string) int64 {
	t.Helper()
	var found struct {
		Packs []struct {
			ID    string `json:"id"`
			Blobs []struct {
				Offset, Length int64
			} `json:"blobs"`
		} `json:"packs"`
	}
	var end int64
	for _, index := range strings.Fields(string(run(t, at, "list", "index", "--no-lock"))) {
		require.NoError(t, json.Unmarshal(bytes.TrimSpace(run(t, at, "cat", "index", index, "--no-lock")), &found))
		for _, p := range found.Packs {
			for _, blob := range p.Blobs {
				if p.ID == pack {
					end = max(end, blob.Offset+blob.Length)
				}
			}
		}
	}
	require.Positive(t, end)
	info, err := os.Stat(filepath.Join(at.Path, "data", pack[:2], pack))
	require.NoError(t, err)
	return info.Size() - end
}

// lockOfTheDead has a restic killed while it holds the repository.
func lockOfTheDead(t *testing.T, at registry.Store) {
	t.Helper()
	pipe, err := command.Start(t.Context(), command.Cmd{Name: "restic", Args: []string{"--repo", at.Path, "backup", "--quiet", "--stdin"}})
	require.NoError(t, err)
	locks := filepath.Join(at.Path, "locks")
	require.Eventually(t, func() bool {
		entries, err := os.ReadDir(locks)
		return err == nil && len(entries) > 0
	}, 30*time.Second, 5*time.Millisecond)
	require.NoError(t, syscall.Kill(pipe.PID, syscall.SIGKILL))
	pipe.Wait()
	require.NoError(t, pipe.Close())
	entries, err := os.ReadDir(locks)
	require.NoError(t, err)
	require.NotEmpty(t, entries)
}
