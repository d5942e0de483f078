package gitrepo_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/gitrepo"
	"homelab/internal/gitrepo/gittest"
	"homelab/internal/plan"
)

// engines are the same repository, read in process and by the git command.
func engines(t *testing.T, r *gittest.Repo) []*gitrepo.Repo {
	repo := open(t, r.Dir)
	return []*gitrepo.Repo{repo, gitrepo.ForTest(repo).GitOnly()}
}

// What follows a colon is a text or a path: nothing can be appended to it.
func TestRevisionsWithAColon(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	r.Write("a/f", "1")
	one := r.Commit("one thing")
	r.Write("a/f", "2")
	two := r.Commit("two things")
	for _, repo := range engines(t, r) {
		for rev, id := range map[string]string{
			":/one": one, ":/thing": two, ":/!-two": one, "HEAD^{/one}": one,
		} {
			assert.Equal(t, id, resolve(t, repo, rev).ID, rev)
			assert.Equal(t, r.Rev(id+"^{tree}"), resolve(t, repo, rev).Tree, rev)
		}
	}
}

// Whatever git says of a revision, the user reads what is wrong and what to do.
func TestRevisionsGitRefuses(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	r.Write("a/f", "1")
	r.Commit("one")
	r.Write("a/f", "2")
	r.Commit("two")
	r.Git("tag", "main", "HEAD~1")
	const hint = "name a branch, a tag or a commit"
	for rev, want := range map[string]string{
		"HEAD:a":       `"HEAD:a" is a tree, not a commit`,
		"HEAD:a/f":     `"HEAD:a/f" is a blob, not a commit`,
		":a/f":         `":a/f" is a blob, not a commit`,
		"main:":        `"main:" is a tree, not a commit`,
		"HEAD^{tree}":  `"HEAD^{tree}" is a tree, not a commit`,
		"@{u}":         `"@{u}" is not a revision: no upstream configured for branch 'main'`,
		"HEAD@{99}":    `"HEAD@{99}" is not a revision: log for 'HEAD' only has 2 entries`,
		"nobody@{u}":   `"nobody@{u}" is not a revision: no such branch: 'nobody'`,
		"HEAD~1..HEAD": `"HEAD~1..HEAD" does not name one commit`,
	} {
		for _, repo := range engines(t, r) {
			_, err := repo.Resolve(t.Context(), rev)
			assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err), rev)
			assert.EqualError(t, err, want)
			assert.Equal(t, hint, fault.Of(err).Hint, rev)
		}
	}
	for _, rev := range []string{"HEAD:nope", "nosuch:a", ":/nobody wrote this", "main~9", "HEAD^{/nobody wrote this}"} {
		for _, repo := range engines(t, r) {
			_, err := repo.Resolve(t.Context(), rev)
			assert.Equal(t, fault.NotFound, fault.CodeOf(err), "%s: %v", rev, err)
			assert.NotEmpty(t, fault.Of(err).Hint, rev)
		}
	}
}

// A range that git answers with commits of both sides names no one commit.
func TestSymmetricDifference(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	r.Commit("one")
	r.Commit("two")
	for _, repo := range engines(t, r) {
		for _, rev := range []string{"HEAD~1...HEAD", "main...HEAD"} {
			_, err := repo.Resolve(t.Context(), rev)
			assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err), rev)
			assert.ErrorContains(t, err, "does not name one commit")
			assert.Contains(t, fault.Of(err).Hint, "mergeBase")
		}
	}
}

// What a shallow clone leaves out is missing, not unknown: it would be there
// after git fetch --unshallow.
func TestAncestorsInAShallowClone(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	for _, message := range []string{"one", "two", "three", "four"} {
		r.Commit(message)
	}
	r.Git("branch", "feat")
	three, two := r.Rev("HEAD~1"), r.Rev("HEAD~2")
	for _, repo := range engines(t, shallow(t, r, 1)) {
		for _, rev := range []string{"HEAD~1", "HEAD^", "HEAD~9", "HEAD^^", "HEAD~1^2", "main~1", "origin/feat~1", two + "~1"} {
			assert.Equal(t, plan.Commit{Missing: true}, resolve(t, repo, rev), rev)
		}
		for _, rev := range []string{three[:7], strings.ToUpper(three[:12])} {
			assert.Equal(t, plan.Commit{ID: three, Missing: true}, resolve(t, repo, rev), rev)
		}
		for rev, hint := range map[string]string{
			"maim~1": "did you mean main~1", two[:7]: "git fetch", "HEAD^{/one}": "git fetch --unshallow", "nowhere": "git fetch --unshallow",
		} {
			_, err := repo.Resolve(t.Context(), rev)
			assert.Equal(t, fault.NotFound, fault.CodeOf(err), "%s: %v", rev, err)
			assert.Contains(t, fault.Of(err).Hint, hint, rev)
		}
	}
	for _, repo := range engines(t, shallow(t, r, 2)) {
		assert.Equal(t, three, resolve(t, repo, "HEAD~1").ID)
		assert.Equal(t, plan.Commit{Missing: true}, resolve(t, repo, "HEAD~2"))
	}
}

// shallow clones a repository over the file protocol, so that the depth counts.
func shallow(t *testing.T, r *gittest.Repo, depth int) *gittest.Repo {
	dir := filepath.Join(t.TempDir(), "clone")
	r.Git("clone", "-q", "--no-single-branch", "--depth", strconv.Itoa(depth), "file://"+r.Dir, dir)
	dir, err := filepath.EvalSymlinks(dir)
	require.NoError(t, err)
	return &gittest.Repo{T: t, Dir: dir}
}

func TestAncestorsBeyondTheRoot(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	r.Commit("one")
	r.Commit("two")
	for _, repo := range engines(t, r) {
		for _, rev := range []string{"HEAD~50", "HEAD^2", "main~1~1", "HEAD@{0}~50"} {
			_, err := repo.Resolve(t.Context(), rev)
			assert.Equal(t, fault.NotFound, fault.CodeOf(err), rev)
			assert.ErrorContains(t, err, "is shorter than that")
			assert.NotContains(t, fault.Of(err).Hint, "did you mean", rev)
		}
		_, err := repo.Resolve(t.Context(), "HEAD^{/nobody wrote this}")
		assert.NotContains(t, fault.Of(err).Hint, "HEAD?")
	}
}

// Where nothing has the name, git reads some of it as a wildcard for files, or as
// a time in a reflog: the answer must be that nothing has the name.
func TestRevisionsGitGuesses(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	r.Write("a/f", "1")
	one := r.Commit("one thing")
	r.Git("tag", "-a", "-m", "tag", "v1")
	r.Write("v2", "a file")
	r.Git("branch", "a{b")
	r.Commit("two")
	for _, repo := range engines(t, r) {
		for _, rev := range []string{"v?", "v*", "release-*", "[v]1", "HEAD@{1", "main@{0", "HEAD@{", "HEAD@{0}~99", "v2"} {
			_, err := repo.Resolve(t.Context(), rev)
			require.Equal(t, fault.NotFound, fault.CodeOf(err), "%s: %v", rev, err)
			assert.NotEmpty(t, fault.Of(err).Hint, rev)
		}
		for _, rev := range []string{"v1", "a{b", "HEAD@{1}", "main@{0}~1", "HEAD^{/on[e] t.*}", ":/on[e]"} {
			assert.Equal(t, one, resolve(t, repo, rev).ID, rev)
		}
	}
}

// A failure without a known remedy is told by git's own words, not by a warning
// that comes before them.
func TestFailureOfGitIsItsError(t *testing.T) {
	r := gittest.New(t)
	r.Write("f", "1")
	one := r.Commit("one")
	r.Write("f", "2")
	two := r.Commit("two")
	repo := open(t, r.Dir)
	a, b := resolve(t, repo, one), resolve(t, repo, two)
	bin := t.TempDir()
	script := "#!/bin/sh\necho \"warning: refname 'main' is ambiguous.\" >&2\necho 'fatal: the disk is on fire' >&2\nexit 128\n"
	require.NoError(t, os.WriteFile(filepath.Join(bin, "git"), []byte(script), 0o755))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))

	_, _, err := repo.MergeBases(t.Context(), a, b)
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
	assert.EqualError(t, err, "git merge-base: the disk is on fire")
	assert.Equal(t, "see what git says of the repository: git status", fault.Of(err).Hint)
	_, err = repo.Resolve(t.Context(), "main")
	assert.EqualError(t, err, `"main" is not a revision: the disk is on fire`)
}

// What is too large is refused by its size, not after it was read.
func TestLargeBlobsAreNotRead(t *testing.T) {
	r := gittest.New(t)
	r.Write("homelab.json", strings.Repeat("x", 64<<20))
	r.Commit("one")
	read := func() {
		repo := open(t, r.Dir)
		tree, err := repo.Tree(t.Context(), resolve(t, repo, "HEAD"))
		require.NoError(t, err)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err = tree.ReadFile(t.Context(), "homelab.json", 1<<20)
		runtime.ReadMemStats(&after)
		assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err))
		assert.EqualError(t, err, "homelab.json has 67108864 bytes, more than the 1048576 homelab reads")
		assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20), "bytes allocated")
	}
	read()
	r.Git("gc", "-q")
	read()
}

func TestFolderInPlaceOfAFile(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	r.Write("flake.nix/f", "1")
	r.Commit("one")
	snapshot, err := open(t, r.Dir).WorkTree(t.Context())
	require.NoError(t, err)
	_, err = snapshot.ReadFile(t.Context(), "flake.nix", 100)
	assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err))
	assert.Equal(t, "put a file there, or move it away", fault.Of(err).Hint)
}

// The inside of .git is no place to look at files from; its work tree is.
func TestInsideOfGitFolders(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	r.Write("f", "1")
	r.Commit("one")
	linked := filepath.Join(filepath.Dir(r.Dir), "linked")
	r.Git("worktree", "add", "-q", linked, "-b", "other")
	bare := gittest.New(t, "--bare")
	inGit := &gittest.Repo{T: t, Dir: filepath.Join(gittest.New(t).Dir, ".git")}
	inGit.Git("config", "core.bare", "true")
	moved := gittest.New(t, "--separate-git-dir", filepath.Join(t.TempDir(), "elsewhere"))
	elsewhere := moved.Rev("--absolute-git-dir")
	for dir, want := range map[string][2]string{
		r.Path(".git"):                  {r.Path(".git") + " is the inside of a repository, not its work tree", "name the work tree: --repo " + r.Dir},
		r.Path(".git/refs"):             {r.Path(".git/refs") + " is the inside of a repository, not its work tree", "name the work tree: --repo " + r.Dir},
		r.Path(".git/worktrees/linked"): {r.Path(".git/worktrees/linked") + " is the inside of a repository, not its work tree", "name the work tree: --repo " + linked},
		elsewhere:                       {elsewhere + " is the inside of a repository, not its work tree", "point --repo at its work tree"},
		bare.Dir:                        {bare.Dir + " is a bare repository: it has no work tree", "clone it, and point --repo at the clone"},
		inGit.Dir:                       {inGit.Dir + " is a bare repository: it has no work tree", "clone it, and point --repo at the clone"},
	} {
		_, err := gitrepo.Open(t.Context(), dir)
		assert.Equal(t, fault.Precondition, fault.CodeOf(err))
		assert.EqualError(t, err, want[0])
		assert.Equal(t, want[1], fault.Of(err).Hint)
	}
}

// A commit without its tree is as good as not here.
func TestCommitWithoutItsTree(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	r.Write("f", "1")
	one := r.Commit("one")
	lost := r.Rev("HEAD^{tree}")
	r.Write("f", "2")
	r.Commit("two")
	require.NoError(t, os.Remove(r.Path(".git/objects/"+lost[:2]+"/"+lost[2:])))
	byGit := gitrepo.ForTest(open(t, r.Dir)).GitOnly()
	assert.Equal(t, plan.Commit{ID: one, Missing: true}, resolve(t, byGit, one))
}
