package gitrepo_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/gitrepo/gittest"
	"homelab/internal/plan"
)

// differs is what both engines say differs from HEAD, which must be the same.
func differs(t *testing.T, r *gittest.Repo) []string {
	t.Helper()
	var told [2][]string
	for i, repo := range engines(t, r) {
		snapshot, err := repo.WorkTree(t.Context())
		require.NoError(t, err)
		changes, err := snapshot.Changes(t.Context(), resolve(t, repo, "HEAD"))
		require.NoError(t, err)
		told[i] = lines(changes)
	}
	require.Equal(t, told[1], told[0], "the engines disagree")
	return told[0]
}

// What stands in the place of a folder is seen, also where the index has
// nothing but an unmerged path below it.
func TestFileInPlaceOfAnUnmergedFolder(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	r.Write("a/f", "1")
	r.Write("a/n/x", "1")
	r.Commit("one")
	r.Git("checkout", "-q", "-b", "other")
	r.Write("a/n/x", "2")
	r.Commit("two")
	r.Git("checkout", "-q", "main")
	r.Write("a/n/x", "3")
	r.Commit("three")
	r.GitFails("merge", "-q", "other")
	r.Remove("a/n")
	r.Write("a/n", "x")
	assert.Equal(t, []string{"? a/n", "U a/n/x"}, differs(t, r))
	r.Remove("a/n")
	r.Link("/elsewhere", "a/n")
	assert.Equal(t, []string{"? a/n", "U a/n/x"}, differs(t, r))
}

// Git takes the index's word for what it is told to take for unchanged, and the
// index says that a path added by intent is an empty file.
func TestFlaggedIntent(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"--assume-unchanged", "--skip-worktree"} {
		r := gittest.New(t)
		r.Write("a/f", "1")
		r.Write("a/g", "1")
		r.Commit("one")
		r.Git("rm", "-q", "--cached", "a/g")
		r.Write("a/n", "1")
		r.Git("add", "-N", "a/n", "a/g")
		r.Git("update-index", flag, "a/n", "a/g")
		assert.Equal(t, workTreeReference(r, "HEAD"), differs(t, r), flag)
		assert.Contains(t, differs(t, r), "A a/n", flag)
		r.Remove("a")
		assert.Equal(t, workTreeReference(r, "HEAD"), differs(t, r), flag)
		assert.Contains(t, differs(t, r), "A a/n", flag)
	}
}

// Of a commit and of a work tree, both engines tell kinds and modes. A link that is
// added by intent, or in conflict, is a link: a hint may lead through it.
func TestEntries(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	r.Write("b/f", "1")
	r.Write("b/run", "1")
	require.NoError(t, os.Chmod(r.Path("b/run"), 0o755))
	r.Link("b", "l")
	r.Commit("one")
	want := []plan.Entry{{Path: "b/f", Kind: plan.Regular}, {Path: "b/run", Kind: plan.Regular, Executable: true}, {Path: "l", Kind: plan.Link}}
	for _, repo := range engines(t, r) {
		head, err := repo.Head(t.Context())
		require.NoError(t, err)
		snapshot, err := repo.Tree(t.Context(), head)
		require.NoError(t, err)
		entries, err := snapshot.Entries(t.Context())
		require.NoError(t, err)
		assert.Equal(t, want, entries)
	}
	r.Git("rm", "-q", "--cached", "l")
	r.Git("add", "-N", "l")
	for _, repo := range engines(t, r) {
		snapshot, err := repo.WorkTree(t.Context())
		require.NoError(t, err)
		entries, err := snapshot.Entries(t.Context())
		require.NoError(t, err)
		assert.Equal(t, want, entries)
	}
}
