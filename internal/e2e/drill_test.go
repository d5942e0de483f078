package e2e

import (
	"context"
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
	"homelab/internal/state"
)

// A bundle is tried in a copy on the host while the service runs, and nothing is left of
// that: not when it is healthy, not when it is not, and not when the drill is killed and
// a repair follows.
func TestStateDrill(t *testing.T) {
	t.Parallel()
	l, docker, _ := keeping(t)
	docker("exec", "home-assistant", "sh", "-c", "echo what happened >/config/history")
	made := answered[state.BundleReport](l, "state_bundle", "state", "bundle", "ha")
	docker("exec", "home-assistant", "sh", "-c", "echo since then >>/config/history")
	service := func() string {
		return docker("inspect", "--format", "{{.Id}} {{.State.StartedAt}} {{.RestartCount}}", "home-assistant") + docker("exec", "home-assistant", "cat", "/config/history")
	}
	before := service()
	untouched := func() {
		t.Helper()
		assert.Equal(t, before, service())
		assert.Equal(t, "home-assistant", docker("ps", "--all", "--format", "{{.Names}}"))
		for _, kind := range []string{"volume", "network"} {
			assert.Empty(t, docker(kind, "ls", "--quiet", "--filter", "label="+deploy.LabelDrill), kind)
		}
		for _, folder := range []string{"captures/*", "drills/*/*"} {
			left, err := filepath.Glob(filepath.Join(l.state(), folder))
			require.NoError(t, err)
			assert.Empty(t, left)
		}
		assert.Equal(t, deploy.ServiceRunning, l.status().Services[1].State)
	}

	report := answered[state.DrillReport](l, "state_drill", "state", "drill", made.Bundle)
	assert.Equal(t, []any{"passed", "home-assistant", "pi", "http", "container", made.Index, []string{"homelab-home-assistant"}},
		[]any{report.State, report.Service, report.Host, report.Gate, report.ImageFrom, report.Index, report.Items})
	assert.Empty(t, report.Warnings)
	assert.NotEmpty(t, answered[state.Listing](l, "state_list", "state", "list").Bundles[0].Verified)
	untouched()

	background := answered[state.DrillReport](l, "state_drill", "state", "drill", made.Bundle, "--background")
	assert.Equal(t, "running", background.State)
	over := answered[struct{ Result state.DrillReport }](l, "job_get", "job", "get", background.JobID, "--wait", "60")
	assert.Equal(t, "passed", over.Result.State)
	untouched()

	// What it is asked for it does not have: neither a copy, nor when it is deployed.
	l.replace("registry.nix", `path = "/manifest.json"; interval = "500ms"; timeout = "30s";`, `path = "/nothing.json"; interval = "500ms"; timeout = "3s";`)
	sick, exit := graded[state.DrillReport](l, "state_drill", "state", "drill", made.Bundle)
	assert.Equal(t, []any{fault.Unhealthy.Exit(), "failed", fault.Unhealthy}, []any{exit, sick.State, sick.Problem.Code})
	assert.Contains(t, sick.Problem.Message, "/nothing.json")
	untouched()

	l.replace("registry.nix", `path = "/nothing.json"; interval = "500ms"; timeout = "3s";`, `path = "/nothing.json"; interval = "500ms"; timeout = "60s";`)
	killed, err := command.Start(context.Background(), l.command(filepath.Join(bin, "homelab"), "state", "drill", made.Bundle))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return strings.Contains(docker("ps", "--format", "{{.Names}}"), "homelab-state_drill-") }, 60*time.Second, 20*time.Millisecond)
	require.NoError(t, syscall.Kill(killed.PID, syscall.SIGKILL))
	killed.Wait()
	require.NoError(t, killed.Close())
	assert.Contains(t, docker("ps", "--format", "{{.Names}}"), "homelab-state_drill-")
	repaired := answered[deploy.RepairReport](l, "deploy_repair", "deploy", "repair")
	require.Len(t, repaired.Services, 1)
	assert.Equal(t, []any{"home-assistant", "drill", deploy.Mended}, []any{repaired.Services[0].Service, repaired.Services[0].Step, repaired.Services[0].Status})
	untouched()
}
