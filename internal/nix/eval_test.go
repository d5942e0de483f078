package nix_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/nix"
)

var lab = nix.Installable{Flake: "git+file:///lab", Attr: "homelab"}

func TestVersion(t *testing.T) {
	fakeNix(t)
	for said, want := range map[string]string{
		"nix (Nix) 2.8.0\n":                     "2.8.0",
		"nix (Nix) 2.35.0pre20260101_0123456\n": "2.35.0pre20260101_0123456",
		"nix (Determinate Nix 3.11.2) 2.31.1\n": "2.31.1",
		"nix (Lix, like Nix) 2.93.3\n":          "2.93.3",
	} {
		t.Setenv("FAKE_NIX_STDOUT", said)
		version, err := nix.Version(t.Context())
		require.NoError(t, err)
		assert.Equal(t, want, version)
	}
}

func TestVersionOfABrokenNix(t *testing.T) {
	fakeNix(t)
	t.Setenv("FAKE_NIX_STDERR", "nix: error while loading shared libraries: libnixexpr.so\n")
	_, err := nix.Version(t.Context())
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
	assert.ErrorContains(t, err, "libnixexpr.so")
}

func TestWithoutNix(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := nix.Version(t.Context())
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
	assert.Equal(t, nix.InstallHint, fault.Of(err).Hint)

	_, err = nix.Nix{}.EvalJSON(t.Context(), lab, 1<<20)
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
	assert.Equal(t, nix.InstallHint, fault.Of(err).Hint)
}

func TestEvalJSONAsksForNoChange(t *testing.T) {
	fakeNix(t)
	args := filepath.Join(t.TempDir(), "args")
	t.Setenv("FAKE_NIX_ARGS", args)
	t.Setenv("FAKE_NIX_STDOUT", `{"version":1}`)

	json, err := nix.Nix{}.EvalJSON(t.Context(), nix.Installable{Flake: "git+file:///lab?rev=" + someCommit, Attr: `packages."a b"`}, 1<<20)
	require.NoError(t, err)
	assert.JSONEq(t, `{"version":1}`, string(json))

	said, err := os.ReadFile(args)
	require.NoError(t, err)
	assert.Equal(t, []string{
		"--extra-experimental-features", "nix-command flakes", "--option", "connect-timeout", "5", "--option", "download-attempts", "2",
		"eval", "--json", "--no-update-lock-file", "--option", "eval-cache", "false",
		"git+file:///lab?rev=" + someCommit + "#packages.%22a%20b%22",
	}, strings.Split(strings.TrimSpace(string(said)), "\n"))
}

func TestEvalJSONIsBounded(t *testing.T) {
	fakeNix(t)
	t.Setenv("FAKE_NIX_STDOUT", strings.Repeat("x", 101))
	_, err := nix.Nix{}.EvalJSON(t.Context(), lab, 100)
	assert.Equal(t, fault.EvalFailed, fault.CodeOf(err))
	assert.ErrorContains(t, err, "homelab evaluates to more than 100 bytes")

	t.Setenv("FAKE_NIX_STDOUT", strings.Repeat("x", 100))
	json, err := nix.Nix{}.EvalJSON(t.Context(), lab, 100)
	require.NoError(t, err)
	assert.Len(t, json, 100)
}

func TestEvalJSONIsCanceled(t *testing.T) {
	fakeNix(t)
	pid := filepath.Join(t.TempDir(), "pid")
	t.Setenv("FAKE_NIX_HANG", pid)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	failed := make(chan error, 1)
	go func() {
		_, err := nix.Nix{}.EvalJSON(ctx, lab, 1<<20)
		failed <- err
	}()
	require.Eventually(t, func() bool { return exists(pid) }, 10*time.Second, time.Millisecond)
	cancel()

	assert.Equal(t, fault.Canceled, fault.CodeOf(<-failed))
	assert.FileExists(t, pid+".stopped", "nix was not asked to stop")
}

func TestEvalJSONPrefersTheOutputToAPackage(t *testing.T) {
	fakeNix(t)
	t.Setenv("FAKE_NIX_ANSWERS", "homelab=\"/nix/store/abc-homelab\"\n.homelab={\"version\":1}\n")
	json, err := nix.Nix{}.EvalJSON(t.Context(), lab, 1<<20)
	require.NoError(t, err)
	assert.JSONEq(t, `{"version":1}`, string(json))

	t.Setenv("FAKE_NIX_ANSWERS", "homelab=\"/nix/store/abc-homelab\"\n")
	t.Setenv("FAKE_NIX_STDERR", "error: flake 'git+file:///lab' does not provide attribute 'packages.x86_64-linux..homelab' or '.homelab'\n")
	_, err = nix.Nix{}.EvalJSON(t.Context(), lab, 1<<20)
	assert.Equal(t, fault.EvalFailed, fault.CodeOf(err))
	assert.ErrorContains(t, err, "homelab names a package")

	t.Setenv("FAKE_NIX_ANSWERS", "packages.x86_64-linux.ha=\"/nix/store/abc-ha\"\n")
	json, err = nix.Nix{}.EvalJSON(t.Context(), nix.Installable{Flake: lab.Flake, Attr: "packages.x86_64-linux.ha"}, 1<<20)
	require.NoError(t, err)
	assert.JSONEq(t, `"/nix/store/abc-ha"`, string(json))
}

func TestEvalJSONCleansMessages(t *testing.T) {
	fakeNix(t)
	tests := []struct {
		name, stderr, message string
	}{
		{"colours", "\x1b[31;1merror:\x1b[0m\n       \x1b[35;1m…\x1b[0m while calling the '\x1b[35;1mthrow\x1b[0m' builtin\n" +
			"         \x1b[34;1mat \x1b[35;1m/lab/flake.nix:1:2\x1b[0m:\n\n       \x1b[31;1merror:\x1b[0m red \x1b]8;;http://x\x07link\x1b]8;;\x07\n",
			"nix eval: red link (at flake.nix:1:2)"},
		{"warnings first", "warning: Git tree '/lab' is dirty\nwarning: error: unable to download 'x'\nerror: real\n", "nix eval: real"},
		{"no message", "error:\n", "nix eval: error:"},
		{"nothing known", "Killed\n", "nix eval: Killed"},
		{"long", "error: " + strings.Repeat("ü", 9000) + "\n", "nix eval: " + strings.Repeat("ü", 500) + "…"},
		{"endless", "error: " + strings.Repeat("x", 99999) + "\n", "nix eval: " + strings.Repeat("x", 1000) + "…"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("FAKE_NIX_STDERR", test.stderr)
			_, err := nix.Nix{}.EvalJSON(t.Context(), lab, 1<<20)
			assert.Equal(t, fault.EvalFailed, fault.CodeOf(err))
			assert.EqualError(t, err, test.message)
		})
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
