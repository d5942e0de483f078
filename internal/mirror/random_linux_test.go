package mirror_test

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"homelab/internal/tree/treetest"
)

// places are folders of file systems that are trusted otherwise.
func places(t *testing.T) map[string]string {
	memory := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", memory, "tmpfs", 0, "size=1g"))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(memory, unix.MNT_DETACH)) })
	return map[string]string{"disk": t.TempDir(), "memory": memory}
}

// The copy is the tree after every pass, whatever is done to a tree in between.
func TestRandomEditsAreCopied(t *testing.T) {
	for name, place := range places(t) {
		for seed := range uint64(6) {
			t.Run(fmt.Sprint(name, "/", seed), func(t *testing.T) {
				t.Parallel()
				random := rand.New(rand.NewPCG(seed, 5))
				tree, into := filepath.Join(place, fmt.Sprint(seed)), filepath.Join(t.TempDir(), "copy")
				require.NoError(t, os.Mkdir(tree, 0o700))
				for range 3 {
					treetest.Grow(t, random, tree, 3)
				}
				p := connectTo(t, tree, into)
				for i := range 9 {
					p.must(t, i%3 == 2)
					same(t, tree, into)
					for range random.IntN(30) {
						edit(t, random, tree)
					}
				}
			})
		}
	}
}

// edit does something to some entry.
func edit(t *testing.T, random *rand.Rand, tree string) {
	t.Helper()
	paths := map[fs.FileMode][]string{}
	require.NoError(t, filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
		paths[entry.Type()] = append(paths[entry.Type()], path)
		return err
	}))
	pick := func(kinds ...fs.FileMode) string {
		var all []string
		for _, kind := range kinds {
			all = append(all, paths[kind]...)
		}
		if len(all) == 0 {
			return tree
		}
		return all[random.IntN(len(all))]
	}
	file, folder, entry := pick(0), pick(fs.ModeDir), pick(0, fs.ModeDir, fs.ModeSymlink)
	fresh := filepath.Join(folder, fmt.Sprint("new", random.IntN(1000)))
	if _, err := os.Lstat(fresh); err == nil {
		return
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil { // there is none
		require.NoError(t, os.WriteFile(fresh, []byte("fresh"), 0o600))
		return
	}
	defer f.Close()
	info, err := f.Stat()
	require.NoError(t, err)
	data := make([]byte, random.IntN(600<<10)>>random.IntN(16))
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	switch random.IntN(15) {
	case 0:
		_, err = f.WriteAt(data, random.Int64N(info.Size()+1))
	case 1:
		_, err = f.WriteAt(data, info.Size())
	case 2:
		err = f.Truncate(random.Int64N(info.Size() + 1))
	case 3:
		err = f.Truncate(info.Size() + random.Int64N(1<<20))
	case 4:
		err = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, random.Int64N(info.Size()+1), 1+random.Int64N(1<<19))
	case 5:
		err = os.WriteFile(fresh, data, 0o640)
	case 6: // replaced, as programs do that must not lose a file
		if err = os.WriteFile(fresh, data, 0o640); err == nil {
			err = os.Rename(fresh, file)
		}
	case 7:
		if entry != tree {
			err = os.RemoveAll(entry)
		}
	case 8:
		err = os.Link(file, fresh)
	case 9:
		if entry != tree && !within(entry, fresh) {
			err = os.Rename(entry, fresh)
		}
	case 10:
		err = os.Symlink("../x", fresh)
	case 11:
		err = unix.Chmod(pick(0, fs.ModeDir), uint32(random.IntN(1<<12))|0o700)
		if err == nil {
			err = unix.Lchown(entry, random.IntN(1<<20), random.IntN(1<<20))
		}
	case 12:
		target := pick(0, fs.ModeDir)
		if err = unix.Setxattr(target, fmt.Sprint("user.", random.IntN(3)), data[:min(len(data), 100)], 0); err == nil && random.IntN(2) == 0 {
			err = unix.Removexattr(target, "user.0")
		}
		if err == unix.ENODATA {
			err = nil
		}
	case 13: // the time of before says nothing
		if _, err = f.WriteAt(data, 0); err == nil {
			err = os.Chtimes(file, info.ModTime(), info.ModTime())
		}
	case 14: // another kind of thing
		if entry != tree {
			if err = os.RemoveAll(entry); err == nil {
				if random.IntN(2) == 0 {
					err = os.MkdirAll(filepath.Join(entry, "in"), 0o755)
				} else {
					err = os.WriteFile(entry, data, 0o600)
				}
			}
		}
	}
	require.NoError(t, err)
}

func within(folder, path string) bool {
	relative, err := filepath.Rel(folder, path)
	return err == nil && filepath.IsLocal(relative)
}

// Live passes take a tree as it comes; what they found moving is right in the end.
func TestEditsDuringPasses(t *testing.T) {
	for name, place := range places(t) {
		t.Run(name, func(t *testing.T) {
			tree := filepath.Join(place, "tree")
			require.NoError(t, os.Mkdir(tree, 0o700))
			random := rand.New(rand.NewPCG(3, 4))
			for range 4 {
				treetest.Grow(t, random, tree, 3)
			}
			p := connect(t, tree)
			unsettled := int64(0)
			for range 3 {
				stop, stopped := make(chan struct{}), make(chan struct{})
				go func() {
					defer close(stopped)
					for {
						select {
						case <-stop:
							return
						default:
							edit(t, random, tree)
						}
					}
				}()
				for range 15 {
					unsettled += p.live(t).Unsettled
				}
				close(stop)
				<-stopped
				p.final(t)
				same(t, tree, p.place)
			}
			require.Positive(t, unsettled)
		})
	}
}
