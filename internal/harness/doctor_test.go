package harness_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/doctor"
	"homelab/internal/fault"
	"homelab/internal/harness"
	"homelab/internal/plan"
)

// examine runs doctor for a folder and returns its checks by name.
func examine(t *testing.T, dir string) map[string]doctor.Check {
	t.Helper()
	told := 0
	report, err := harness.New(harness.Config{Repo: dir}).Core().Doctor(t.Context(), func(doctor.Check) { told++ })
	require.NoError(t, err)
	assert.Len(t, report.Checks, told, "each check is told")
	checks := map[string]doctor.Check{}
	for _, check := range report.Checks {
		checks[check.Name] = check
	}
	return checks
}

// path makes a PATH of programs that are shell scripts.
func path(t *testing.T, programs map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, script := range programs {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755))
	}
	t.Setenv("PATH", dir)
}

func TestVersionsAreGraded(t *testing.T) {
	for _, c := range []struct {
		git, nix               string
		gitStatus, nixStatus   doctor.Status
		gitVersion, nixVersion string
	}{
		{"echo git version 2.25.0", "echo 'nix (Nix) 2.8.0'", doctor.OK, doctor.OK, "2.25.0", "2.8.0"},
		{"echo git version 2.24.9", "echo 'nix (Nix) 2.7.0pre'", doctor.Fail, doctor.Fail, "2.24.9", "2.7.0pre"},
		{"echo 'git version 2.39.5 (Apple Git-154)'", "echo 'nix (Lix, like Nix) 2.91.1'", doctor.OK, doctor.OK, "2.39.5 (Apple Git-154)", "2.91.1"},
		{"echo git version 3.0-rc1", "echo 'nix (Nix) 3.0'", doctor.OK, doctor.OK, "3.0-rc1", "3.0"},
		{"echo git version odd", "exit 1", doctor.OK, doctor.Fail, "odd", ""},
		{"echo git version 1.99", "true", doctor.Fail, doctor.Fail, "1.99", ""},
	} {
		path(t, map[string]string{"git": c.git, "nix": c.nix})
		checks := examine(t, t.TempDir())
		assert.Equal(t, c.gitStatus, checks["git"].Status, c.git)
		assert.Equal(t, c.gitVersion, checks["git"].Version)
		assert.Equal(t, c.nixStatus, checks["nix"].Status, c.nix)
		assert.Equal(t, c.nixVersion, checks["nix"].Version)
		for _, name := range []string{"git", "nix"} {
			if checks[name].Status != doctor.OK {
				assert.NotEmpty(t, checks[name].Fix, "%s: %+v", name, checks[name])
			}
		}
	}
}

func TestNothingIsThere(t *testing.T) {
	path(t, nil)
	t.Setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
	checks := examine(t, t.TempDir())
	for name, want := range map[string]doctor.Status{
		"git": doctor.Fail, "repository": doctor.Fail, "registry": doctor.Absent, "nix": doctor.Absent, "docker:local": doctor.Absent,
	} {
		assert.Equal(t, want, checks[name].Status, name)
		if name != "registry" {
			assert.NotEmpty(t, checks[name].Fix, name)
		}
	}
	assert.NotContains(t, checks, "ssh", "no host needs it")
}

func TestHostsAreThoseOfTheRegistry(t *testing.T) {
	socket := engine(t, "linux", "arm64")
	dir := repository(t, fmt.Sprintf(`{"version": 1, "hosts": {
		"attic": {"docker": "unix://%[1]s", "system": "x86_64-linux"},
		"pi": {"docker": "unix://%[1]s"},
		"shed": {"docker": "unix:///nowhere/docker.sock"},
		"spare": {"docker": "ssh://nobody@spare.invalid"}
	}, "services": {
		"aa": {"build": {"targets": {"aarch64-linux": "packages.aarch64-linux.a"}}, "hints": ["a"], "deploy": {"host": "pi"}},
		"bb": {"build": {"targets": {"aarch64-linux": "packages.aarch64-linux.b"}}, "hints": ["b"], "deploy": {"host": "shed"}},
		"cc": {"build": {"targets": {"aarch64-linux": "packages.aarch64-linux.c"}}, "hints": ["c"], "deploy": {"host": "attic"}}
	}}`, socket))
	checks := examine(t, dir)
	assert.Equal(t, doctor.Check{Name: "registry", Status: doctor.OK, Detail: "3 services in homelab.json"}, checks["registry"])
	assert.Equal(t, doctor.Check{Name: "docker:pi", Status: doctor.OK, Version: "28.5.2", Detail: "linux/arm64 aarch64-linux"}, checks["docker:pi"])
	assert.Equal(t, doctor.Warn, checks["docker:attic"].Status, "the registry says another system")
	assert.Equal(t, doctor.Fail, checks["docker:shed"].Status, "a service runs there")
	assert.Equal(t, doctor.Absent, checks["docker:spare"].Status, "nothing runs there")
	assert.Contains(t, checks, "ssh")
	assert.NotContains(t, checks, "docker:local")
}

func TestInvalidRegistryPointsToTheCheck(t *testing.T) {
	check := examine(t, repository(t, `{"version": 1, "services": {"a": {"hint": []}}}`))["registry"]
	assert.Equal(t, doctor.Fail, check.Status)
	assert.Contains(t, check.Fix, "homelab registry check")
	assert.NotContains(t, check.Detail, "\n")
}

func TestCacheThatCannotBeWrittenIsAWarning(t *testing.T) {
	inTheWay := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(inTheWay, nil, 0o600))
	t.Setenv("XDG_CACHE_HOME", inTheWay)
	assert.Equal(t, doctor.Warn, examine(t, t.TempDir())["cache"].Status)
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	assert.Equal(t, doctor.OK, examine(t, t.TempDir())["cache"].Status)
	entries, err := os.ReadDir(cache)
	require.NoError(t, err)
	assert.Empty(t, entries, "doctor only looks")
}

func TestStateThatCannotBeWrittenIsAFailure(t *testing.T) {
	inTheWay := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(inTheWay, nil, 0o600))
	t.Setenv("HOMELAB_STATE", inTheWay)
	assert.Equal(t, doctor.Fail, examine(t, t.TempDir())["state"].Status)
	t.Setenv("HOMELAB_STATE", "relative")
	assert.Equal(t, doctor.Fail, examine(t, t.TempDir())["state"].Status)
	state := t.TempDir()
	t.Setenv("HOMELAB_STATE", state)
	assert.Equal(t, doctor.OK, examine(t, t.TempDir())["state"].Status)
}

// Every system that a host runs needs somebody who builds it.
func TestBuildersAreThoseThatHostsNeed(t *testing.T) {
	git, err := exec.LookPath("git")
	require.NoError(t, err)
	dir := repository(t, `{"version": 1, "hosts": {"pi": {"docker": "unix:///nowhere/docker.sock", "system": "aarch64-linux"}}, "services": {
		"aa": {"build": {"targets": {"aarch64-linux": "packages.aarch64-linux.a"}}, "hints": ["a"], "deploy": {"host": "pi"}}
	}}`)
	for builders, want := range map[string]doctor.Check{
		"":                             {Status: doctor.Warn, Detail: "nothing builds aarch64-linux, which host pi runs"},
		"ssh-ng://attic aarch64-linux": {Status: doctor.OK, Detail: "x86_64-linux, ssh-ng://attic"},
	} {
		path(t, map[string]string{
			"git": "exec " + git + ` "$@"`,
			"nix": `case "$*" in *--version*) echo nix 2.8;; *) echo '{"system":{"value":"x86_64-linux"},"extra-platforms":{"value":[]},"builders":{"value":"` + builders + `"}}';; esac`,
		})
		checks := examine(t, dir)
		require.Equal(t, doctor.OK, checks["registry"].Status, "%+v", checks["registry"])
		check := checks["builders"]
		if want.Status == doctor.Warn {
			assert.Contains(t, check.Fix, "builders=ssh-ng://HOST aarch64-linux")
		}
		assert.Equal(t, want, doctor.Check{Status: check.Status, Detail: check.Detail})
	}
}

// A resident server outlives what was missing when it was first asked.
func TestRepositoryThatComesLaterIsFound(t *testing.T) {
	dir := t.TempDir()
	core := harness.New(harness.Config{Repo: dir}).Core()
	_, err := core.List(t.Context(), plan.ListRequest{})
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))

	fill(t, dir, `{"version": 1, "services": {}}`)
	listing, err := core.List(t.Context(), plan.ListRequest{})
	require.NoError(t, err)
	assert.Zero(t, listing.Count)
}

func repository(t *testing.T, registry string) string {
	t.Helper()
	dir := t.TempDir()
	fill(t, dir, registry)
	return dir
}

func fill(t *testing.T, dir, registry string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", "-C", dir, "init", "-q").CombinedOutput()
	require.NoError(t, err, string(out))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "homelab.json"), []byte(registry), 0o644))
}

// engine answers on a socket as a Docker engine does when it is asked who it is.
func engine(t *testing.T, system, arch string) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/version", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		assert.NoError(t, json.NewEncoder(w).Encode(map[string]string{"Version": "28.5.2", "ApiVersion": "1.51", "Os": system, "Arch": arch}))
	})
	socket := filepath.Join(t.TempDir(), "docker.sock")
	listener, err := net.Listen("unix", socket)
	require.NoError(t, err)
	server := &http.Server{Handler: mux}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		assert.NoError(t, server.Close())
		assert.ErrorIs(t, <-served, http.ErrServerClosed)
	})
	return socket
}
