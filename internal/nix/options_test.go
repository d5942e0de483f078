package nix_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/nix"
)

func TestParseOptions(t *testing.T) {
	options, err := nix.ParseOptions([]string{"max-jobs=auto", "builders=", " substituters = https://a?x=1 https://b ", "store=ssh-ng://nas"})
	require.NoError(t, err)
	assert.Equal(t, []string{"builders=", "max-jobs=auto", "store=ssh-ng://nas", "substituters=https://a?x=1 https://b"}, options.Strings())
	again, err := nix.ParseOptions(options.Strings())
	require.NoError(t, err)
	assert.Equal(t, options, again)
	assert.Equal(t, []string{}, nix.Options{}.Strings())

	for _, row := range []struct {
		settings      string
		message, hint string
	}{
		{"max-jobs", `"max-jobs" has no value`, "NAME=VALUE"},
		{"max-job=1", `"max-job" cannot be given here`, "did you mean max-jobs?"},
		{"MAX-JOBS=1", `"MAX-JOBS" cannot be given here`, "did you mean max-jobs?"},
		{"=1", `"" cannot be given here`, "nix.conf"},
		{"cores=2\ncores=3", "cores is given twice", "once"},
		{"cores=many", `cores cannot be "many"`, "nix.conf"},
		{"cores=-1", `cores cannot be "-1"`, "nix.conf"},
		{"max-jobs=", `max-jobs cannot be ""`, "nix.conf"},
		{"fallback=yes", `fallback cannot be "yes"`, "nix.conf"},
		{"store=", `store cannot be ""`, "nix.conf"},
		{"builders=a\x00b", `builders cannot be "a\x00b"`, "nix.conf"},
	} {
		_, err := nix.ParseOptions(strings.Split(row.settings, "\n"))
		assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err), row.settings)
		assert.ErrorContains(t, err, row.message)
		assert.Contains(t, fault.Of(err).Hint, row.hint)
	}
}

// What weakens a build, or runs a program, is for nix.conf.
func TestOptionsThatAreRefused(t *testing.T) {
	for _, name := range []string{
		"sandbox", "sandbox-paths", "sandbox-fallback", "extra-sandbox-paths", "post-build-hook", "pre-build-hook", "build-hook",
		"diff-hook", "run-diff-hook", "plugin-files", "impure-env", "impure-host-deps", "allow-import-from-derivation", "allow-unsafe-native-code-during-evaluation",
		"allowed-uris", "allow-dirty", "accept-flake-config", "require-sigs", "trusted-users", "trusted-substituters", "build-users-group",
		"netrc-file", "access-tokens", "secret-key-files", "experimental-features", "extra-experimental-features", "filter-syscalls",
		"restrict-eval", "pure-eval", "ssl-cert-file", "build-dir", "keep-outputs", "system", "external-builders", "hashed-mirrors",
	} {
		_, err := nix.ParseOptions([]string{name + "=true"})
		assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err), name)
		assert.NotContains(t, nix.OptionNames(), name)
	}
}

func TestOptionsReachEveryCommand(t *testing.T) {
	ran := loggedNix(t)
	options, err := nix.ParseOptions([]string{"connect-timeout=9", "store=/elsewhere", "builders=ssh://a x86_64-linux"})
	require.NoError(t, err)
	for _, n := range []nix.Nix{{}, {Options: options}} {
		// The answers do not matter.
		_, _ = n.EvalJSON(t.Context(), lab, 1<<20)
		_, _ = n.Targets(t.Context(), lab.Flake, []string{"packages.x.a"})
		_, _ = n.Systems(t.Context())
		_, _ = realise(t, n, nix.Realisation{Drv: "/nix/store/00000000000000000000000000000000-a.drv"})
		_, _ = n.Valid(t.Context(), []string{"/nix/store/a"})
		_, _ = n.Hashes(t.Context(), []string{"/nix/store/a"})
		_ = n.AddRoot(t.Context(), "/nix/store/a", filepath.Join(t.TempDir(), "root"))
	}
	lines := ran()
	require.Len(t, lines, 2*8)
	for i, line := range lines {
		want := `"--option" "connect-timeout" "5" "--option" "download-attempts" "2"`
		if i >= len(lines)/2 {
			want = `"--option" "builders" "ssh://a x86_64-linux" "--option" "connect-timeout" "9" "--option" "download-attempts" "2" "--store" "/elsewhere"`
		}
		assert.Contains(t, line, want)
	}
}

// All names and flags are known to the real Nix.
func TestRealOptions(t *testing.T) {
	broken := broken(t)
	folder := t.TempDir()
	var settings []string
	for _, name := range nix.OptionNames() {
		value := map[string]string{"store": "local?root=" + folder, "builders-use-substitutes": "true", "fallback": "true", "substitute": "false"}[name]
		if value == "" && !strings.Contains(name, "builders") && !strings.Contains(name, "subst") && !strings.Contains(name, "extra") && !strings.Contains(name, "keys") {
			value = "1"
		}
		settings = append(settings, name+"="+value)
	}
	options, err := nix.ParseOptions(settings)
	require.NoError(t, err)
	n := nix.Nix{Options: options}
	evaluated, err := n.Targets(t.Context(), broken.ref(), []string{broken.attr("good")})
	require.NoError(t, err)
	target := evaluated[broken.attr("good")].Target
	require.NotEmpty(t, target.Drv, "%v", evaluated)
	assert.FileExists(t, folder+target.Drv, "evaluated into another store")
	_, err = realise(t, n, nix.Realisation{Drv: target.Drv, Log: t.Output()})
	if err != nil {
		// A store in a folder of its own needs a sandbox to build in.
		assert.NotContains(t, err.Error(), "option")
	}
	invalid, err := n.Valid(t.Context(), []string{target.Drv, target.Out + "-x"})
	require.NoError(t, err)
	assert.Equal(t, []string{target.Out + "-x"}, invalid)
}

func TestWhereStorePathsAre(t *testing.T) {
	t.Parallel()
	for store, want := range map[string]string{
		"": "/nix/store/a", "auto": "/nix/store/a", "daemon": "/nix/store/a", "local": "/nix/store/a",
		"local?root=/elsewhere": "/elsewhere/nix/store/a", "local://?root=/elsewhere&read-only=true": "/elsewhere/nix/store/a", "/elsewhere": "/elsewhere/nix/store/a",
		"ssh-ng://attic": "", "s3://bucket": "", "https://cache.example.org": "",
	} {
		n := nix.Nix{}
		if store != "" {
			options, err := nix.ParseOptions([]string{"store=" + store})
			require.NoError(t, err)
			n.Options = options
		}
		assert.Equal(t, want, n.File("/nix/store/a"), store)
	}
}
