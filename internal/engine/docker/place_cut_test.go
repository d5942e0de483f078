package docker_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"homelab/internal/deploy/deploytest"
	"homelab/internal/engine/docker"
	"homelab/internal/engine/docker/dockertest"
	"homelab/internal/fault"
	"homelab/internal/state"
	"homelab/internal/state/statetest"
	"homelab/internal/tree/treetest"
	"homelab/registry"
)

// ward is a volume that is swapped from afar, whose sidecars are cut.
type ward struct {
	lab
	t      *testing.T
	place  state.Place
	work   string
	item   registry.StateItem
	at     string // the folder of the volume
	tree   string // what is to take its place
	before map[string]treetest.Attributes
	after  map[string]treetest.Attributes
}

const swapID = "20260314T120000Z-00000000.0"

// newWard makes one with so many files, and one of some size that is to come.
func newWard(t *testing.T, files, size int) *ward {
	t.Helper()
	w := &ward{lab: newLab(t), t: t, work: t.TempDir(), tree: t.TempDir(), item: registry.StateItem{Volume: "wiki"}}
	w.place = open(t, "unix://"+w.socket).Afar(sidecars(t), w.work)
	w.at = w.volume(t, "wiki", nil)
	for i := range files {
		require.NoError(t, os.WriteFile(filepath.Join(w.at, fmt.Sprint("old-", i)), nil, 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(w.tree, fmt.Sprint("new-", i)), nil, 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(w.tree, "data"), []byte(strings.Repeat("data", size/4)), 0o600))
	w.before, w.after = treetest.Read(t, w.at), treetest.Read(t, w.tree)
	return w
}

func (w *ward) is() map[string]treetest.Attributes {
	w.t.Helper()
	all := treetest.Read(w.t, w.at)
	for name := range all {
		if strings.HasPrefix(name, ".homelab-") {
			delete(all, name)
		}
	}
	return all
}

func (w *ward) open() state.Target {
	w.t.Helper()
	target, err := w.place.Target(w.t.Context(), "web", w.item)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = target.Close() })
	return target
}

// stage has what is to come staged, and not delivered.
func (w *ward) stage(target state.Target) {
	w.t.Helper()
	root, name, err := target.Stage(w.t.Context(), swapID)
	require.NoError(w.t, err)
	defer root.Close()
	statetest.Bring(w.t, w.tree, root, name)
}

// undone has another process undo it.
func (w *ward) undone() {
	w.t.Helper()
	other := w.open()
	require.NoError(w.t, other.Back(w.t.Context(), swapID))
	require.NoError(w.t, other.Discard(w.t.Context(), swapID))
	assert.Equal(w.t, w.before, treetest.Read(w.t, w.at))
	left, err := os.ReadDir(w.work)
	require.NoError(w.t, err)
	assert.Empty(w.t, left)
	require.NoError(w.t, other.Close())
}

// swappers are the sidecars that run and may change something.
func (w *ward) swappers() []string {
	found, err := w.api.ContainerList(context.Background(), container.ListOptions{Filters: filters.NewArgs(filters.Arg("label", "homelab.sidecar=place of wiki"))})
	assert.NoError(w.t, err)
	ids := []string{}
	for _, c := range found {
		ids = append(ids, c.ID)
	}
	return ids
}

func (w *ward) kill() {
	for _, id := range w.swappers() {
		_ = w.api.ContainerKill(context.Background(), id, "KILL") // it may have ended
	}
}

// A sidecar that is killed between two calls is replaced by the next one.
func TestPlaceIsCutBetweenCalls(t *testing.T) {
	w := newWard(t, 10, 100)
	target := w.open()
	w.stage(target)
	w.kill()
	require.NoError(t, target.Deliver(t.Context(), swapID))
	w.kill()
	require.NoError(t, target.Swap(t.Context(), swapID))
	assert.Equal(t, w.after, w.is())
	require.Len(t, w.swappers(), 1)

	// What another process has left is removed before something is changed.
	other := w.open()
	_, err := other.Look(t.Context(), 0)
	require.NoError(t, err)
	lost := w.swappers()
	require.Len(t, lost, 1, "who only looks removes nobody")
	require.NoError(t, other.Back(t.Context(), swapID))
	now := w.swappers()
	require.Len(t, now, 1)
	assert.NotEqual(t, lost, now)
	require.NoError(t, other.Close())
	w.undone()
	w.nothingLeft(t)
}

// What is killed while it is delivered, or swapped, is undone by the next.
func TestPlaceIsCutInTheMidst(t *testing.T) {
	w := newWard(t, 1000, 100_000_000)
	t.Run("delivering", func(t *testing.T) {
		for name, do := range map[string]func(target state.Target, stop func()){
			"the sidecars are killed": func(_ state.Target, _ func()) { w.kill() },
			"who asked gives up":      func(_ state.Target, stop func()) { stop() },
		} {
			t.Run(name, func(t *testing.T) {
				target := w.open()
				w.stage(target)
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				var cut sync.WaitGroup
				cut.Go(func() {
					for len(w.swappers()) < 2 && ctx.Err() == nil {
						time.Sleep(time.Millisecond)
					}
					do(target, stop)
				})
				err := target.Deliver(ctx, swapID)
				require.Error(t, err)
				assert.Contains(t, []fault.Code{fault.HostUnreachable, fault.Precondition, fault.Canceled}, fault.CodeOf(err), "%v", err)
				cut.Wait()
				w.undone()
			})
		}
	})
	t.Run("swapping", func(t *testing.T) {
		target := w.open()
		w.stage(target)
		require.NoError(t, target.Deliver(t.Context(), swapID))
		for _, after := range []time.Duration{0, 3, 10, 30} {
			for name, do := range map[string]func(stop func()){"killed": func(func()) { w.kill() }, "given up": func(stop func()) { stop() }} {
				target := w.open()
				require.NoError(t, target.Back(t.Context(), swapID), "it is at hand from here on")
				ctx, stop := context.WithCancel(t.Context())
				var cut sync.WaitGroup
				cut.Go(func() {
					time.Sleep(after * time.Millisecond)
					do(stop)
				})
				err := target.Swap(ctx, swapID)
				cut.Wait()
				stop()
				t.Logf("%s after %d ms: %v", name, after, err)
				if err == nil {
					assert.Equal(t, w.after, w.is(), name)
				} else {
					assert.True(t, errors.Is(err, context.Canceled) && name == "given up", "%v", err)
				}
				require.NoError(t, w.open().Back(t.Context(), swapID))
				assert.Equal(t, w.before, w.is())
				require.NoError(t, target.Close())
			}
		}
		w.undone()
	})
	w.nothingLeft(t)
}

// An engine that dies leaves it to be undone.
func TestPlaceLosesItsEngine(t *testing.T) {
	w := newWard(t, 10, 100)
	target := w.open()
	w.stage(target)
	require.NoError(t, target.Deliver(t.Context(), swapID))
	require.NoError(t, target.Swap(t.Context(), swapID))
	revive := dockertest.Kill(t, w.socket)
	err := target.Back(t.Context(), swapID)
	assert.Contains(t, []fault.Code{fault.EngineUnavailable, fault.HostUnreachable}, fault.CodeOf(err), "%v", err)
	revive()
	require.NoError(t, target.Back(t.Context(), swapID))
	assert.Equal(t, w.before, w.is())
	w.undone()
	require.NoError(t, open(t, "unix://"+w.socket).Sweep(t.Context()))
	w.soonNothingLeft(t)
}

// A disk that is too full there is told as such, and has what it had.
func TestPlaceOnAFullDisk(t *testing.T) {
	disk := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", disk, "tmpfs", 0, "size=1m"))
	t.Cleanup(func() { assert.NoError(t, unix.Unmount(disk, unix.MNT_DETACH)) })
	w := newWard(t, 10, 2_000_000) // its engine sees the disk, too
	w.at, w.item = filepath.Join(disk, "data"), registry.StateItem{Path: filepath.Join(disk, "data")}
	require.NoError(t, os.Mkdir(w.at, 0o750))
	require.NoError(t, os.WriteFile(filepath.Join(w.at, "old"), []byte("old"), 0o600))
	w.before = treetest.Read(t, w.at)
	target := w.open()
	found, err := target.Look(t.Context(), 0)
	require.NoError(t, err)
	assert.Less(t, found.Free, int64(1<<20))
	w.stage(target)
	err = target.Deliver(t.Context(), swapID)
	assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
	assert.ErrorContains(t, err, "no space is left")
	w.undone()
}

// What a sidecar is that swaps, a shell in its place shows.
func TestSwapperIsConfined(t *testing.T) {
	l := newLab(t)
	e := open(t, "unix://"+l.socket)
	load(t, e, deploytest.Behaviour{})
	tree := l.volume(t, "wiki", nil)
	require.NoError(t, os.Mkdir(filepath.Join(tree, "theirs"), 0o700))
	require.NoError(t, os.Chown(filepath.Join(tree, "theirs"), 1000, 1000))
	assert.Equal(t, "mv /item/theirs /item/mine went well\nlo\nCapEff:\t000000000000001b\nNoNewPrivs:\t1\nSeccomp:\t2\n", l.shell(t, docker.Swapping("wiki"), `
for c in 'mv /item/theirs /item/mine' 'touch /new' 'mknod /item/disk b 8 0' 'mount -t tmpfs tmpfs /item'; do
  $c 2>/dev/null && echo "$c went well"
done
ls /sys/class/net; grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status; true`))
}
