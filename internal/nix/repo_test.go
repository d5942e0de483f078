package nix_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"homelab/internal/command"
	"homelab/internal/nix"
)

// repo is a git repository of a test.
type repo struct {
	t    *testing.T
	root string
}

// newRepo makes an empty repository, for tests with the real nix.
func newRepo(t *testing.T, root string) repo {
	t.Helper()
	realNix(t)
	require.NoError(t, os.MkdirAll(root, 0o755))
	r := repo{t, root}
	r.git("init", "--quiet", "--initial-branch=main")
	return r
}

// realNix makes the answers of nix and git depend on this test alone. Nix has
// to build as root without build users, and without a network.
func realNix(t *testing.T) {
	t.Helper()
	require.NotEmpty(t, command.Look("nix"), "these tests need Nix: %s", nix.InstallHint)
	config := "sandbox = false\nsubstituters =\nflake-registry =\n"
	if os.Getuid() == 0 {
		config += "build-users-group =\n"
	}
	t.Setenv("NIX_CONFIG", config)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	t.Setenv("GIT_CONFIG_SYSTEM", os.DevNull)
	for _, who := range []string{"AUTHOR", "COMMITTER"} {
		t.Setenv("GIT_"+who+"_NAME", "Somebody")
		t.Setenv("GIT_"+who+"_EMAIL", "somebody@example.com")
	}
}

// deadDaemon makes nix ask a daemon that is not there.
func deadDaemon(t *testing.T) {
	t.Helper()
	t.Setenv("NIX_REMOTE", "daemon")
	t.Setenv("NIX_DAEMON_SOCKET_PATH", "/no/such/socket")
}

// run runs a command, which must succeed, and returns what it says.
func run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	return runIn(t, "", name, args...)
}

func runIn(t *testing.T, dir, name string, args ...string) []byte {
	t.Helper()
	result, err := command.Run(t.Context(), command.Cmd{Name: name, Args: args, Dir: dir})
	require.NoError(t, err)
	require.Zero(t, result.Exit, "%s %v: %s", name, args, result.Stderr)
	return result.Stdout
}

func (r repo) git(args ...string) string {
	r.t.Helper()
	return strings.TrimSpace(string(runIn(r.t, r.root, "git", args...)))
}

func (r repo) write(path, text string) {
	r.t.Helper()
	path = filepath.Join(r.root, path)
	require.NoError(r.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(r.t, os.WriteFile(path, []byte(text), 0o644))
}

// commit commits everything and returns the id.
func (r repo) commit() string {
	r.t.Helper()
	r.git("add", "--all")
	r.git("commit", "--quiet", "--allow-empty", "--message=test")
	return r.git("rev-parse", "HEAD")
}

// eval evaluates an attribute of the flake in folder dir at a revision.
func (r repo) eval(rev, dir, attr string) (string, error) {
	r.t.Helper()
	json, err := nix.Nix{}.EvalJSON(r.t.Context(), nix.Installable{Flake: nix.GitRef(r.root, rev, dir), Attr: attr}, 1<<20)
	return strings.TrimSpace(string(json)), err
}

// value is a flake whose attribute homelab has the number.
func value(number int) string {
	return fmt.Sprintf("{ outputs = _: { homelab = %d; }; }\n", number)
}
