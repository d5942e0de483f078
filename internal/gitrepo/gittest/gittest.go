// Package gittest builds real git repositories for tests.
package gittest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"homelab/internal/command"
)

// Hermetic keeps the configuration of the person who runs the tests out of
// them. Call it from TestMain.
func Hermetic() {
	for name, value := range map[string]string{
		"GIT_CONFIG_GLOBAL": os.DevNull, "GIT_CONFIG_NOSYSTEM": "1",
		"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_AUTHOR_DATE": "2026-01-02T03:04:05Z",
		"GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.org", "GIT_COMMITTER_DATE": "2026-01-02T03:04:05Z",
		"GIT_ALLOW_PROTOCOL": "file", "LC_ALL": "C",
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	for _, name := range []string{"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "HOMELAB_REPO", "HOMELAB_REGISTRY", "HOMELAB_SYSTEM"} {
		if err := os.Unsetenv(name); err != nil {
			panic(err)
		}
	}
}

// Repo is a repository in a folder of its own.
type Repo struct {
	T   testing.TB
	Dir string
}

// New makes an empty repository with the branch main. Extra arguments go to
// git init.
func New(t testing.TB, args ...string) *Repo {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	r := &Repo{T: t, Dir: dir}
	r.Git(append([]string{"init", "-q", "-b", "main"}, args...)...)
	return r
}

// Git runs git in the repository and returns its standard output; it must
// succeed.
func (r *Repo) Git(args ...string) string {
	r.T.Helper()
	return r.GitInput("", args...)
}

// GitInput is Git with standard input.
func (r *Repo) GitInput(stdin string, args ...string) string {
	r.T.Helper()
	result, err := command.Run(r.T.Context(), command.Cmd{Name: "git", Args: args, Dir: r.Dir, Stdin: strings.NewReader(stdin)})
	require.NoError(r.T, err)
	require.Zero(r.T, result.Exit, "git %q: %s", args, result.Stderr)
	return string(result.Stdout)
}

// GitFails runs git where it must fail, as a merge with conflicts does.
func (r *Repo) GitFails(args ...string) {
	r.T.Helper()
	result, err := command.Run(r.T.Context(), command.Cmd{Name: "git", Args: args, Dir: r.Dir})
	require.NoError(r.T, err)
	require.NotZero(r.T, result.Exit, "git %q succeeded", args)
}

// Write makes a file, and the folders above it.
func (r *Repo) Write(path, content string) {
	r.T.Helper()
	require.NoError(r.T, os.MkdirAll(filepath.Dir(r.Path(path)), 0o755))
	require.NoError(r.T, os.WriteFile(r.Path(path), []byte(content), 0o644))
}

// Link makes a symbolic link.
func (r *Repo) Link(target, path string) {
	r.T.Helper()
	require.NoError(r.T, os.MkdirAll(filepath.Dir(r.Path(path)), 0o755))
	require.NoError(r.T, os.Symlink(target, r.Path(path)))
}

// Remove deletes a file, a link or a folder with all it has.
func (r *Repo) Remove(path string) {
	r.T.Helper()
	require.NoError(r.T, os.RemoveAll(r.Path(path)))
}

// Path is the absolute form of a path of the repository.
func (r *Repo) Path(path string) string { return filepath.Join(r.Dir, path) }

// Commit stages everything and commits it, and returns the commit's id.
func (r *Repo) Commit(message string) string {
	r.T.Helper()
	r.Git("add", "-A")
	r.Git("commit", "-q", "--allow-empty", "-m", message)
	return r.Rev("HEAD")
}

// Rev is the id of a revision.
func (r *Repo) Rev(rev string) string {
	r.T.Helper()
	return strings.TrimSpace(r.Git("rev-parse", rev))
}
