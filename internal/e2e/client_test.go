package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/command"
	"homelab/tools"
)

// inspector is the MCP Inspector on a server that notes its process id.
type inspector struct {
	*lab
	pidFile string
	program string
	server  string
}

func newInspector(t *testing.T) inspector {
	t.Helper()
	installed, err := filepath.Abs(filepath.Join(root, ".tools/node_modules"))
	require.NoError(t, err)
	program := filepath.Join(installed, ".bin/mcp-inspector")
	require.FileExists(t, program, "the MCP Inspector is missing: make test installs it")
	nodes, err := filepath.Glob(filepath.Join(installed, "node-linux-*/bin"))
	require.NoError(t, err)

	l := newLab(t)
	i := inspector{
		lab:     l.with("PATH=" + strings.Join(append(nodes, os.Getenv("PATH")), ":")),
		pidFile: filepath.Join(t.TempDir(), "pid"), program: program, server: filepath.Join(t.TempDir(), "server"),
	}
	script := "#!/bin/sh\necho $$ >'" + i.pidFile + "'\nexec '" + bin + "/homelab' mcp\n"
	require.NoError(t, os.WriteFile(i.server, []byte(script), 0o755))
	return i
}

func (i inspector) arguments(method string, args ...string) []string {
	return append([]string{"--cli", i.server, "--method", method}, args...)
}

// ask calls a method once. The server ends with it.
func (i inspector) ask(method string, args ...string) command.Result {
	i.t.Helper()
	result := i.run(i.program, i.arguments(method, args...)...)
	i.gone(i.pid(), 5*time.Second)
	return result
}

func (i inspector) pid() int {
	i.t.Helper()
	return pidIn(i.t, i.pidFile)
}

// pidIn waits for a process to write its id into a file.
func pidIn(t *testing.T, file string) int {
	t.Helper()
	pid := 0
	require.Eventually(t, func() bool {
		content, err := os.ReadFile(file)
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(content)))
		return err == nil
	}, 30*time.Second, 10*time.Millisecond, "no process id in %s", file)
	return pid
}

func (i inspector) gone(pid int, within time.Duration) {
	i.t.Helper()
	require.Eventually(i.t, func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH }, within, 20*time.Millisecond,
		"process %d is still there", pid)
}

// The Inspector finds nothing in the schemas that another client would trip
// over.
func TestInspectorListsTheTools(t *testing.T) {
	t.Parallel()
	listed := newInspector(t).ask("tools/list", "--strict")
	require.Zero(t, listed.Exit, "%s", listed.Stderr)
	var answer struct {
		Tools []struct {
			Name         string
			InputSchema  map[string]any
			OutputSchema map[string]any
			Annotations  map[string]any
		}
	}
	require.NoError(t, json.Unmarshal(listed.Stdout, &answer))
	changing := []string{"build", "deploy", "deploy_repair", "docker_load", "docker_prune", "docker_run", "job_cancel", "rollback", "state_bundle", "state_drill", "state_migrate", "state_prune", "state_restore"}
	var names, want []string
	for _, tool := range answer.Tools {
		names = append(names, tool.Name)
		assert.NotEmpty(t, tool.InputSchema, tool.Name)
		assert.NotEmpty(t, tool.OutputSchema, tool.Name)
		assert.Equal(t, !slices.Contains(changing, tool.Name), tool.Annotations["readOnlyHint"], tool.Name)
	}
	for _, tool := range tools.Catalog(tools.Core{}) {
		want = append(want, tool.Name)
	}
	assert.ElementsMatch(t, want, names)
}

func TestInspectorCallsPlan(t *testing.T) {
	t.Parallel()
	i := newInspector(t)
	i.edit(metrics)
	called := i.ask("tools/call", "--tool-name", "plan", "--tool-arg", "base=HEAD", "system=aarch64-linux")
	require.Zero(t, called.Exit, "%s", called.Stderr)
	var answer struct {
		Content           []struct{ Text string }
		StructuredContent json.RawMessage
	}
	require.NoError(t, json.Unmarshal(called.Stdout, &answer))
	require.Len(t, answer.Content, 1)
	assert.Contains(t, answer.Content[0].Text, "2 of 3 services to rebuild")
	assert.JSONEq(t, string(i.json("plan", "--base", "HEAD", "--system", "aarch64-linux")), string(answer.StructuredContent))
}

func TestInspectorSeesTheError(t *testing.T) {
	t.Parallel()
	called := newInspector(t).ask("tools/call", "--tool-name", "registry_get", "--tool-arg", "name=grafanna")
	assert.NotZero(t, called.Exit)
	var answer struct {
		IsError bool
		Content []struct{ Text string }
	}
	require.NoError(t, json.Unmarshal(called.Stdout, &answer), "%s%s", called.Stdout, called.Stderr)
	assert.True(t, answer.IsError)
	require.Len(t, answer.Content, 1)
	assert.Contains(t, answer.Content[0].Text, "did you mean grafana")
}

// A client that is killed in the middle of a call leaves no server behind, and
// no nix.
func TestInspectorIsKilled(t *testing.T) {
	t.Parallel()
	i := newInspector(t)
	nixPID := filepath.Join(t.TempDir(), "pid")
	i.lab = i.with("PATH=" + i.hanging(nixPID) + ":" + i.variable("PATH"))

	client, err := command.Start(context.Background(), i.command(i.program, i.arguments("tools/call", "--tool-name", "plan")...))
	require.NoError(t, err)
	server, nix := i.pid(), pidIn(t, nixPID)
	require.NoError(t, syscall.Kill(client.PID, syscall.SIGKILL))
	client.Wait()
	// It gives the call half a minute to finish.
	i.gone(server, 45*time.Second)
	i.gone(nix, 5*time.Second)
	require.NoError(t, client.Close())
}

// hanging is a folder with a nix that notes its process id and never answers.
func (l *lab) hanging(pidFile string) string {
	l.t.Helper()
	folder := l.t.TempDir()
	script := "#!/bin/sh\necho $$ >'" + pidFile + "'\nexec sleep 600\n"
	require.NoError(l.t, os.WriteFile(filepath.Join(folder, "nix"), []byte(script), 0o755))
	return folder
}

// variable is the last value of a variable of the lab.
func (l *lab) variable(name string) string {
	value := os.Getenv(name)
	for _, entry := range l.env {
		if v, ok := strings.CutPrefix(entry, name+"="); ok {
			value = v
		}
	}
	return value
}
