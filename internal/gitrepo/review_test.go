package gitrepo_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/gitrepo"
	"homelab/internal/gitrepo/gittest"
)

// looker asks one repository, kept open, what differs from HEAD, and holds the
// answer against git's.
func looker(t *testing.T, r *gittest.Repo) func() []string {
	repo := open(t, r.Dir)
	repo.Resident = true
	repo.Cache = t.TempDir()
	t.Cleanup(func() { repo.Close() })
	gitrepo.ForTest(repo).Distrust()
	return func() []string {
		t.Helper()
		if repo.Moved(t.Context()) {
			repo.Close()
			repo = open(t, r.Dir)
		}
		snapshot, err := repo.WorkTree(t.Context())
		require.NoError(t, err)
		changes, err := snapshot.Changes(t.Context(), resolve(t, repo, "HEAD"))
		require.NoError(t, err)
		require.Equal(t, workTreeReference(r, "HEAD"), lines(changes))
		return lines(changes)
	}
}

// What is remembered of git's settings must follow every file they come from.
func TestSettingsChangeBetweenLooks(t *testing.T) {
	r := gittest.New(t)
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("GIT_CONFIG_GLOBAL", filepath.Join(home, "global"))
	write := func(path, content string) {
		t.Helper()
		path = filepath.Join(home, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	r.Write("f.txt", "one\n")
	r.Write("g.dat", "one\n")
	r.Commit("one")
	backdate(r)
	look := looker(t, r)
	assert.Empty(t, look())

	r.Write("new", "x")
	assert.Equal(t, []string{"? new"}, look())
	write(".config/git/ignore", "new\n")
	assert.Empty(t, look(), "ignored for all repositories")
	write("global", "[core]\n\texcludesFile = ~/other\n[include]\n\tpath = ~/later\n")
	assert.Equal(t, []string{"? new"}, look(), "another file says what is ignored")
	write("later", "[core]\n\texcludesFile = ~/ignore\n")
	write("ignore", "NEW\n")
	assert.Equal(t, []string{"? new"}, look())
	r.Git("config", "core.ignoreCase", "true")
	assert.Empty(t, look())
	r.Git("config", "core.ignoreCase", "false")

	r.Write("f.txt", "one\r\n")
	assert.Equal(t, []string{"? new", "M f.txt"}, look())
	write("later", "[core]\n\tautocrlf = input\n")
	assert.Equal(t, []string{"? new"}, look(), "line endings are converted")
	write("later", "")
	r.Write(".gitattributes", "*.txt text\n")
	assert.Equal(t, []string{"? .gitattributes", "? new"}, look(), "an untracked file of attributes counts")
	r.Remove(".gitattributes")
	assert.Equal(t, []string{"? new", "M f.txt"}, look())

	require.NoError(t, os.Chmod(r.Path("g.dat"), 0o755))
	assert.Equal(t, []string{"? new", "M f.txt", "M g.dat"}, look())
	r.Git("config", "core.fileMode", "0")
	assert.Equal(t, []string{"? new", "M f.txt"}, look())
	r.Git("config", "core.fileMode", "2")
	assert.Equal(t, []string{"? new", "M f.txt", "M g.dat"}, look(), "any number but 0 is true")
}

// Without HOME there are no files below it, least of all below the current
// folder.
func TestNoHome(t *testing.T) {
	r := gittest.New(t)
	r.Write(".config/git/ignore", "*\n")
	r.Commit("dotfiles")
	r.Write("new", "x")
	t.Chdir(r.Dir)
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("HOME", "")
	require.NoError(t, os.Unsetenv("HOME"))
	assert.Equal(t, []string{"? new"}, looker(t, r)())
}

func TestUpstream(t *testing.T) {
	origin := gittest.New(t)
	origin.Write("f", "1")
	origin.Commit("one")
	dir := filepath.Join(t.TempDir(), "clone")
	origin.Git("clone", "-q", origin.Dir, dir)
	r := &gittest.Repo{T: t, Dir: dir}
	upstream := func() (string, string, error) {
		name, c, err := open(t, dir).Upstream(t.Context())
		return name, c.ID, err
	}
	name, id, err := upstream()
	require.NoError(t, err)
	assert.Equal(t, "origin/main "+r.Rev("HEAD"), name+" "+id)

	// From another file than the repository's own.
	global := filepath.Join(t.TempDir(), "config")
	r.Git("config", "--remove-section", "branch.main")
	name, _, err = upstream()
	require.NoError(t, err)
	assert.Empty(t, name)
	t.Setenv("GIT_CONFIG_GLOBAL", global)
	r.Git("config", "--global", "branch.main.remote", "origin")
	r.Git("config", "--global", "branch.main.merge", "refs/heads/main")
	name, _, err = upstream()
	require.NoError(t, err)
	assert.Equal(t, "origin/main", name)

	// Configured, and gone.
	r.Git("update-ref", "-d", "refs/remotes/origin/main")
	repo := open(t, dir)
	name, c, err := repo.Upstream(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "origin/main", name)
	assert.True(t, c.Missing)

	r.Git("checkout", "-q", "--detach")
	name, _, err = upstream()
	require.NoError(t, err)
	assert.Empty(t, name)
}

// A git that does not answer has not answered.
func TestKilledGit(t *testing.T) {
	r := gittest.New(t)
	r.Write("f", "1")
	one := r.Commit("one")
	r.Write("f", "2")
	two := r.Commit("two")
	repo := open(t, r.Dir)
	a, b := resolve(t, repo, one), resolve(t, repo, two)
	bin := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(bin, "git"), []byte("#!/bin/sh\nkill -9 $$\n"), 0o755))
	path := os.Getenv("PATH")
	t.Setenv("PATH", bin+":"+path)
	_, _, err := repo.MergeBases(t.Context(), a, b)
	assert.ErrorContains(t, err, "ended by the signal killed")
	t.Setenv("PATH", path)
	common, _, err := repo.MergeBases(t.Context(), a, b)
	require.NoError(t, err)
	assert.Equal(t, one, common[0].ID, "nothing wrong was remembered")
}

// A repository of somebody else's is refused by git, and so by us.
func TestDubiousOwnership(t *testing.T) {
	r := gittest.New(t)
	r.Write("f", "1")
	r.Commit("one")
	r.Write("f", "2")
	require.NoError(t, filepath.WalkDir(r.Dir, func(path string, _ os.DirEntry, err error) error {
		require.NoError(t, err)
		return os.Lchown(path, 65534, 65534)
	}), "this test must run as root, as make test does")
	repo := open(t, r.Dir)
	_, err := repo.WorkTree(t.Context())
	assert.Equal(t, fault.Denied, fault.CodeOf(err))
	assert.Contains(t, fault.Of(err).Hint, "safe.directory")
	_, _, err = repo.Upstream(t.Context())
	assert.Equal(t, fault.Denied, fault.CodeOf(err))
}

// Where another repository is found by now, the one that was found before is not
// asked again.
func TestMoved(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	r.Write("sub/f", "1")
	r.Commit("one")
	outer := open(t, r.Path("sub"))
	assert.False(t, outer.Moved(t.Context()))
	inner := &gittest.Repo{T: t, Dir: r.Path("sub")}
	inner.Git("init", "-q", "-b", "main")
	assert.True(t, outer.Moved(t.Context()), "a nearer one")

	other := gittest.New(t)
	repo := open(t, other.Dir)
	require.NoError(t, os.Rename(other.Dir, other.Dir+".old"))
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(other.Dir+".old")) })
	other.T = t
	require.NoError(t, os.Mkdir(other.Dir, 0o755))
	other.Git("init", "-q", "-b", "main")
	assert.True(t, repo.Moved(t.Context()), "another one in its place")
}

// Many questions at once, while the repository changes. The race detector
// watches.
func TestConcurrentQuestions(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	ids := history(t, r, 5, 20)
	r.Git("reset", "-q", "--hard")
	repo := open(t, r.Dir)
	repo.Resident = true
	var wait sync.WaitGroup
	for worker := range 8 {
		wait.Go(func() {
			for i := range 10 {
				snapshot, err := repo.WorkTree(t.Context())
				if !assert.NoError(t, err) {
					return
				}
				base, err := repo.Resolve(t.Context(), ids[(worker+i)%len(ids)])
				assert.NoError(t, err)
				_, err = snapshot.Changes(t.Context(), base)
				assert.NoError(t, err)
				_, _, err = repo.Upstream(t.Context())
				assert.NoError(t, err)
				_, _, err = repo.MergeBases(t.Context(), base, resolve(t, repo, "HEAD"))
				assert.NoError(t, err)
			}
		})
	}
	for range 10 {
		r.Write("lib/x.nix", strings.Repeat("x", 10))
		r.Git("commit", "-q", "-a", "--allow-empty", "-m", "more")
	}
	wait.Wait()
}

func TestOddRevisions(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	r.Write("f", "1")
	r.Commit("one")
	repo := open(t, r.Dir)
	for _, rev := range []string{r.Rev("HEAD^{tree}"), r.Rev("HEAD:f"), "^HEAD", strings.Repeat("x", 200_000)} {
		_, err := repo.Resolve(t.Context(), rev)
		assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err), "%.50q: %v", rev, err)
	}
}
