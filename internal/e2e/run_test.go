package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/plan"
)

func (l *lab) runs(args ...string) deploy.RunReport {
	l.t.Helper()
	return answered[deploy.RunReport](l, "docker_run", append([]string{"docker", "run"}, args...)...)
}

func (l *lab) status(args ...string) deploy.StatusReport {
	l.t.Helper()
	return answered[deploy.StatusReport](l, "status", append([]string{"status"}, args...)...)
}

// The example runs on another host, next versions take its place, and one that does
// not come up leaves the one before.
func TestDockerRun(t *testing.T) {
	t.Parallel()
	l, socket := onPi(t, homeAssistant)
	const scenes = "services/home-assistant/scenes.yaml"

	built, exit := l.build("ha")
	require.Zero(t, exit)
	first := l.runs("ha")
	assert.True(t, first.Run.Changed)
	assert.Equal(t, []any{"home-assistant", "pi", 1, 0}, []any{first.Service, first.Host, first.Run.Generation, first.Run.Before})
	assert.Equal(t, built.Services[0].Out, first.Out)
	assert.False(t, l.runs("ha").Run.Changed)
	seen := l.status()
	assert.Equal(t, deploy.StatusCounts{Total: 3, Running: 1, Unknown: 2}, seen.Counts, "%+v", seen)
	ha := seen.Services[1]
	assert.Equal(t, []any{"home-assistant", deploy.ServiceRunning, 1, first.Out, first.Out, l.git("rev-parse", "HEAD")},
		[]any{ha.Name, ha.State, ha.Generation, ha.Out, ha.WantOut, ha.Revision})
	assert.Empty(t, ha.Drift)
	assert.False(t, seen.Hosts[0].Answers, "nobody is at the socket of this machine")
	assert.True(t, seen.Hosts[1].Answers)

	l.write(scenes, unique()+l.read(scenes))
	behind := l.status().Services[1]
	assert.Equal(t, []any{first.Out, "", plan.Rebuild}, []any{behind.Out, behind.WantOut, behind.Todo}, "nobody has evaluated the edit")
	behind = l.status("--exact").Services[1]
	next, exit := l.build("ha")
	require.Zero(t, exit)
	assert.Equal(t, next.Services[0].Out, behind.WantOut)
	assert.Equal(t, behind.WantOut, l.status().Services[1].WantOut, "what was evaluated is remembered")
	second := l.runs("ha", "--job-id", next.JobID)
	assert.Equal(t, []int{2, 1}, []int{second.Run.Generation, second.Run.Before})
	assert.Positive(t, second.Run.Downtime)
	assert.Equal(t, 1, second.Image.Reused)

	l.replace("registry.nix", `ports = [ "8123:8123" ];`, `ports = [ "8124:8123" ];`)
	drifted := l.status().Services[1]
	assert.Equal(t, []deploy.Difference{{Field: "ports", Want: "8124:8123/tcp", Is: "8123:8123/tcp"}}, drifted.Drift)
	l.replace("registry.nix", `ports = [ "8124:8123" ];`, `ports = [ "8123:8123" ];`)

	// A version that never answers.
	l.replace("services/home-assistant/default.nix", `/manifest.json`, `/nothing.json`)
	l.replace("registry.nix", `path = "/manifest.json"; interval = "500ms"; timeout = "30s";`, `path = "/manifest.json"; interval = "500ms"; timeout = "3s";`)
	_, exit = l.build("ha")
	require.Zero(t, exit)
	f := l.fails("docker", "run", "ha")
	assert.Equal(t, string(fault.Unhealthy), f.Code)
	assert.Contains(t, f.Message, "the version before runs")
	failed := l.homelab("job", "get", l.jobs().Jobs[0].ID)
	assert.Equal(t, fault.Unhealthy.Exit(), failed.Exit, "%s", failed.Stderr)
	assert.Contains(t, string(failed.Stdout), "the version before runs")

	l.replace("services/home-assistant/default.nix", `/nothing.json`, `/manifest.json`)
	l.replace("registry.nix", `path = "/manifest.json"; interval = "500ms"; timeout = "3s";`, `path = "/manifest.json"; interval = "500ms"; timeout = "30s";`)
	again := l.runs("ha")
	assert.False(t, again.Run.Changed, "what was built before still runs")
	assert.Equal(t, second.Run.ID, again.Run.ID)

	// What is harmless as it is written, and is the engine's socket on the host.
	link := filepath.Join(t.TempDir(), "harmless")
	require.NoError(t, os.Symlink(socket, link))
	l.replace("registry.nix", `host = "pi";`, `host = "pi"; mounts = [ { source = "`+link+`"; target = "/x"; } ];`)
	denied := l.fails("docker", "run", "ha")
	assert.Equal(t, string(fault.Denied), denied.Code)
	assert.Contains(t, denied.Message, "which leads to \""+socket)
}
