package mirror_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"homelab/internal/fault"
	"homelab/internal/mirror"
	"homelab/internal/tree/treetest"
)

const diskSize = 512 << 20

// asking is a sink that asks for passes with clones.
type asking struct {
	*mirror.Sink
	t     *testing.T
	place string
}

func ask(t *testing.T, tree, name string, exclude ...string) *asking {
	t.Helper()
	here, there := net.Pipe()
	source, err := mirror.NewSource(here, mirror.Tree{Root: root(t, tree), Name: name, Exclude: exclude})
	require.NoError(t, err)
	into := t.TempDir()
	sink, err := mirror.NewSink(there, mirror.Place{Root: root(t, into), Name: "copy", Privileged: true})
	require.NoError(t, err)
	sink.AskForClones()
	over, ctx := make(chan error, 1), t.Context()
	go func() { over <- source.Serve(ctx) }()
	t.Cleanup(func() {
		_ = sink.Close()
		<-over
		_ = source.Close()
	})
	return &asking{sink, t, filepath.Join(into, "copy")}
}

func (a *asking) live() *mirror.Report {
	a.t.Helper()
	report, err := a.Pass(a.t.Context(), false)
	require.NoError(a.t, err)
	return report
}

// hold begins a last pass, of which nothing is left to read in the tree.
func (a *asking) hold() {
	a.t.Helper()
	report, err := a.Hold(a.t.Context())
	require.NoError(a.t, err)
	require.Nil(a.t, report, "it is held")
}

func (a *asking) finish() *mirror.Report {
	a.t.Helper()
	report, err := a.Finish(a.t.Context())
	require.NoError(a.t, err)
	assert.True(a.t, report.Cloned)
	assert.Empty(a.t, report.Uncloned)
	return report
}

// wreck does away with everything in a tree, the data first.
func wreck(t *testing.T, tree string) {
	t.Helper()
	_ = filepath.WalkDir(tree, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			_ = unix.Chmod(path, 0o600)
			if f, err := os.OpenFile(path, os.O_WRONLY, 0); err == nil {
				_, _ = f.WriteString(strings.Repeat("wrecked", 1<<14))
				_ = f.Close()
			}
		}
		return nil
	})
	names, err := os.ReadDir(tree)
	require.NoError(t, err)
	for _, name := range names {
		require.NoError(t, os.RemoveAll(filepath.Join(tree, name.Name())))
	}
}

// matches holds a copy against what a tree was. File systems put holes where they like,
// and xfs shows access control lists twice.
func matches(t *testing.T, want map[string]treetest.Attributes, copy string) {
	t.Helper()
	got := treetest.Read(t, copy)
	for path, a := range want {
		there := got[path]
		a.Holes, there.Holes = "", ""
		maps.DeleteFunc(a.Xattrs, func(name, _ string) bool { return strings.HasPrefix(name, "trusted.SGI_") })
		assert.Equal(t, a, there, "%q", path)
		delete(got, path)
	}
	require.Empty(t, got)
}

// What was cloned is copied as it was, whatever becomes of the tree.
func TestWhatIsHeldIsTheTree(t *testing.T) {
	for _, kind := range []string{"xfs", "btrfs"} {
		for _, live := range []int{0, 1, 2} {
			t.Run(fmt.Sprint(kind, live), func(t *testing.T) {
				tree := filepath.Join(treetest.Mount(t, kind, diskSize), "tree")
				require.NoError(t, os.Mkdir(tree, 0o700))
				treetest.Nasty(t, tree)
				mapped := mapFile(t, filepath.Join(tree, "mapped"))
				if kind == "btrfs" {
					inPlace(t, filepath.Join(tree, "in place"))
					require.NoError(t, exec.Command("btrfs", "-q", "subvolume", "create", tree+"/inner").Run())
					require.NoError(t, os.WriteFile(tree+"/inner/file", []byte("of another subvolume"), 0o600))
				}
				a := ask(t, tree, "")
				for range live {
					report := a.live()
					assert.True(t, report.Cloned, report.Uncloned)
					assert.Positive(t, report.Clone)
				}
				mapped[123456]++ // and the page is not on the disk
				require.NoError(t, os.WriteFile(tree+"/late", []byte("late"), 0o600))
				want := treetest.Read(t, tree)
				a.hold()
				wreck(t, tree)
				a.finish()
				matches(t, want, a.place)
			})
		}
	}
}

// mapFile makes a file of 3 MiB, and maps it.
func mapFile(t *testing.T, path string) []byte {
	t.Helper()
	require.NoError(t, os.WriteFile(path, make([]byte, 3<<20), 0o600))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	data, err := unix.Mmap(int(f.Fd()), 0, 3<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, unix.Munmap(data)) })
	return data
}

// inPlace makes a file as databases on btrfs often are.
func inPlace(t *testing.T, path string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, exec.Command("chattr", "+C", path).Run())
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("in place", 1<<16)), 0o600))
}

// The copy of what was held is the tree, whatever is done to it in between and meanwhile.
func TestRandomEditsAreHeld(t *testing.T) {
	for _, kind := range []string{"xfs", "btrfs"} {
		disk := treetest.Mount(t, kind, diskSize)
		for seed := range uint64(4) {
			t.Run(fmt.Sprint(kind, seed), func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 6))
				tree := filepath.Join(disk, fmt.Sprint(seed))
				require.NoError(t, os.Mkdir(tree, 0o700))
				for range 3 {
					treetest.Grow(t, random, tree, 3)
				}
				a := ask(t, tree, "")
				for range 4 {
					if random.IntN(3) > 0 {
						a.live()
					}
					for range random.IntN(20) {
						edit(t, random, tree)
					}
					want := treetest.Read(t, tree)
					a.hold()
					for range 20 {
						edit(t, random, tree)
					}
					a.finish()
					matches(t, want, a.place)
				}
			})
		}
	}
}

// A writer is held up until all is cloned, and goes on while it is copied.
func TestAWriterThatIsHeldUpForClones(t *testing.T) {
	for _, kind := range []string{"xfs", "btrfs"} {
		t.Run(kind, func(t *testing.T) {
			tree := treetest.Mount(t, kind, diskSize)
			c := exec.Command(os.Args[0])
			c.Env = append(os.Environ(), "MIRROR_TEST_WRITER="+tree)
			_, said := begin(t, c)
			t.Cleanup(func() { // before the disk goes
				_ = c.Process.Kill()
				_, _ = c.Process.Wait()
			})
			goOn := func(until uint64) {
				for n := uint64(0); n <= until; {
					_, err := fmt.Fscanln(said, &n)
					require.NoError(t, err)
				}
			}
			a, last := ask(t, tree, ""), uint64(0)
			for range 4 {
				goOn(last)
				a.live()
				treetest.Freeze(t, c.Process.Pid)
				log, err := os.Stat(tree + "/log")
				require.NoError(t, err)
				a.hold()
				require.NoError(t, syscall.Kill(c.Process.Pid, syscall.SIGCONT))
				last = uint64(log.Size()) / 26
				goOn(last)
				a.finish()
				assert.Equal(t, last, treetest.Written(t, a.place), "the last that was written before it was held up")
			}
		})
	}
}

// Where something cannot be cloned the pass reads it while the tree is at rest, and says so.
func TestWhatCannotBeCloned(t *testing.T) {
	t.Run("no clones", func(t *testing.T) {
		tree := treetest.Mount(t, "ext4", 64<<20)
		require.NoError(t, os.WriteFile(tree+"/file", []byte("x"), 0o600))
		notHeld(t, tree, "there are no clones on its file system")
	})
	t.Run("made without", func(t *testing.T) {
		tree := treetest.Mount(t, "xfs", diskSize, "-m", "reflink=0")
		require.NoError(t, os.WriteFile(tree+"/file", []byte("x"), 0o600))
		notHeld(t, tree, "there are no clones on its file system")
	})
	t.Run("tmpfs", func(t *testing.T) {
		tree := places(t)["memory"]
		require.NoError(t, os.WriteFile(tree+"/file", []byte("x"), 0o600))
		notHeld(t, tree, "there are no clones on its file system")
	})
	t.Run("to be read", func(t *testing.T) {
		tree, seen := treetest.Mount(t, "xfs", diskSize), t.TempDir()
		require.NoError(t, os.WriteFile(tree+"/file", []byte("x"), 0o600))
		require.NoError(t, unix.Mount(tree, seen, "", unix.MS_BIND, ""))
		t.Cleanup(func() { require.NoError(t, unix.Unmount(seen, unix.MNT_DETACH)) })
		require.NoError(t, unix.Mount("", seen, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
		notHeld(t, seen, "it is reached by a sidecar, or mounted to be read")
	})
	t.Run("another disk below", func(t *testing.T) {
		tree := treetest.Mount(t, "xfs", diskSize)
		for _, name := range []string{"a", "m", "z"} {
			require.NoError(t, os.Mkdir(tree+"/"+name, 0o700))
			require.NoError(t, os.WriteFile(tree+"/"+name+"/before", []byte("here"), 0o600))
		}
		require.NoError(t, unix.Mount("tmpfs", tree+"/m", "tmpfs", 0, ""))
		t.Cleanup(func() { require.NoError(t, unix.Unmount(tree+"/m", unix.MNT_DETACH)) })
		require.NoError(t, os.WriteFile(tree+"/m/file", []byte("there"), 0o600))
		notHeld(t, tree, `"m/file": it is on another file system`)
	})
}

func notHeld(t *testing.T, tree, why string) {
	t.Helper()
	for _, live := range []bool{false, true} {
		a := ask(t, tree, "")
		if live {
			report := a.live()
			assert.False(t, report.Cloned)
			assert.Equal(t, why, report.Uncloned)
		}
		report, err := a.Hold(t.Context())
		require.NoError(t, err)
		require.NotNil(t, report)
		assert.False(t, report.Cloned)
		_, reason, _ := strings.Cut(": "+why, ": ") // of the first that it had to read
		assert.Contains(t, report.Uncloned, reason)
		matches(t, treetest.Read(t, tree), a.place)
	}
}

// A disk that is full has the pass read what it cannot clone; nothing is left of that.
func TestADiskWithoutRoomForClones(t *testing.T) {
	disk := treetest.Mount(t, "xfs", diskSize)
	tree, rest := disk+"/tree", disk+"/rest"
	require.NoError(t, os.Mkdir(tree, 0o700))
	f, err := os.Create(tree + "/torn") // its clone has as many parts
	require.NoError(t, err)
	block := []byte(strings.Repeat("x", 4096))
	for i := range int64(20_000) {
		_, err := f.WriteAt(block, 2*i*int64(len(block)))
		require.NoError(t, err)
	}
	require.NoError(t, f.Sync())
	require.NoError(t, f.Close())
	filler, err := os.Create(rest)
	require.NoError(t, err)
	defer filler.Close()
	var end int64
	for left := int64(1); left > 0; end += left { // what the file system gives back late, too
		unix.Sync()
		var room unix.Statfs_t
		require.NoError(t, unix.Statfs(disk, &room))
		left = int64(room.Bavail)*room.Bsize - 128<<10 // enough to begin with
		if left = min(left, 8<<20); left > 0 {
			require.NoError(t, unix.Fallocate(int(filler.Fd()), 0, end, left))
		}
	}
	for _, live := range []bool{false, true} {
		a := ask(t, tree, "")
		if live {
			report := a.live()
			assert.Equal(t, "\"torn\": its disk has no room for a clone", report.Uncloned)
		}
		report, err := a.Hold(t.Context())
		require.NoError(t, err)
		require.NotNil(t, report)
		assert.Equal(t, "\"torn\": its disk has no room for a clone", report.Uncloned)
		matches(t, treetest.Read(t, tree), a.place)
	}
}

// A single file is cloned on the file system of its folder.
func TestAFileIsHeld(t *testing.T) {
	tree := treetest.Mount(t, "xfs", diskSize)
	require.NoError(t, os.WriteFile(tree+"/file", []byte("then"), 0o600))
	a := ask(t, tree, "file")
	a.hold()
	require.NoError(t, os.WriteFile(tree+"/file", []byte("now"), 0o600))
	a.finish()
	content, err := os.ReadFile(a.place)
	require.NoError(t, err)
	assert.Equal(t, "then", string(content))
}

// What changes after it was cloned, and before the whole tree was looked at, is a
// conflict: nobody goes on, or is told that the tree was at rest.
func TestWhatChangesBeforeItIsHeld(t *testing.T) {
	tree := treetest.Mount(t, "xfs", diskSize)
	for _, name := range []string{"first", "second"} {
		require.NoError(t, os.WriteFile(tree+"/"+name, []byte("x"), 0o600))
	}
	a := ask(t, tree, "")
	whenOpened(t, tree+"/second", func() error { return os.WriteFile(tree+"/first", []byte("longer"), 0o600) })
	_, err := a.Hold(t.Context())
	assert.Equal(t, fault.Conflict, fault.CodeOf(err), "%v", err)
	assert.ErrorContains(t, err, `"first" changed`)
}

// whenOpened has something happen before a file is opened for the first time.
func whenOpened(t *testing.T, path string, happen func() error) {
	t.Helper()
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC, unix.O_RDONLY)
	require.NoError(t, err)
	require.NoError(t, unix.FanotifyMark(fd, unix.FAN_MARK_ADD, unix.FAN_OPEN_PERM, unix.AT_FDCWD, path))
	over := make(chan error, 1)
	go func() {
		var event [4096]byte
		_, err := unix.Read(fd, event[:])
		if err == nil {
			about := (*unix.FanotifyEventMetadata)(unsafe.Pointer(&event))
			answer := binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(nil, uint32(about.Fd)), unix.FAN_ALLOW)
			err = happen()
			_, failed := unix.Write(fd, answer)
			err = errors.Join(err, failed, unix.Close(int(about.Fd)), unix.Close(fd))
		}
		over <- err
	}()
	t.Cleanup(func() { require.NoError(t, <-over) })
}

// Nothing is left of the clones of a process that is killed.
func TestAKilledProcessLeavesNoClones(t *testing.T) {
	for _, kind := range []string{"xfs", "btrfs"} {
		t.Run(kind, func(t *testing.T) {
			tree := treetest.Mount(t, kind, diskSize)
			require.NoError(t, os.WriteFile(tree+"/small", nil, 0o600))
			free := func() int64 {
				var stat unix.Statfs_t
				require.NoError(t, unix.Mount("", tree, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
				require.NoError(t, unix.Mount("", tree, "", unix.MS_REMOUNT, ""))
				require.NoError(t, unix.Statfs(tree, &stat))
				return int64(stat.Bfree) * stat.Bsize
			}
			before := free()
			require.NoError(t, exec.Command("dd", "if=/dev/urandom", "of="+tree+"/large", "bs=1M", "count=64", "conv=fsync").Run())
			c := exec.Command(os.Args[0])
			c.Env = append(os.Environ(), "MIRROR_TEST_HOLDER="+tree)
			_, said := begin(t, c)
			line, err := said.ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, "held\n", line)
			require.NoError(t, os.Remove(tree+"/large"))
			require.NoError(t, c.Process.Kill())
			_, err = c.Process.Wait()
			require.NoError(t, err)
			names, err := os.ReadDir(tree)
			require.NoError(t, err)
			assert.Len(t, names, 1)
			assert.InDelta(t, before, free(), 8<<20)
		})
	}
}

// holder holds clones of a tree for ever.
func holder(tree string) error {
	r, err := os.OpenRoot(tree)
	if err != nil {
		return err
	}
	into, err := os.MkdirTemp("", "holder")
	if err != nil {
		return err
	}
	defer os.RemoveAll(into)
	place, err := os.OpenRoot(into)
	if err != nil {
		return err
	}
	here, there := net.Pipe()
	source, err := mirror.NewSource(here, mirror.Tree{Root: r})
	if err != nil {
		return err
	}
	go func() { _ = source.Serve(context.Background()) }()
	sink, err := mirror.NewSink(there, mirror.Place{Root: place, Name: "copy"})
	if err != nil {
		return err
	}
	if report, err := sink.Hold(context.Background()); err != nil || report != nil {
		return fmt.Errorf("it is not held: %+v: %w", report, err)
	}
	fmt.Println("held")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
