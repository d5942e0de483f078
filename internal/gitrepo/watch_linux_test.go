package gitrepo_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"homelab/internal/gitrepo"
	"homelab/internal/gitrepo/gittest"
)

func resident(t *testing.T) (*gittest.Repo, func() []string) {
	r := gittest.New(t)
	for i := range 20 {
		r.Write(fmt.Sprintf("d%d/e/f", i), "old")
	}
	r.Commit("one")
	backdate(r)
	repo := open(t, r.Dir)
	repo.Resident = true
	t.Cleanup(repo.Close) // the kernel lends a user 128 notifiers
	look := func() []string {
		t.Helper()
		snapshot, err := repo.WorkTree(t.Context())
		require.NoError(t, err)
		changes, err := snapshot.Changes(t.Context(), resolve(t, repo, "HEAD"))
		require.NoError(t, err)
		require.Equal(t, workTreeReference(r, "HEAD"), lines(changes))
		return lines(changes)
	}
	assert.Empty(t, look())
	require.True(t, gitrepo.ForTest(repo).Watched(), "the temporary folder must be on a file system of this machine")
	return r, look
}

// An empty folder that is removed while somebody is in it tells nothing of the
// new one in its place.
func TestWatchHeldFolder(t *testing.T) {
	t.Parallel()
	r, look := resident(t)
	r.Remove("d3/e/f")
	assert.Equal(t, []string{"D d3/e/f"}, look())
	held, err := os.Open(r.Path("d3/e"))
	require.NoError(t, err)
	defer held.Close()
	r.Remove("d3/e")
	r.Write("d3/e/new", "new")
	assert.Equal(t, []string{"? d3/e/new", "D d3/e/f"}, look())
}

// What happens between two looks must be seen by the second, whatever it is.
func TestWatch(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, r *gittest.Repo){
		"edit in place": func(_ *testing.T, r *gittest.Repo) { r.Write("d3/e/f", "new") },
		"replace": func(t *testing.T, r *gittest.Repo) {
			r.Write("d3/e/new", "new")
			require.NoError(t, os.Rename(r.Path("d3/e/new"), r.Path("d3/e/f")))
		},
		"mode":              func(t *testing.T, r *gittest.Repo) { require.NoError(t, os.Chmod(r.Path("d3/e/f"), 0o755)) },
		"remove":            func(_ *testing.T, r *gittest.Repo) { r.Remove("d3/e/f") },
		"remove a folder":   func(_ *testing.T, r *gittest.Repo) { r.Remove("d3") },
		"move a folder":     func(t *testing.T, r *gittest.Repo) { require.NoError(t, os.Rename(r.Path("d3"), r.Path("x"))) },
		"move one into it":  func(t *testing.T, r *gittest.Repo) { require.NoError(t, os.Rename(r.Path("d3"), r.Path("d4/e/x"))) },
		"new folder":        func(_ *testing.T, r *gittest.Repo) { r.Write("d3/new/deep/f", "new") },
		"folder to link":    func(_ *testing.T, r *gittest.Repo) { r.Remove("d3"); r.Link("d4", "d3") },
		"removed and again": func(_ *testing.T, r *gittest.Repo) { r.Remove("d3"); r.Write("d3/e/f", "new") },
		"an ignore rule":    func(_ *testing.T, r *gittest.Repo) { r.Write("d3/u", "new"); r.Write(".gitignore", "u\n") },
		"staged":            func(_ *testing.T, r *gittest.Repo) { r.Write("d3/u", "new"); r.Git("add", "-A") },
		"more than the queue holds": func(t *testing.T, r *gittest.Repo) {
			for i := range 20_000 {
				require.NoError(t, os.Chmod(r.Path(fmt.Sprintf("d%d/e/f", i%19)), os.FileMode(0o600+i/19%2*0o44)))
			}
			r.Write("d19/e/new", "new") // in a folder that is not among those the queue names
		},
		// No event names d3/e: it moved along, and what is there now was never seen.
		"another folder in its place": func(t *testing.T, r *gittest.Repo) {
			require.NoError(t, os.Rename(r.Path("d3"), r.Path("x")))
			r.Write("d3/e/new", "new")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, look := resident(t)
			change(t, r)
			assert.NotEmpty(t, look())
			r.Git("add", "-A")
			r.Git("commit", "-q", "-m", "two")
			assert.Empty(t, look())
			r.Write("d7/e/f", "at last")
			assert.Equal(t, []string{"M d7/e/f"}, look())
		})
	}
}

// A file with a second name can be written without its folder being told, and
// one whose time is set back fools git itself within the second.
func TestWatchBeyondGit(t *testing.T) {
	t.Parallel()
	outside := t.TempDir() + "/other-name"
	r := gittest.New(t)
	for _, name := range []string{"d/linked", "d/back", "d/other"} {
		r.Write(name, "old")
	}
	require.NoError(t, os.Link(r.Path("d/linked"), outside))
	r.Commit("one")
	backdate(r)
	repo := open(t, r.Dir)
	repo.Resident = true
	t.Cleanup(repo.Close)
	gitrepo.ForTest(repo).Distrust() // as when more than a second has passed
	look := func() []string {
		snapshot, err := repo.WorkTree(t.Context())
		require.NoError(t, err)
		changes, err := snapshot.Changes(t.Context(), resolve(t, repo, "HEAD"))
		require.NoError(t, err)
		return lines(changes)
	}
	assert.Empty(t, look())
	require.NoError(t, os.WriteFile(outside, []byte("new"), 0o644))
	assert.Equal(t, []string{"M d/linked"}, look())
	info, err := os.Stat(r.Path("d/back"))
	require.NoError(t, err)
	r.Write("d/back", "new")
	require.NoError(t, os.Chtimes(r.Path("d/back"), info.ModTime(), info.ModTime()))
	assert.Equal(t, []string{"M d/back", "M d/linked"}, look())

	// A name that came after the first look.
	later := outside + "-later"
	require.NoError(t, os.Link(r.Path("d/other"), later))
	look()
	require.NoError(t, os.WriteFile(later, []byte("new"), 0o644))
	assert.Equal(t, []string{"M d/back", "M d/linked", "M d/other"}, look())

	// A mapping writes without a call that could be told of.
	for _, name := range []string{"d/linked", "d/back", "d/other"} {
		r.Write(name, "old")
	}
	backdate(r)
	assert.Empty(t, look())
	file, err := os.OpenFile(r.Path("d/other"), os.O_RDWR, 0)
	require.NoError(t, err)
	mapped, err := unix.Mmap(int(file.Fd()), 0, 3, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	require.NoError(t, err)
	look()
	copy(mapped, "map")
	require.NoError(t, unix.Msync(mapped, unix.MS_SYNC))
	assert.Equal(t, []string{"M d/other"}, look())
	require.NoError(t, unix.Munmap(mapped))
	require.NoError(t, file.Close())
}

// Nothing tells of a mount but the table of mounts.
func TestWatchMounts(t *testing.T) {
	t.Parallel()
	r, look := resident(t)
	require.NoError(t, unix.Mount("none", r.Path("d5"), "tmpfs", 0, ""), "this test must run as root, as make test does")
	got := look()
	require.NoError(t, unix.Unmount(r.Path("d5"), unix.MNT_DETACH))
	assert.Equal(t, []string{"D d5/e/f"}, got)
	assert.Empty(t, look())
}

// What another file system does not tell the kernel of, the kernel cannot tell:
// a work tree that reaches into one is looked at as a whole each time.
func TestWatchOneFileSystemOnly(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	r.Write("d/f", "old")
	r.Commit("one")
	repo := open(t, r.Dir)
	repo.Resident = true
	t.Cleanup(repo.Close)
	look := func() []string {
		t.Helper()
		snapshot, err := repo.WorkTree(t.Context())
		require.NoError(t, err)
		changes, err := snapshot.Changes(t.Context(), resolve(t, repo, "HEAD"))
		require.NoError(t, err)
		return lines(changes)
	}
	require.NoError(t, unix.Mount("none", r.Path("d"), "tmpfs", 0, ""), "this test must run as root, as make test does")
	t.Cleanup(func() { _ = unix.Unmount(r.Path("d"), unix.MNT_DETACH) }) // if the test ends before it does
	assert.Equal(t, []string{"D d/f"}, look())
	assert.False(t, gitrepo.ForTest(repo).Watched())
	r.Write("d/new", "new")
	assert.Equal(t, []string{"? d/new", "D d/f"}, look())
	require.NoError(t, unix.Unmount(r.Path("d"), unix.MNT_DETACH))
	assert.Empty(t, look())
	assert.True(t, gitrepo.ForTest(repo).Watched(), "the temporary folder must be on a file system of this machine")
}
