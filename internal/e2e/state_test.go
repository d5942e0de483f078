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
	"homelab/internal/quiesce"
	"homelab/internal/state"
)

// keeping is a lab with Home Assistant running on a host that is reached through ssh, and
// a folder for its bundles.
func keeping(t *testing.T) (l *lab, docker func(args ...string) string, store string) {
	t.Helper()
	l, socket := onPi(t, homeAssistant)
	store = t.TempDir()
	l.replace("registry.nix", `quiesce = { kind = "stop"; timeout = "30s"; };`, `quiesce = { kind = "stop"; timeout = "30s"; }; stores = [ "`+store+`" ];`)
	l.commit()
	_, exit := l.build("ha")
	require.Zero(t, exit)
	l.runs("ha")
	docker = func(args ...string) string {
		t.Helper()
		result, err := command.Run(t.Context(), command.Cmd{Name: "docker", Args: append([]string{"--host", "unix://" + socket}, args...)})
		require.NoError(t, err)
		require.Zero(t, result.Exit, "%s%s", result.Stdout, result.Stderr)
		return strings.TrimSpace(string(result.Stdout))
	}
	return l, docker, store
}

// The state of a service becomes a bundle while it runs, which is found, verified, and
// restored by hand.
func TestStateBundle(t *testing.T) {
	t.Parallel()
	l, docker, store := keeping(t)
	docker("exec", "home-assistant", "sh", "-c", "echo what happened >/config/history; ln /config/history /config/same; echo noise >/config/x.log")

	report := answered[state.BundleReport](l, "state_bundle", "state", "bundle", "ha")
	assert.Equal(t, []any{"home-assistant", "pi", store, quiesce.Stop}, []any{report.Service, report.Host, report.Store, report.About.Consistency})
	assert.Positive(t, report.Outage)
	assert.Equal(t, deploy.ServiceRunning, l.status().Services[1].State)
	assert.Empty(t, l.status().Services[1].Drift)
	assert.Equal(t, l.git("rev-parse", "HEAD"), report.About.Revision)

	listing := answered[state.Listing](l, "state_list", "state", "list", "ha")
	require.Equal(t, 1, listing.Count)
	assert.Equal(t, report.Bundle, listing.Bundles[0].ID)
	verified := answered[state.VerifyReport](l, "state_verify", "state", "verify", report.Bundle, "--deep")
	assert.Equal(t, report.Index, verified.Index)
	assert.Equal(t, []string{"homelab-home-assistant"}, verified.Items)
	assert.NotEmpty(t, answered[state.Listing](l, "state_list", "state", "list").Bundles[0].Verified)

	there := t.TempDir()
	l.run("sh", "-c", "zstd -dqc '"+filepath.Join(store, "home-assistant", report.Bundle+".bundle")+"' | tar x -C "+there)
	content, err := os.ReadFile(filepath.Join(there, "items/0/same"))
	require.NoError(t, err)
	assert.Equal(t, "what happened\n", string(content))
	assert.NoFileExists(t, filepath.Join(there, "items/0/x.log"))

	background := answered[state.BundleReport](l, "state_bundle", "state", "bundle", "ha", "--background")
	assert.Equal(t, "running", background.State)
	over := answered[struct{ Result state.BundleReport }](l, "job_get", "job", "get", background.JobID, "--wait", "60")
	assert.Equal(t, "succeeded", over.Result.State)
	assert.NotEqual(t, report.Bundle, over.Result.Bundle)
	assert.Equal(t, 2, answered[state.Listing](l, "state_list", "state", "list", "ha").Count)
}

// A process that is killed while the service is at rest leaves it so for a moment only:
// the watchdog wakes it. Nothing is listed of what was not complete.
func TestKilledAtRest(t *testing.T) {
	t.Parallel()
	l, docker, store := keeping(t)
	// It takes its time to end, so that there is time to be killed.
	l.replace("registry.nix", `quiesce = { kind = "stop"; timeout = "30s"; };`, `quiesce = { kind = "exec"; freeze = [ "sleep" "20" ]; thaw = [ "touch" "/config/thawed" ]; timeout = "90s"; };`)
	killed, err := command.Start(context.Background(), l.command(filepath.Join(bin, "homelab"), "state", "bundle", "ha"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return strings.Contains(docker("top", "home-assistant"), "sleep 20") }, 60*time.Second, 20*time.Millisecond)
	f := l.fails("state", "bundle", "ha")
	assert.Equal(t, string(fault.Locked), f.Code)
	require.NoError(t, syscall.Kill(killed.PID, syscall.SIGKILL))
	killed.Wait()
	require.NoError(t, killed.Close())

	require.Eventually(t, func() bool { return strings.Contains(docker("exec", "home-assistant", "ls", "/config"), "thawed") }, 60*time.Second, 50*time.Millisecond)
	require.Eventually(t, func() bool {
		left, err := filepath.Glob(filepath.Join(l.state(), "quiesce", "*", "*.json"))
		return err == nil && len(left) == 0
	}, 60*time.Second, 50*time.Millisecond, "when what puts it to rest is over, too")
	listed, err := os.ReadDir(store)
	require.NoError(t, err)
	assert.Empty(t, listed)
}
