package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/cli"
	"homelab/internal/harness"

	"homelab/tools"
	"homelab/tools/toolstest"
)

const validRegistry = `{
  "version": 1,
  "hosts": {"pi": {"docker": "unix:///nowhere/docker.sock", "system": "aarch64-linux"}},
  "services": {
    "grafana": {"build": {"targets": {"aarch64-linux": "packages.aarch64-linux.grafana"}}, "hints": ["grafana"], "deploy": {"host": "pi"}},
    "old": {"build": {"targets": {"x86_64-linux": "packages.x86_64-linux.old"}}, "hints": ["gone/**"], "deploy": {"host": "pi"}}
  }
}`

// What the real tools answer, in repositories of every kind of emptiness, is
// what their schemas promise: no list is null, no field is missing.
func TestRealAnswersFitTheirSchemas(t *testing.T) {
	calls := map[string]string{
		"plan": `{}`, "job_list": `{}`, "registry_list": `{}`, "registry_get": `{"name":"grafana"}`, "registry_check": `{}`, "doctor": `{}`,
	}
	for state, build := range map[string]func(t *testing.T, dir string){
		"nothing committed": func(*testing.T, string) {},
		"committed":         func(t *testing.T, dir string) { git(t, dir, "add", "."); git(t, dir, "commit", "-qm", "all") },
		"edited": func(t *testing.T, dir string) {
			git(t, dir, "add", ".")
			git(t, dir, "commit", "-qm", "all")
			file(t, dir, "grafana/grafana.ini", "changed")
			file(t, dir, "stray.txt", "")
		},
	} {
		t.Run(state, func(t *testing.T) {
			dir := t.TempDir()
			git(t, dir, "init", "-q", "-b", "main")
			file(t, dir, "homelab.json", validRegistry)
			file(t, dir, "grafana/grafana.ini", "")
			build(t, dir)
			for _, tool := range tools.Catalog(harness.Open(cli.Settings{Repo: dir})) {
				if tool.Engines || slices.Contains([]string{"build", "job_get", "job_cancel"}, tool.Name) {
					continue // internal/e2e builds and deploys
				}
				require.Contains(t, calls, tool.Name)
				result, err := tool.Call(t.Context(), json.RawMessage(calls[tool.Name]), nil)
				require.NoError(t, err, tool.Name)
				fits(t, tool.Name, result)
			}
		})
	}
	t.Run("invalid registry", func(t *testing.T) {
		dir := t.TempDir()
		git(t, dir, "init", "-q", "-b", "main")
		file(t, dir, "homelab.json", `{"version": 2}`)
		for _, tool := range tools.Catalog(harness.Open(cli.Settings{Repo: dir})) {
			if tool.Name == "registry_check" {
				result, err := tool.Call(t.Context(), nil, nil)
				require.NoError(t, err)
				assert.Equal(t, 2, result.Verdict.Exit())
				fits(t, tool.Name, result)
			}
		}
	})
}

func fits(t *testing.T, tool string, result tools.Result) {
	t.Helper()
	data, err := result.JSON()
	require.NoError(t, err)
	toolstest.Fits(t, tool, data)
	assert.NotEmpty(t, result.Text, tool)
}

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.org"}, args...)...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}

func file(t *testing.T, dir, name, content string) {
	t.Helper()
	full := filepath.Join(dir, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o755))
	require.NoError(t, os.WriteFile(full, []byte(content), 0o644))
}
