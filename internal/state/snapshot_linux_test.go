package state_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/quiesce"
	"homelab/internal/state"
	"homelab/internal/tree/treetest"
	"homelab/registry"
)

var snapshot = quiesce.Method{Kind: quiesce.Snapshot}

// newFlatOn is a flat whose volumes are on a file system of that kind.
func newFlatOn(t *testing.T, kind string) *flat {
	t.Helper()
	f := newFlat(t)
	f.site.dir = treetest.Mount(t, kind, 512<<20)
	t.Cleanup(f.site.reads.Wait) // before that is unmounted
	f.write("data/config", "one")
	return f
}

// The service goes on before what was cloned is read: what it does then is not captured,
// and no conflict.
func TestTakeSnapshots(t *testing.T) {
	for _, kind := range []string{"xfs", "btrfs"} {
		t.Run(kind, func(t *testing.T) {
			f := newFlatOn(t, kind)
			f.engine.Fail = func(call string) error {
				switch call {
				case "pause":
					f.write("data/config", "when it was paused")
					f.write("data/folder/late", strings.Repeat("late", 1<<18))
				case "unpause":
					f.write("data/config", "after it was woken")
					f.write("data/new", "after it was woken")
					require.NoError(t, os.RemoveAll(filepath.Join(f.site.dir, "data", "folder")))
				}
				return nil
			}
			capture, found, err := f.take(snapshot, time.Minute, nil)
			require.NoError(t, err)
			assert.Equal(t, map[string]string{"0/config": "when it was paused", "0/folder/late": strings.Repeat("late", 1<<18)}, found)
			assert.Equal(t, []any{quiesce.Snapshot, ""}, []any{capture.Level, capture.Uncloned})
			assert.Equal(t, deploy.Running, f.is().State)
			assert.InDelta(t, capture.Outage, capture.Parts.Freeze+capture.Parts.Copy+capture.Parts.Wake, 0.001)
			assert.Positive(t, capture.Parts.Predicted)
		})
	}
}

// What a writer of a log, a map and a database wrote until it stood still is captured, in
// a copy of its own and in one that is kept.
func TestSnapshotsOfWhatWrites(t *testing.T) {
	for _, kind := range []string{"xfs", "btrfs"} {
		for _, keep := range []bool{false, true} {
			t.Run(fmt.Sprint(kind, keep), func(t *testing.T) {
				f, copies := newFlatOn(t, kind), t.TempDir()
				f.writer = newWriter(t, filepath.Join(f.site.dir, "data", "records"))
				for range 3 {
					capture, _, err := f.take(snapshot, time.Minute, func(c *state.Capturing) {
						if c.Keep = keep; keep {
							root, err := os.OpenRoot(copies)
							require.NoError(t, err)
							t.Cleanup(func() { root.Close() })
							c.Copies = root
						}
					})
					require.NoError(t, err)
					assert.Equal(t, quiesce.Snapshot, capture.Level, capture.Uncloned)
				}
			})
		}
	}
}

// What one file system cannot clone is copied while the service stands still, and that is
// what is told; what another can is read later all the same.
func TestTakeSnapshotsWhereSomeCanBe(t *testing.T) {
	f := newFlatOn(t, "btrfs")
	memory := filepath.Join(f.site.dir, "memory")
	require.NoError(t, os.Mkdir(memory, 0o700))
	require.NoError(t, unix.Mount("tmpfs", memory, "tmpfs", 0, ""))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(memory, unix.MNT_DETACH)) })
	f.write("memory/file", "one")
	f.engine.Fail = func(call string) error {
		if call == "pause" || call == "unpause" {
			f.write("data/config", call)
			f.write("memory/file", call)
		}
		return nil
	}
	var said []string
	both := func(c *state.Capturing) {
		c.Items = append(c.Items, registry.StateItem{Volume: "memory"})
		c.Report = func(message string) { said = append(said, message) }
	}
	capture, found, err := f.take(snapshot, time.Minute, both)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"0/config": "pause", "1/file": "pause"}, found)
	assert.Equal(t, []any{quiesce.Pause, "memory: there are no clones on its file system"}, []any{capture.Level, capture.Uncloned})
	assert.Equal(t, "web stands still until the last is copied: memory: there are no clones on its file system", said[len(said)-1])

	// Something that nobody saw before it came to rest.
	f.engine.Fail = func(call string) error {
		if call == "pause" {
			inner := filepath.Join(f.site.dir, "data", "mounted")
			require.NoError(t, os.Mkdir(inner, 0o700))
			require.NoError(t, unix.Mount("tmpfs", inner, "tmpfs", 0, ""))
			t.Cleanup(func() { require.NoError(t, unix.Unmount(inner, unix.MNT_DETACH)) })
			f.write("data/mounted/file", "there")
		}
		return nil
	}
	capture, found, err = f.take(snapshot, time.Minute, nil)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"0/config": "unpause", "0/mounted/file": "there"}, found)
	assert.Equal(t, []any{quiesce.Pause, `data: "mounted/file": it is on another file system`}, []any{capture.Level, capture.Uncloned})
}

// A service that does not run is copied as it is.
func TestTakeSnapshotsOfWhatDoesNotRun(t *testing.T) {
	f := newFlatOn(t, "xfs")
	require.NoError(t, f.engine.Pause(t.Context(), f.id))
	capture, found, err := f.take(snapshot, time.Minute, nil)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"0/config": "one"}, found)
	assert.Equal(t, quiesce.Pause, capture.Level, "somebody has paused it")
	require.NoError(t, f.engine.Stop(t.Context(), f.id, 0))
	capture, _, err = f.take(snapshot, time.Minute, nil)
	require.NoError(t, err)
	assert.Equal(t, quiesce.Stop, capture.Level)
}

// Cloning is given up when the budget is over, and a copy that fails afterwards leaves the
// service as it is.
func TestTakeSnapshotsFails(t *testing.T) {
	f := newFlatOn(t, "xfs")
	resting, woken := false, false
	f.engine.Fail = func(call string) error {
		resting, woken = resting || call == "pause", woken || call == "unpause"
		return nil
	}
	f.site.each = func(s io.ReadWriteCloser) io.ReadWriteCloser {
		return slow{s, func() time.Duration {
			if resting {
				return 500 * time.Millisecond
			}
			return 0
		}}
	}
	_, _, err := f.take(snapshot, 400*time.Millisecond, nil)
	require.True(t, resting)
	assert.Equal(t, fault.Timeout, fault.CodeOf(err), "%v", err)
	assert.Equal(t, deploy.Running, f.is().State)

	f.write("data/config", "two")
	woken = false
	f.site.each = func(s io.ReadWriteCloser) io.ReadWriteCloser { return &cut{s, func() bool { return woken }} }
	_, _, err = f.take(snapshot, time.Minute, nil)
	assert.ErrorContains(t, err, "data: ")
	assert.True(t, woken)
	assert.Equal(t, deploy.Running, f.is().State)
}

// A copy that is kept for the next capture is brought up to date from clones.
func TestTakeSnapshotsIntoAKeptCopy(t *testing.T) {
	f := newFlatOn(t, "btrfs")
	f.write("data/large", strings.Repeat("x", 1<<20))
	copies := t.TempDir()
	sent := func() (sent int64) {
		capture, _, err := f.take(snapshot, time.Minute, func(c *state.Capturing) {
			root, err := os.OpenRoot(copies)
			require.NoError(t, err)
			t.Cleanup(func() { root.Close() })
			c.Copies, c.Keep = root, true
		})
		require.NoError(t, err)
		require.Equal(t, quiesce.Snapshot, capture.Level)
		for _, pass := range capture.Passes {
			sent += pass.Sent
		}
		return sent
	}
	assert.Greater(t, sent(), int64(1<<20))
	f.engine.Fail = func(call string) error {
		if call == "pause" || call == "unpause" {
			f.write("data/config", call)
		}
		return nil
	}
	for range 2 {
		assert.Less(t, sent(), int64(10_000))
		content, err := os.ReadFile(filepath.Join(copies, "0", "config"))
		require.NoError(t, err)
		assert.Equal(t, "pause", string(content))
	}
}

// A database that is written to all the while is captured as it was when it stood still,
// with each row that was acknowledged.
func TestSnapshotsOfSQLite(t *testing.T) {
	for _, kind := range []string{"xfs", "btrfs"} {
		for _, setup := range []string{"PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=20; ", "PRAGMA journal_mode=delete; PRAGMA cache_size=2; "} {
			t.Run(kind+setup, func(t *testing.T) {
				s, dir := newSubjectIn(newFlatOn(t, kind), registry.Quiesce{Kind: "snapshot"}, quiesce.Snapshot)
				shell := s.sqlite(dir, setup)
				s.rows = []*rows{feed(t, func(n int) error { return shell.do(insert(n), fmt.Sprint(n)) })}
				s.rounds(4, 60)
			})
		}
	}
}
