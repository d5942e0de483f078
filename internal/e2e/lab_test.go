package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"homelab/internal/command"
	"homelab/internal/nix"
	"homelab/internal/plan"
	"homelab/tools/toolstest"
)

// lab is the example homelab in a repository of its own, with one commit.
type lab struct {
	t   *testing.T
	dir string
	env []string // of every command, beside that of the tests; the last counts
}

// outside are the variables of whoever runs the tests that would change the
// answers.
var outside = []string{
	"DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "XDG_CONFIG_HOME",
	"HOMELAB_REPO", "HOMELAB_REGISTRY", "HOMELAB_SYSTEM", "HOMELAB_STATE", "XDG_STATE_HOME", "HOMELAB_NIX_OPTIONS", "NIX_HA_TARGET", "NIX_HOME_ASSISTANT_TARGET",
	"NIX_PROM_TARGET", "NIX_PROMETHEUS_TARGET", "NIX_GRAFANA_TARGET",
}

func newLab(t *testing.T) *lab {
	t.Helper()
	require.NotEmpty(t, command.Look("nix"), "these tests need Nix: make test installs it; or %s", nix.InstallHint)
	home := t.TempDir()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	l := &lab{t: t, dir: dir, env: []string{
		"HOME=" + home, "XDG_CACHE_HOME=" + filepath.Join(home, "cache"),
		// Root builds without the group of build users and without a sandbox.
		"NIX_CONFIG=substituters =\nflake-registry =\nsandbox = false\nbuild-users-group =\n",
		"GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Robin", "GIT_AUTHOR_EMAIL=robin@example.org",
		"GIT_COMMITTER_NAME=Robin", "GIT_COMMITTER_EMAIL=robin@example.org",
		// Nothing listens there, and no test asks it by accident.
		"DOCKER_HOST=unix://" + filepath.Join(home, "docker.sock"),
	}}
	require.NoError(t, os.CopyFS(l.dir, os.DirFS(filepath.Join(root, "examples/homelab"))))
	l.git("init", "--quiet", "--initial-branch=main")
	l.commit()
	return l
}

// with is the same lab for commands with other variables.
func (l *lab) with(env ...string) *lab {
	other := *l
	other.env = append(l.env[:len(l.env):len(l.env)], env...)
	return &other
}

// path puts a folder with scripts, by name, first on PATH.
func (l *lab) path(scripts map[string]string) *lab {
	l.t.Helper()
	folder := l.t.TempDir()
	for name, script := range scripts {
		require.NoError(l.t, os.WriteFile(filepath.Join(folder, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755))
	}
	return l.with("PATH=" + folder + ":" + os.Getenv("PATH"))
}

func (l *lab) command(name string, args ...string) command.Cmd {
	return command.Cmd{Name: name, Args: args, Dir: l.dir, Env: l.env, Unset: outside}
}

func (l *lab) run(name string, args ...string) command.Result {
	l.t.Helper()
	// Not the context of the test: it ends before the cleanups.
	result, err := command.Run(context.Background(), l.command(name, args...))
	require.NoError(l.t, err)
	return result
}

func (l *lab) homelab(args ...string) command.Result {
	l.t.Helper()
	return l.run(filepath.Join(bin, "homelab"), args...)
}

// json runs homelab with --json; it must succeed.
func (l *lab) json(args ...string) []byte {
	l.t.Helper()
	result := l.homelab(append(args, "--json")...)
	require.Zero(l.t, result.Exit, "%s", result.Stderr)
	return result.Stdout
}

// answered runs homelab with --json; it must succeed, and its answer is what the tool
// promises.
func answered[T any](l *lab, tool string, args ...string) T {
	l.t.Helper()
	answer, exit := graded[T](l, tool, args...)
	require.Zero(l.t, exit)
	return answer
}

// graded is answered with the exit status, which says what the answer comes to.
func graded[T any](l *lab, tool string, args ...string) (answer T, exit int) {
	l.t.Helper()
	result := l.homelab(append(args, "--json")...)
	require.NoError(l.t, json.Unmarshal(result.Stdout, &answer), "%s", result.Stderr)
	toolstest.Fits(l.t, tool, result.Stdout)
	return answer, result.Exit
}

func (l *lab) plan(args ...string) plan.Plan {
	l.t.Helper()
	var p plan.Plan
	require.NoError(l.t, json.Unmarshal(l.json(append([]string{"plan"}, args...)...), &p))
	return p
}

// failure is what homelab says with --json when it fails.
type failure struct {
	Code, Message, Hint string
	Exit                int
}

func (l *lab) fails(args ...string) failure {
	l.t.Helper()
	result := l.homelab(append(args, "--json")...)
	require.NotZero(l.t, result.Exit, "%s", result.Stdout)
	require.Empty(l.t, string(result.Stdout))
	f := failure{Exit: result.Exit}
	require.NoError(l.t, json.Unmarshal(result.Stderr, &f), "%s", result.Stderr)
	return f
}

func (l *lab) git(args ...string) string {
	l.t.Helper()
	result := l.run("git", args...)
	require.Zero(l.t, result.Exit, "git %v: %s", args, result.Stderr)
	return strings.TrimSpace(string(result.Stdout))
}

func (l *lab) commit() {
	l.t.Helper()
	l.git("add", "--all")
	l.git("commit", "--quiet", "--message=test")
}

func (l *lab) write(path, content string) {
	l.t.Helper()
	path = filepath.Join(l.dir, path)
	require.NoError(l.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(l.t, os.WriteFile(path, []byte(content), 0o644))
}

func (l *lab) read(path string) string {
	l.t.Helper()
	content, err := os.ReadFile(filepath.Join(l.dir, path))
	require.NoError(l.t, err)
	return string(content)
}

// edit adds a line that means nothing to a file.
func (l *lab) edit(path string) {
	l.t.Helper()
	l.write(path, l.read(path)+"# edited\n")
}

// replace replaces what is once in a file.
func (l *lab) replace(path, before, after string) {
	l.t.Helper()
	content := l.read(path)
	require.Equal(l.t, 1, strings.Count(content, before), "%q in %s", before, path)
	l.write(path, strings.Replace(content, before, after, 1))
}

func (l *lab) remove(path string) {
	l.t.Helper()
	require.NoError(l.t, os.Remove(filepath.Join(l.dir, path)))
}
