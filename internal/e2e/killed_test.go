package e2e

import (
	"context"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/command"
	"homelab/internal/deploy"
	"homelab/internal/fault"
)

// While one process switches a service another one is told so; when the first is killed
// in the middle, the next one repairs what it has left.
func TestTwoRunsAtOnceAndAKilledOne(t *testing.T) {
	t.Parallel()
	l, _ := onPi(t, homeAssistant)
	built, exit := l.build("ha")
	require.Zero(t, exit)
	first := l.runs("ha")

	// A version that never answers.
	l.replace("services/home-assistant/default.nix", `/manifest.json`, `/nothing.json`)
	l.replace("registry.nix", `path = "/manifest.json"; interval = "500ms"; timeout = "30s";`, `path = "/manifest.json"; interval = "500ms"; timeout = "10s";`)
	_, exit = l.build("ha")
	require.Zero(t, exit)
	killed, err := command.Start(context.Background(), l.command(filepath.Join(bin, "homelab"), "docker", "run", "ha"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return l.status().Services[1].BrokenOff == "gate" }, 30*time.Second, 20*time.Millisecond)
	f := l.fails("docker", "run", "ha")
	assert.Equal(t, string(fault.Locked), f.Code)
	assert.Contains(t, f.Message, l.jobs().Jobs[0].ID)
	require.NoError(t, syscall.Kill(killed.PID, syscall.SIGKILL))
	killed.Wait()
	require.NoError(t, killed.Close())
	assert.Equal(t, "gate", l.status().Services[1].BrokenOff, "nobody has undone it")

	again := l.runs("ha", "--job-id", built.JobID)
	assert.False(t, again.Run.Changed, "what ran before runs again")
	assert.Equal(t, first.Run.ID, again.Run.ID)
	assert.Contains(t, again.Run.Repaired, "is undone; the version before runs")
	ha := l.status().Services[1]
	assert.Equal(t, deploy.ServiceRunning, ha.State)
	assert.Empty(t, ha.BrokenOff)
}
