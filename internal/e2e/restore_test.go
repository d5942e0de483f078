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
	"homelab/internal/state"
)

func (l *lab) restores(args ...string) state.RestoreReport {
	l.t.Helper()
	return answered[state.RestoreReport](l, "state_restore", append([]string{"state", "restore"}, args...)...)
}

// confirmed previews a restore, and has it done.
func (l *lab) confirmed(args ...string) state.RestoreReport {
	l.t.Helper()
	preview := l.restores(args...)
	require.Equal(l.t, "preview", preview.State)
	return l.restores(append(args, "--confirm", preview.Preview.PreviewID)...)
}

// The state of a service comes back from its bundle, goes back to what it was before
// that, and comes back once more when its container and its volume are destroyed.
func TestStateRestore(t *testing.T) {
	t.Parallel()
	l, docker, _ := keeping(t)
	history := func() string { t.Helper(); return docker("exec", "home-assistant", "cat", "/config/history") }
	docker("exec", "home-assistant", "sh", "-c", "echo what happened >/config/history; chmod 640 /config/history")
	made := answered[state.BundleReport](l, "state_bundle", "state", "bundle", "ha")
	docker("exec", "home-assistant", "sh", "-c", "echo what came later >/config/history")

	preview := l.restores(made.Bundle)
	assert.Equal(t, []any{"home-assistant", "pi", true}, []any{preview.Service, preview.Host, preview.Preview.Stops})
	assert.Equal(t, "what came later", history())
	assert.Equal(t, string(fault.Conflict), l.fails("state", "restore", made.Bundle, "--confirm", "000000000000").Code)
	done := l.confirmed(made.Bundle)
	assert.Equal(t, "what happened", history())
	assert.Contains(t, docker("exec", "home-assistant", "ls", "-l", "/config/history"), "-rw-r-----")
	assert.Equal(t, deploy.ServiceRunning, l.status().Services[1].State)
	assert.Positive(t, done.Done.Outage)
	assert.NotEmpty(t, done.Todo)

	l.confirmed("--service", "ha", "--undo", done.Done.ID)
	assert.Equal(t, "what came later", history())
	l.confirmed("--service", "ha", "--commit", done.Done.ID)
	assert.Equal(t, string(fault.NotFound), l.fails("state", "restore", "--service", "ha", "--undo", done.Done.ID).Code)

	docker("rm", "--force", "home-assistant")
	docker("volume", "rm", "homelab-home-assistant")
	again := l.confirmed(made.Bundle)
	assert.Zero(t, again.Done.Outage)
	require.NotEmpty(t, again.Warnings)
	l.runs("ha")
	assert.Equal(t, "what happened", history())
	background := l.restores(made.Bundle, "--background", "--confirm", l.restores(made.Bundle).Preview.PreviewID)
	assert.Equal(t, "running", background.State)
	over := answered[struct{ Result state.RestoreReport }](l, "job_get", "job", "get", background.JobID, "--wait", "60")
	assert.Equal(t, "succeeded", over.Result.State)
}

// A restore that is killed is undone, without anybody asking for it: or it was over.
func TestRestoreIsKilled(t *testing.T) {
	t.Parallel()
	l, docker, _ := keeping(t)
	docker("exec", "home-assistant", "sh", "-c", "for i in $(seq 2000); do echo $i >/config/$i; done; echo before >/config/history")
	made := answered[state.BundleReport](l, "state_bundle", "state", "bundle", "ha")
	docker("exec", "home-assistant", "sh", "-c", "echo later >/config/history")
	preview := l.restores(made.Bundle).Preview.PreviewID

	journal := filepath.Join(l.state(), "restore", "restores", "*", "*.json")
	pending := func() bool {
		left, err := filepath.Glob(journal)
		return err == nil && len(left) > 0
	}
	watched := filepath.Join(l.state(), "watchdog.log") // from when on there is somebody
	require.NoError(t, os.Remove(watched))
	killed, err := command.Start(context.Background(), l.command(filepath.Join(bin, "homelab"), "state", "restore", made.Bundle, "--confirm", preview))
	require.NoError(t, err)
	require.Eventually(t, func() bool { _, err := os.Stat(watched); return err == nil }, 60*time.Second, time.Millisecond)
	time.Sleep(100 * time.Millisecond) // it has to begin
	require.NoError(t, syscall.Kill(killed.PID, syscall.SIGKILL))
	killed.Wait()
	require.NoError(t, killed.Close())
	require.Eventually(t, func() bool { return !pending() }, 60*time.Second, 50*time.Millisecond)
	require.Eventually(t, func() bool { return l.status().Services[1].State == deploy.ServiceRunning }, 60*time.Second, 50*time.Millisecond)
	assert.Contains(t, []string{"before", "later"}, docker("exec", "home-assistant", "cat", "/config/history"))
	assert.Equal(t, "2000", docker("exec", "home-assistant", "cat", "/config/2000"))
	if strings.Contains(docker("exec", "home-assistant", "cat", "/config/history"), "later") {
		assert.NotContains(t, docker("exec", "home-assistant", "ls", "-A", "/config"), ".homelab-", "nothing is left of it")
	}
}
