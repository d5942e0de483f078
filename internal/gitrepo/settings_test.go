package gitrepo_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/gitrepo/gittest"
)

// A git that was built or wrapped to read its settings from a place of its own,
// as Apple's does, is the only one to know that place.
func TestSettingsWhereOnlyGitKnows(t *testing.T) {
	home, bin := t.TempDir(), t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("GIT_CONFIG_NOSYSTEM", "0")
	system, ignore := filepath.Join(home, "system"), filepath.Join(home, "ignore")
	write := func(path, content string) {
		t.Helper()
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	write(ignore, "new\n")
	write(system, "[core]\n\tbare = false\n") // a file without a setting is not told of
	git, err := exec.LookPath("git")
	require.NoError(t, err)
	wrapper := fmt.Sprintf("#!/bin/sh\nGIT_CONFIG_SYSTEM='%s' exec '%s' \"$@\"\n", system, git)
	require.NoError(t, os.WriteFile(filepath.Join(bin, "git"), []byte(wrapper), 0o755)) //nolint:gosec // it is run
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))

	r := gittest.New(t)
	r.Commit("one")
	r.Write("new", "x")
	look := looker(t, r)
	assert.Equal(t, []string{"? new"}, look())
	write(system, "[core]\n\tbare = false\n\texcludesFile = "+ignore+"\n")
	assert.Empty(t, look())
}

// Settings can hold for one branch only, so another branch has other settings.
func TestSettingsOfABranch(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("GIT_CONFIG_GLOBAL", filepath.Join(home, "global"))
	for path, content := range map[string]string{
		"global": "[includeIf \"onbranch:work\"]\n\tpath = ~/work\n",
		"work":   "[core]\n\texcludesFile = ~/ignore\n",
		"ignore": "new\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(home, path), []byte(content), 0o644))
	}
	r := gittest.New(t)
	r.Commit("one")
	r.Git("branch", "work")
	r.Write("new", "x")
	look := looker(t, r)
	assert.Equal(t, []string{"? new"}, look())
	r.Git("symbolic-ref", "HEAD", "refs/heads/work") // as a checkout of equal files, which writes no index
	assert.Empty(t, look())
	r.Git("symbolic-ref", "HEAD", "refs/heads/main")
	assert.Equal(t, []string{"? new"}, look())
}

// Where links cannot be made, a file with the target in it stands for one.
func TestFileSystemWithoutLinks(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	r.Link("target", "link")
	r.Commit("one")
	r.Remove("link")
	r.Write("link", "target")
	look := looker(t, r)
	assert.Equal(t, []string{"T link"}, look())
	r.Git("config", "core.symlinks", "false")
	assert.Empty(t, look())
	r.Write("link", "elsewhere")
	assert.Equal(t, []string{"M link"}, look())
}

// Git takes the index's word for what it was told to skip, whatever is there.
func TestSkippedButThere(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	for _, path := range []string{"edited", "executable", "plain"} {
		r.Write(path, "one")
	}
	r.Commit("one")
	r.Git("update-index", "--skip-worktree", "edited", "executable")
	look := looker(t, r)
	r.Write("edited", "another") // of another size: git itself misses one of the same within the second
	require.NoError(t, os.Chmod(r.Path("executable"), 0o755))
	assert.Empty(t, look())
	r.Write("plain", "another")
	assert.Equal(t, []string{"M plain"}, look())
	r.Git("update-index", "--no-skip-worktree", "edited")
	assert.Equal(t, []string{"M edited", "M plain"}, look())
}

// Ignore files with the line ends of Windows hold the rules git reads in them.
func TestIgnoreRulesOfWindows(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	r.Write(".gitignore", "*.log\r\nout/\r\n\r\n!kept.log\r\n")
	r.Commit("one")
	look := looker(t, r)
	r.Write("debug.log", "x")
	r.Write("out/x", "x")
	assert.Empty(t, look())
	r.Write("kept.log", "x")
	assert.Equal(t, []string{"? kept.log"}, look())
}
