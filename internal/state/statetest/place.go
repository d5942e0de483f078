package statetest

import (
	"errors"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/mirror"
	"homelab/internal/state"
	"homelab/internal/swap"
	"homelab/internal/tree/treetest"
	"homelab/registry"
)

// Host is where a place is tested.
type Host struct {
	Place  state.Place
	Volume func(t *testing.T) string           // makes one
	Files  func(t *testing.T, v string) string // the folder of its files
	Has    func(t *testing.T) []string         // the names of its volumes
	Folder func(t *testing.T) string           // makes one
	Mount  func(t *testing.T, at string)       // mounts something at a folder
}

// scene is an item with something that is to take its place.
type scene struct {
	t      *testing.T
	host   Host
	item   registry.StateItem
	at     string // where the test sees it
	before map[string]treetest.Attributes
	after  map[string]treetest.Attributes
	tree   string // what it is to become
}

// Places runs the suite that every place passes.
func Places(t *testing.T, host Host) {
	path := func(t *testing.T, name string) (registry.StateItem, string) {
		at := filepath.Join(host.Folder(t), name)
		return registry.StateItem{Path: at}, at
	}
	for what, make := range map[string]func(t *testing.T) *scene{
		"a volume": func(t *testing.T) *scene {
			name := host.Volume(t)
			at := host.Files(t, name)
			treetest.Nasty(t, at)
			return host.scene(t, registry.StateItem{Volume: name}, at, true)
		},
		"a volume that is empty": func(t *testing.T) *scene {
			name := host.Volume(t)
			return host.scene(t, registry.StateItem{Volume: name}, host.Files(t, name), true)
		},
		"a folder": func(t *testing.T) *scene {
			item, at := path(t, "a folder")
			require.NoError(t, os.Mkdir(at, 0o710))
			treetest.Nasty(t, at)
			return host.scene(t, item, at, true)
		},
		"a file": func(t *testing.T) *scene {
			item, at := path(t, "file.conf")
			require.NoError(t, os.WriteFile(at, []byte("old"), 0o640))
			return host.scene(t, item, at, false)
		},
		"a folder where nothing is": func(t *testing.T) *scene {
			item, at := path(t, "none")
			return host.scene(t, item, at, true)
		},
		"a file where nothing is": func(t *testing.T) *scene {
			item, at := path(t, "none.conf")
			return host.scene(t, item, at, false)
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Run("is swapped and committed", func(t *testing.T) { make(t).committed() })
			t.Run("is swapped back by another", func(t *testing.T) { make(t).back() })
			t.Run("is discarded", func(t *testing.T) { make(t).discarded() })
		})
	}
	t.Run("a volume that is not there is made, and not by who looks", func(t *testing.T) {
		item, before := registry.StateItem{Volume: "made-" + strings.ToLower(state.NewID(time.Now()))}, host.Has(t)
		view, err := host.Place.View(t.Context(), "wiki", item)
		require.NoError(t, err)
		seen, err := view.Look(t.Context(), 10)
		require.NoError(t, err)
		_, _, err = view.Stage(t.Context(), swapID)
		assert.Equal(t, fault.NotFound, fault.CodeOf(err), "%v", err)
		require.NoError(t, view.Close())
		assert.ElementsMatch(t, before, host.Has(t))

		target, err := host.Place.Target(t.Context(), "wiki", item)
		require.NoError(t, err)
		found, err := target.Look(t.Context(), 10)
		require.NoError(t, err)
		require.NoError(t, target.Close())
		assert.DirExists(t, host.Files(t, item.Volume))
		assert.Equal(t, []any{target.Path(), target.Work()}, []any{view.Path(), view.Work()})
		assert.Positive(t, seen.Free)
		seen.Free, seen.Entries = found.Free, found.Entries // others use that disk, too
		assert.Equal(t, found, seen)

		there, err := host.Place.View(t.Context(), "wiki", item)
		require.NoError(t, err)
		require.NoError(t, there.Discard(t.Context(), swapID), "what is there can be worked with")
		require.NoError(t, there.Close())
	})
	t.Run("what is no place", func(t *testing.T) {
		folder := host.Folder(t)
		require.NoError(t, os.Symlink("/etc", filepath.Join(folder, "link")))
		for item, code := range map[*registry.StateItem]fault.Code{
			{}:                             fault.InvalidArgument,
			{Path: "/"}:                    fault.InvalidArgument,
			{Path: "srv"}:                  fault.InvalidArgument,
			{Path: "/srv/../etc"}:          fault.InvalidArgument,
			{Path: folder + "/no/such"}:    fault.NotFound,
			{Path: folder + "/link"}:       fault.Precondition,
			{Volume: "wiki", Path: "/srv"}: fault.InvalidArgument,
			{Path: folder + "/" + strings.Repeat("n", 300)}: fault.Precondition,
		} {
			_, err := host.Place.Target(t.Context(), "wiki", *item)
			assert.Equal(t, code, fault.CodeOf(err), "%+v: %v", item, err)
		}
	})
	t.Run("ids that are none", func(t *testing.T) {
		item, _ := path(t, "none")
		target, err := host.Place.Target(t.Context(), "wiki", item)
		require.NoError(t, err)
		defer func() { assert.NoError(t, target.Close()) }()
		for _, id := range []string{"", "..", "a/b"} {
			_, _, err = target.Stage(t.Context(), id)
			assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err), "%v", err)
		}
		assert.Equal(t, fault.NotFound, fault.CodeOf(target.Swap(t.Context(), "1")))
		require.NoError(t, target.Back(t.Context(), "1"))
		require.NoError(t, target.Discard(t.Context(), "1"))
		require.NoError(t, target.Commit(t.Context(), "1"))
	})
	t.Run("what is mounted in it is told", func(t *testing.T) {
		item, at := path(t, "data")
		require.NoError(t, os.MkdirAll(filepath.Join(at, "a b"), 0o755))
		host.Mount(t, filepath.Join(at, "a b"))
		target, err := host.Place.Target(t.Context(), "wiki", item)
		require.NoError(t, err)
		found, err := target.Look(t.Context(), 10)
		require.NoError(t, err)
		assert.Equal(t, []string{filepath.Join(at, "a b")}, found.Mounts)
		require.NoError(t, target.Close())
	})
}

func (h Host) scene(t *testing.T, item registry.StateItem, at string, folder bool) *scene {
	t.Helper()
	s := &scene{t: t, host: h, item: item, at: at, tree: filepath.Join(t.TempDir(), filepath.Base(at))}
	if folder {
		require.NoError(t, os.Mkdir(s.tree, 0o700))
		treetest.Nasty(t, s.tree)
		require.NoError(t, os.WriteFile(filepath.Join(s.tree, "new"), []byte("new"), 0o600))
		require.NoError(t, os.Chown(s.tree, 1234, 5678))
		require.NoError(t, os.Chmod(s.tree, os.ModeSetgid|0o751))
		treetest.Times(t, s.tree, 1_400_000_000, 30)
	} else {
		require.NoError(t, os.WriteFile(s.tree, []byte("new"), 0o600))
		require.NoError(t, os.Chown(s.tree, 1234, 5678))
	}
	s.before, s.after = s.is(), treetest.Read(t, s.tree)
	return s
}

// is what is there, but for what is homelab's.
func (s *scene) is() map[string]treetest.Attributes {
	s.t.Helper()
	if _, err := os.Lstat(s.at); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	all := treetest.Read(s.t, s.at)
	maps.DeleteFunc(all, func(name string, _ treetest.Attributes) bool { return strings.HasPrefix(name, swap.Prefix) })
	return all
}

// ours are the folders of swaps.
func (s *scene) ours() []string {
	s.t.Helper()
	inside, err := filepath.Glob(filepath.Join(s.at, swap.Prefix+"*"))
	require.NoError(s.t, err)
	beside, err := filepath.Glob(filepath.Join(filepath.Dir(s.at), swap.Prefix+"*"))
	require.NoError(s.t, err)
	return append(inside, beside...)
}

func (s *scene) open() state.Target {
	s.t.Helper()
	target, err := s.host.Place.Target(s.t.Context(), "wiki", s.item)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { assert.NoError(s.t, target.Close()) })
	assert.Equal(s.t, s.at, target.Path())
	return target
}

const swapID = "20260314T120000Z-00000000.0"

// staged has what is to come staged and delivered.
func (s *scene) staged() state.Target {
	s.t.Helper()
	target := s.open()
	root, name, err := target.Stage(s.t.Context(), swapID)
	require.NoError(s.t, err)
	Bring(s.t, s.tree, root, name)
	require.NoError(s.t, root.Close())
	require.NoError(s.t, target.Deliver(s.t.Context(), swapID))
	if work := target.Work(); work != "" {
		left, err := os.ReadDir(work)
		require.NoError(s.t, err)
		assert.Empty(s.t, left)
	}
	assert.Equal(s.t, s.before, s.is())
	assert.Len(s.t, s.ours(), 1)
	return target
}

// Bring makes a copy of a tree.
func Bring(t *testing.T, tree string, root *os.Root, name string) {
	t.Helper()
	from, err := os.OpenRoot(filepath.Dir(tree))
	require.NoError(t, err)
	defer from.Close()
	here, there := net.Pipe()
	sink, err := mirror.NewSink(there, mirror.Place{Root: root, Name: name, Privileged: true})
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- errors.Join(sink.Serve(t.Context()), sink.Close()) }()
	source, err := mirror.NewSource(here, mirror.Tree{Root: from, Name: filepath.Base(tree)})
	require.NoError(t, err)
	_, err = source.Pass(t.Context(), true)
	require.NoError(t, err)
	require.NoError(t, source.Close())
	require.NoError(t, <-served)
}

func (s *scene) committed() {
	t, target := s.t, s.staged()
	found, err := target.Look(t.Context(), 1000)
	require.NoError(t, err)
	require.Len(t, found.Kept, 1)
	assert.Equal(t, swap.Staging, found.Kept[0].Step)
	assert.Positive(t, found.Free)
	assert.EqualValues(t, len(s.before), found.There.Entries)
	amount, err := target.Measure(t.Context(), 1000, nil)
	require.NoError(t, err)
	assert.Equal(t, found.There, amount)
	if found.Folder {
		amount, err = target.Measure(t.Context(), 1000, []string{"**"})
		require.NoError(t, err)
		assert.Equal(t, swap.Amount{Entries: 1}, amount)
	}
	require.NoError(t, target.Swap(t.Context(), swapID))
	assert.Equal(t, s.after, s.is())
	require.NoError(t, target.Swap(t.Context(), swapID), "it is swapped already")
	other := s.open()
	found, err = other.Look(t.Context(), 1000)
	require.NoError(t, err)
	require.Len(t, found.Kept, 1)
	assert.Equal(t, swap.Swapped, found.Kept[0].Step)
	assert.Equal(t, fault.Conflict, fault.CodeOf(other.Discard(t.Context(), swapID)))
	require.NoError(t, other.Commit(t.Context(), swapID))
	assert.Equal(t, s.after, s.is())
	assert.Empty(t, s.ours())
}

func (s *scene) back() {
	t := s.t
	require.NoError(t, s.staged().Swap(t.Context(), swapID))
	other := s.open()
	require.NoError(t, other.Back(t.Context(), swapID))
	assert.Equal(t, s.before, s.is())
	require.NoError(t, s.open().Swap(t.Context(), swapID))
	assert.Equal(t, s.after, s.is())
	require.NoError(t, s.open().Back(t.Context(), swapID))
	require.NoError(t, s.open().Discard(t.Context(), swapID))
	assert.Equal(t, s.before, s.is())
	assert.Empty(t, s.ours())
}

func (s *scene) discarded() {
	t, target := s.t, s.open()
	root, _, err := target.Stage(t.Context(), swapID)
	require.NoError(t, err)
	require.NoError(t, root.Close())
	require.NoError(t, s.open().Discard(t.Context(), swapID), "while it is extracted")
	target = s.staged()
	require.NoError(t, target.Discard(t.Context(), swapID))
	assert.Equal(t, s.before, s.is())
	assert.Empty(t, s.ours())
	if work := target.Work(); work != "" {
		left, err := os.ReadDir(work)
		require.NoError(t, err)
		assert.Empty(t, left)
	}
}
