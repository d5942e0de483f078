package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/command"
	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/rollout"
)

// Versions follow each other on a host: what they say, the way back, what is left of
// them, and what a crash leaves.
func TestVersionsOnAHost(t *testing.T) {
	t.Parallel()
	l, socket := onPi(t, homeAssistant)
	l.replace("registry.nix", `path = "/manifest.json"; interval = "500ms"; timeout = "30s";`, `path = "/manifest.json"; interval = "100ms"; timeout = "5s";`)
	l.replace("modules/oci/init.sh", "httpd -f -p", "httpd -f -v -p") // so that it says something
	l.commit()
	const scenes = "services/home-assistant/scenes.yaml"
	deployed := func() rollout.Service {
		t.Helper()
		report := answered[rollout.Report](l, "deploy", "deploy", "ha", "--yes")
		require.Equal(t, rollout.Succeeded, report.State)
		return report.Services[0]
	}
	outs := []string{}
	for range 4 {
		l.write(scenes, unique()+l.read(scenes))
		outs = append(outs, deployed().To.Out)
	}
	running := func() (int, string) {
		t.Helper()
		ha := l.status().Services[1]
		require.Equal(t, deploy.ServiceRunning, ha.State)
		return ha.Generation, ha.Out
	}

	said := answered[deploy.LogsReport](l, "logs", "logs", "ha", "--grep", "response:2..$")
	assert.Equal(t, []any{"home-assistant", "pi", 4, deploy.Running}, []any{said.Service, said.Host, said.Generation, said.State})
	require.NotEmpty(t, said.Lines)
	assert.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z .*response:200$`, said.Lines[0])
	earlier := answered[deploy.LogsReport](l, "logs", "logs", "ha", "--generation", "3", "--tail", "1")
	assert.Equal(t, []any{3, deploy.Exited, 1}, []any{earlier.Generation, earlier.State, len(earlier.Lines)})
	assert.Equal(t, string(fault.NotFound), l.fails("logs", "ha", "--generation", "1").Code, "two are kept")

	// Back, but not on a preview that does not hold any more.
	preview := answered[rollout.Report](l, "rollback", "rollback", "ha")
	assert.Equal(t, []any{4, 3, outs[2], rollout.Restart}, []any{preview.Services[0].From.Generation, preview.Services[0].To.Generation, preview.Services[0].To.Out, preview.Services[0].Downtime})
	assert.Equal(t, "newerData", preview.Warnings[0].Code)
	back := answered[rollout.Report](l, "rollback", "rollback", "ha", "--confirm", preview.PreviewID[:12])
	assert.Equal(t, []any{rollout.Succeeded, 3, 4}, []any{back.State, back.Services[0].Run.Generation, back.Services[0].Run.Before})
	generation, out := running()
	assert.Equal(t, []any{3, outs[2]}, []any{generation, out})
	assert.Equal(t, string(fault.Conflict), l.fails("rollback", "ha", "--confirm", preview.PreviewID).Code)
	forward := answered[rollout.Report](l, "rollback", "rollback", "ha", "--generation", "4", "--yes")
	assert.Equal(t, rollout.Succeeded, forward.State)
	generation, _ = running()
	assert.Equal(t, 4, generation)
	assert.Empty(t, l.status().Services[1].Drift, "the restart policy is that of the registry again")

	// What nothing needs goes: the images of generations that are gone.
	docker := func(args ...string) command.Result {
		t.Helper()
		return l.with("DOCKER_HOST=unix://"+socket).run("docker", args...)
	}
	pin := func(out string) string { return "homelab/home-assistant:nix-" + filepath.Base(out)[:32] }
	unused := answered[deploy.PruneReport](l, "docker_prune", "docker", "prune", "--host", "pi")
	assert.Equal(t, []int{0, 1}, []int{unused.Containers, unused.Images}, "%+v", unused)
	assert.Equal(t, []string{pin(outs[0])}, unused.Hosts[0].Items[0].Names)
	assert.Positive(t, unused.Bytes)
	pruned := answered[deploy.PruneReport](l, "docker_prune", "docker", "prune", "--host", "pi", "--confirm", unused.PreviewID)
	assert.Equal(t, []any{"succeeded", 1}, []any{pruned.State, pruned.Images})
	assert.NotZero(t, docker("image", "inspect", pin(outs[0])).Exit)
	for _, out := range outs[1:] {
		assert.Zero(t, docker("image", "inspect", pin(out)).Exit, "a generation that is kept needs it")
	}
	assert.Zero(t, answered[deploy.PruneReport](l, "docker_prune", "docker", "prune", "ha").Images)
	all := answered[deploy.PruneReport](l, "docker_prune", "docker", "prune")
	assert.Equal(t, []any{"local", false, "pi", true}, []any{all.Hosts[0].Name, all.Hosts[0].Answers, all.Hosts[1].Name, all.Hosts[1].Answers}, "a host that is silent holds up no other")

	// Killed while a version that never answers is waited for.
	l.replace("services/home-assistant/default.nix", `/manifest.json`, `/nothing.json`)
	_, exit := l.build("ha")
	require.Zero(t, exit)
	entry := filepath.Join(l.state(), "deploy/pi/home-assistant.json")
	killed := func() {
		t.Helper()
		p, err := command.Start(context.Background(), l.command(filepath.Join(bin, "homelab"), "deploy", "ha", "--yes"))
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			content, err := os.ReadFile(entry)
			return err == nil && strings.Contains(string(content), `"step":"gate"`)
		}, 30*time.Second, 10*time.Millisecond)
		require.NoError(t, syscall.Kill(p.PID, syscall.SIGKILL))
		p.Wait()
		require.NoError(t, p.Close())
		assert.Equal(t, "gate", l.status().Services[1].BrokenOff)
	}
	killed()
	f := l.fails("rollback", "ha")
	assert.Equal(t, []string{string(fault.Precondition), "repair it first: homelab deploy repair home-assistant"}, []string{f.Code, f.Hint})
	repaired := answered[deploy.RepairReport](l, "deploy_repair", "deploy", "repair")
	require.Len(t, repaired.Services, 1)
	assert.Equal(t, []any{"home-assistant", "pi", deploy.Mended, "gate"}, []any{repaired.Services[0].Service, repaired.Services[0].Host, repaired.Services[0].Status, repaired.Services[0].Step})
	assert.Contains(t, repaired.Services[0].What, "is undone")
	generation, out = running()
	assert.Equal(t, []any{4, outs[3]}, []any{generation, out})
	assert.NoFileExists(t, entry)
	assert.Empty(t, answered[deploy.RepairReport](l, "deploy_repair", "deploy", "repair", "ha").Services)

	// The next server that starts repairs as well.
	killed()
	server, err := command.Start(context.Background(), l.command(filepath.Join(bin, "homelab"), "mcp"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { _, err := os.Stat(entry); return os.IsNotExist(err) }, 60*time.Second, 20*time.Millisecond)
	require.NoError(t, server.CloseWrite())
	ended := server.Wait()
	assert.Zero(t, ended.Exit)
	assert.Contains(t, string(ended.Stderr), "homelab mcp: home-assistant on pi: repaired: a switch to generation 5 was broken off before the step")
	generation, _ = running()
	assert.Equal(t, 4, generation)
}
