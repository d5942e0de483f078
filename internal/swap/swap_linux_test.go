package swap_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"homelab/internal/fault"
	"homelab/internal/swap"
	"homelab/internal/tree/treetest"
)

const id = "20260314T120000Z-1f2e3d4c.0"

// dying is the context of a process that is killed at some change of the disk.
type dying struct {
	context.Context
	left int
}

func (d *dying) Err() error {
	if d.left--; d.left < 0 {
		panic(d)
	}
	return nil
}

// killedAt does something, and says whether it was killed before its n-th change.
func killedAt(t *testing.T, n int, do func(ctx context.Context) error) (killed bool) {
	d := &dying{t.Context(), n}
	defer func() {
		if r := recover(); r != nil {
			require.Same(t, d, r)
			killed = true
		}
	}()
	require.NoError(t, do(d))
	return false
}

func write(t *testing.T, path, content string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
}

// old and fresh are what was there, and what is to take its place.
var (
	old   = map[string]string{"both": "old", "only old": "old", "a/b": "old", "name\n\xff": "old"}
	fresh = map[string]string{"both": "new", "only new": "new", "a/c": "new"}
)

// fill fills a folder, which gets attributes of its own.
func fill(t *testing.T, dir string, content map[string]string, mode os.FileMode, owner int) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o755))
	for name, text := range content {
		write(t, filepath.Join(dir, name), text)
	}
	require.NoError(t, os.Chown(dir, owner, owner))
	require.NoError(t, unix.Setxattr(dir, "user.of", []byte(fmt.Sprint(owner)), 0))
	if owner == 7 {
		require.NoError(t, unix.Setxattr(dir, "user.only", nil, 0))
	}
	require.NoError(t, os.Chmod(dir, mode))
	require.NoError(t, os.Chtimes(dir, time.Unix(int64(owner)*1000, 1), time.Unix(int64(owner)*1000, 1)))
}

// place is a folder with the old, and the new staged.
type place struct {
	t        *testing.T
	dir      string // with what is looked at in it
	path     string // of the item
	old, new map[string]treetest.Attributes
}

// newPlace has an item that is a folder, or a file.
func newPlace(t *testing.T, isFile bool) *place {
	t.Helper()
	p := &place{t: t, dir: t.TempDir()}
	p.path = filepath.Join(p.dir, "item")
	if isFile {
		write(t, p.path, "old")
		write(t, p.dir+"/beside", "beside")
		p.old = p.read()
		model := filepath.Join(t.TempDir(), "model")
		for _, path := range []string{model, p.staged()} {
			write(t, path, "new")
			require.NoError(t, os.Chtimes(path, time.Unix(8000, 1), time.Unix(8000, 1)))
		}
		p.new = treetest.Read(t, model)
		return p
	}
	fill(t, p.path, old, 0o2750, 7)
	p.old = p.read()
	model := filepath.Join(t.TempDir(), "model")
	fill(t, model, fresh, 0o1777, 8)
	p.new = treetest.Read(t, model)
	fill(t, p.staged(), fresh, 0o1777, 8)
	require.Equal(t, p.old, p.read(), "also the time of the folder")
	return p
}

// staged is where what is new is to be made.
func (p *place) staged() (path string) {
	p.t.Helper()
	p.with(func(target *swap.Target) {
		root, name, err := target.Stage(p.t.Context(), id)
		require.NoError(p.t, err)
		path = filepath.Join(root.Name(), name)
		require.NoError(p.t, root.Close())
	})
	return path
}

// with opens the place anew, as the next process does.
func (p *place) with(do func(target *swap.Target)) {
	p.t.Helper()
	target, err := swap.Open(p.path)
	require.NoError(p.t, err)
	do(target)
	require.NoError(p.t, target.Close())
}

// read is what the item has, without what is homelab's, and times of files, which say
// when the test made them.
func (p *place) read() map[string]treetest.Attributes {
	p.t.Helper()
	all := treetest.Read(p.t, p.path)
	for name := range all {
		if strings.HasPrefix(name, swap.Prefix) {
			delete(all, name)
		}
	}
	return all
}

func timeless(of map[string]treetest.Attributes) map[string]treetest.Attributes {
	without := map[string]treetest.Attributes{}
	for name, a := range of {
		if name != "." {
			a.Time = ""
		}
		without[name] = a
	}
	return without
}

func (p *place) is(want map[string]treetest.Attributes, about ...any) {
	p.t.Helper()
	require.Equal(p.t, timeless(want), timeless(p.read()), about...)
}

// clean fails when something of homelab is left.
func (p *place) clean() {
	p.t.Helper()
	for _, dir := range []string{p.dir, p.path} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			assert.False(p.t, strings.HasPrefix(e.Name(), swap.Prefix), e.Name())
		}
	}
}

func (p *place) kept() []swap.Kept {
	p.t.Helper()
	var found *swap.Found
	p.with(func(target *swap.Target) {
		var err error
		found, err = target.Look(p.t.Context(), 1000)
		require.NoError(p.t, err)
	})
	return found.Kept
}

func both(t *testing.T, test func(t *testing.T, isFile bool)) {
	for name, isFile := range map[string]bool{"folder": false, "file": true} {
		t.Run(name, func(t *testing.T) { test(t, isFile) })
	}
}

func TestSwap(t *testing.T) {
	both(t, func(t *testing.T, isFile bool) {
		p := newPlace(t, isFile)
		for range 2 {
			p.with(func(target *swap.Target) { require.NoError(t, target.Swap(t.Context(), id)) })
			p.is(p.new)
			kept := p.kept()
			require.Len(t, kept, 1)
			assert.Equal(t, swap.Swapped, kept[0].Step)
			assert.Positive(t, kept[0].Entries)
			p.with(func(target *swap.Target) {
				assert.Equal(t, fault.Conflict, fault.CodeOf(target.Discard(t.Context(), id)), "it has what was there")
				require.NoError(t, target.Back(t.Context(), id))
			})
			p.is(p.old)
		}
		p.with(func(target *swap.Target) {
			require.NoError(t, target.Discard(t.Context(), id))
			require.NoError(t, target.Discard(t.Context(), id))
			require.NoError(t, target.Back(t.Context(), id))
			assert.Equal(t, fault.NotFound, fault.CodeOf(target.Swap(t.Context(), id)))
		})
		p.is(p.old)
		p.clean()
	})
}

func TestCommit(t *testing.T) {
	both(t, func(t *testing.T, isFile bool) {
		p := newPlace(t, isFile)
		p.with(func(target *swap.Target) {
			assert.Equal(t, fault.Conflict, fault.CodeOf(target.Commit(t.Context(), id)), "nothing is swapped")
			require.NoError(t, target.Swap(t.Context(), id))
		})
		for n := 0; ; n++ {
			var killed bool
			p.with(func(target *swap.Target) {
				killed = killedAt(t, n, func(ctx context.Context) error { return target.Commit(ctx, id) })
			})
			p.is(p.new)
			if !killed {
				break
			}
		}
		p.clean()
		assert.Empty(t, p.kept())
	})
}

// Killed before each change of a swap, and of what undoes it, whoever comes next gets
// all of the old, or all of the new.
func TestKilledAtEveryStep(t *testing.T) {
	both(t, func(t *testing.T, isFile bool) {
		for n, over := 0, false; !over; n++ {
			for m, undone := 0, false; !undone; m++ {
				for _, forward := range []bool{false, true} {
					p := newPlace(t, isFile)
					p.with(func(target *swap.Target) {
						over = !killedAt(t, n, func(ctx context.Context) error { return target.Swap(ctx, id) })
					})
					p.with(func(target *swap.Target) {
						undone = !killedAt(t, m, func(ctx context.Context) error { return target.Back(ctx, id) })
					})
					p.with(func(target *swap.Target) {
						if forward {
							require.NoError(t, target.Swap(t.Context(), id))
							p.is(p.new, "killed at %d and %d", n, m)
							require.NoError(t, target.Commit(t.Context(), id))
							p.is(p.new)
							return
						}
						require.NoError(t, target.Back(t.Context(), id))
						p.is(p.old, "killed at %d and %d", n, m)
						require.NoError(t, target.Discard(t.Context(), id))
						p.is(p.old)
					})
					p.clean()
				}
			}
		}
	})
}

// Killed while it stages, or discards, nothing but the old is there.
func TestStagingIsKilled(t *testing.T) {
	both(t, func(t *testing.T, isFile bool) {
		p := newPlace(t, isFile)
		for n, over := 0, false; !over; n++ {
			p.with(func(target *swap.Target) {
				over = !killedAt(t, n, func(ctx context.Context) error {
					root, _, err := target.Stage(ctx, id)
					if err == nil {
						err = root.Close()
					}
					return err
				})
			})
			p.is(p.old)
		}
		for n := 0; killedAt(t, n, func(ctx context.Context) (err error) {
			p.with(func(target *swap.Target) { err = target.Discard(ctx, id) })
			return err
		}); n++ {
			p.is(p.old)
		}
		p.clean()
		p.is(p.old)
	})
}

// What somebody writes between the steps of a swap, as a service does that an engine
// starts by itself, takes the place of nothing, and is not lost.
func TestSomebodyWritesMeanwhile(t *testing.T) {
	for n, over := 0, false; !over; n++ {
		p := newPlace(t, false)
		p.with(func(target *swap.Target) {
			over = !killedAt(t, n, func(ctx context.Context) error { return target.Swap(ctx, id) })
		})
		written := 0
		for _, name := range []string{"both", "only old", "only new"} {
			if _, err := os.Lstat(filepath.Join(p.path, name)); err != nil {
				written++
				write(t, filepath.Join(p.path, name), "meanwhile")
			}
		}
		p.with(func(target *swap.Target) {
			require.NoError(t, target.Back(t.Context(), id))
			for name, text := range old {
				content, err := os.ReadFile(filepath.Join(p.path, name))
				require.NoError(t, err)
				require.Equal(t, text, string(content), "killed at %d", n)
			}
			still := 0
			for _, a := range treetest.Read(t, p.path) {
				if a.Size == int64(len("meanwhile")) {
					still++
				}
			}
			require.Equal(t, written, still, "killed at %d", n)
			require.NoError(t, target.Discard(t.Context(), id))
			strays, err := filepath.Glob(p.path + "/" + swap.Prefix + id + "/stray-*/*")
			require.NoError(t, err)
			for _, stray := range strays {
				content, err := os.ReadFile(stray)
				require.NoError(t, err)
				require.Equal(t, "meanwhile", string(content))
			}
			if len(strays) > 0 {
				require.Equal(t, swap.Stray, p.kept()[0].Step)
				require.NoError(t, target.Commit(t.Context(), id))
			}
			p.clean()
		})
	}
}

// Nothing was there.
func TestNothingThere(t *testing.T) {
	for _, folder := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "item")
		p := &place{t: t, path: path, dir: filepath.Dir(path)}
		p.with(func(target *swap.Target) {
			root, name, err := target.Stage(t.Context(), id)
			require.NoError(t, err)
			defer root.Close()
			assert.Equal(t, "item", name)
			if folder {
				require.NoError(t, root.Mkdir(name, 0o700))
			} else {
				assert.Equal(t, fault.Conflict, fault.CodeOf(target.Swap(t.Context(), id)), "nothing is staged yet")
				require.NoError(t, root.WriteFile(name, []byte("new"), 0o600))
			}
			require.NoError(t, target.Swap(t.Context(), id))
		})
		info, err := os.Stat(path)
		require.NoError(t, err)
		assert.Equal(t, folder, info.IsDir())
		require.Len(t, p.kept(), 1, "it is beside the folder, since there was none")
		p.with(func(target *swap.Target) { require.NoError(t, target.Back(t.Context(), id)) })
		assert.NoFileExists(t, path)
		assert.NoDirExists(t, path)
		p.with(func(target *swap.Target) { require.NoError(t, target.Discard(t.Context(), id)) })
		p.clean()
	}
}

func TestLook(t *testing.T) {
	p := newPlace(t, false)
	p.with(func(target *swap.Target) {
		found, err := target.Look(t.Context(), 100)
		require.NoError(t, err)
		assert.Equal(t, swap.Amount{Entries: 6, Bytes: 12}, found.There)
		assert.True(t, found.Folder)
		assert.Positive(t, found.Free)
		assert.NotZero(t, found.Device)
		require.Len(t, found.Kept, 1)
		assert.Equal(t, swap.Staging, found.Kept[0].Step)
		assert.Equal(t, swap.Amount{Entries: 4, Bytes: 9}, found.Kept[0].Amount)
		found, err = target.Look(t.Context(), 3)
		require.NoError(t, err)
		assert.Equal(t, int64(3), found.There.Entries)
		assert.True(t, found.There.More)
	})
	p = newPlace(t, true)
	p.with(func(target *swap.Target) {
		found, err := target.Look(t.Context(), 100)
		require.NoError(t, err)
		assert.Equal(t, swap.Amount{Entries: 1, Bytes: 3}, found.There)
		assert.False(t, found.Folder)
	})
}

// What is left out is not counted, nor what is below it.
func TestMeasure(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"page": "123", "log/a": "12345", "log/b": "1", "sub/log/a": "12", "sub/x.tmp": "1234567", swap.Prefix + "1/old/page": "1"} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	target, err := swap.OpenFolder(dir)
	require.NoError(t, err)
	defer target.Close()
	for name, row := range map[string]struct {
		without []string
		most    int64
		want    swap.Amount
	}{
		"all":                   {nil, 100, swap.Amount{Entries: 9, Bytes: 18}},
		"a folder":              {[]string{"log"}, 100, swap.Amount{Entries: 6, Bytes: 12}},
		"what is in a folder":   {[]string{"log/**"}, 100, swap.Amount{Entries: 6, Bytes: 12}},
		"wherever":              {[]string{"**/*.tmp", "**/log/**"}, 100, swap.Amount{Entries: 3, Bytes: 3}},
		"no more than so many":  {nil, 4, swap.Amount{Entries: 4, More: true}},
		"so many that are left": {[]string{"log", "sub"}, 2, swap.Amount{Entries: 2, Bytes: 3}},
	} {
		got, err := target.Measure(t.Context(), row.most, row.without)
		require.NoError(t, err, name)
		if row.want.More {
			got.Bytes = 0
		}
		assert.Equal(t, row.want, got, name)
	}
	_, err = target.Measure(t.Context(), 100, []string{"[" + "a"})
	assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err), "%v", err)
	file, err := swap.Open(filepath.Join(dir, "page"))
	require.NoError(t, err)
	defer file.Close()
	got, err := file.Measure(t.Context(), 100, []string{"page"})
	require.NoError(t, err)
	assert.Equal(t, swap.Amount{Entries: 1, Bytes: 3}, got, "it is the item")
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Symlink(dir, dir+"/link"))
	for path, code := range map[string]fault.Code{dir + "/link": fault.Precondition, dir + "/none/x": fault.NotFound, "/dev/null": fault.Precondition} {
		_, err := swap.Open(path)
		assert.Equal(t, code, fault.CodeOf(err), path)
	}
	_, err := swap.OpenFolder(dir + "/none")
	assert.Equal(t, fault.NotFound, fault.CodeOf(err))
}
