package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/command"
	"homelab/internal/deploy"
	"homelab/internal/engine/docker/dockertest"
	"homelab/internal/fault"
	"homelab/internal/state"
)

// moving is a lab with Home Assistant running on the host pi, which writes all the while,
// and another host, nas: each an engine in a network of its own, reached through ssh.
type moving struct {
	*lab
	sockets map[string]string // of the engines, by host
	ways    string            // a file with the processes of ssh that lead to nas
}

// portOfNas tells the ways to nas from those to pi: nobody listens there, see
// [dockertest.Bridged.StartSSH].
const portOfNas = "2223"

func newMoving(t *testing.T, edits ...string) *moving {
	t.Helper()
	m := &moving{sockets: map[string]string{}, ways: filepath.Join(t.TempDir(), "ways")}
	ssh := map[string]dockertest.SSH{}
	for _, host := range []string{"pi", "nas"} {
		engine := dockertest.StartEngineWithBridge(t)
		m.sockets[host], ssh[host] = engine.Socket, engine.StartSSH(t)
	}
	l := newLab(t).building().path(map[string]string{"ssh": fmt.Sprintf(`case "$*" in
*%s*) echo $$ >>%s; exec %s/ssh -o HostKeyAlias=[127.0.0.1]:2222 "$@";;
esac
exec %s/ssh "$@"`, portOfNas, m.ways, ssh["nas"].Bin, ssh["pi"].Bin)})
	l.replace("registry.nix", "ssh://homelab@pi.lan", ssh["pi"].URL(m.sockets["pi"]))
	l.replace("registry.nix", `system = "aarch64-linux";`, `system = "`+system+`";`)
	l.replace("registry.nix", "  services = {\n", `  hosts.nas = { docker = "`+strings.Replace(ssh["nas"].URL(m.sockets["nas"]), "2222", portOfNas, 1)+`"; system = "`+system+"\"; };\n\n  services = {\n")
	l.replace("registry.nix", `ports = [ "8123:8123" ];`, `host = "pi"; ports = [ "8123:8123" ];`)
	if len(edits) > 0 {
		l.replace("registry.nix", edits[0], edits[1])
	}
	l.commit()
	m.lab = l
	_, exit := l.build("ha")
	require.Zero(t, exit)
	l.runs("ha")
	m.docker("pi", "exec", "home-assistant", "sh", "-c", "head -c 60000000 /dev/urandom >/config/large; ln /config/large /config/same")
	m.write("pi")
	return m
}

func (m *moving) docker(host string, args ...string) string {
	m.t.Helper()
	result, err := command.Run(context.Background(), command.Cmd{Name: "docker", Args: append([]string{"--host", "unix://" + m.sockets[host]}, args...)})
	require.NoError(m.t, err)
	require.Zero(m.t, result.Exit, "%s", result.Stderr)
	return strings.TrimSpace(string(result.Stdout))
}

// write has the service count, a line for each number, from where it left off.
func (m *moving) write(host string) {
	m.t.Helper()
	m.docker(host, "exec", "--detach", "home-assistant", "sh", "-c",
		`i=$(tail -n 1 /config/history 2>/dev/null); i=${i:-0}; while :; do i=$((i+1)); echo $i >>/config/history; done`)
}

// volume is the folder of the service's volume on a host.
func (m *moving) volume(host string) string {
	m.t.Helper()
	return m.docker(host, "volume", "inspect", "--format", "{{.Mountpoint}}", "homelab-home-assistant")
}

// counted fails unless what was written is there from 1 on without a gap, and returns
// how far it goes.
func (m *moving) counted(host string) int {
	m.t.Helper()
	content, err := os.ReadFile(filepath.Join(m.volume(host), "history"))
	require.NoError(m.t, err)
	lines := strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
	for i, line := range lines {
		require.Equal(m.t, strconv.Itoa(i+1), line)
	}
	return len(lines)
}

// large is that file of a host.
func (m *moving) large(host string) []byte {
	m.t.Helper()
	content, err := os.ReadFile(filepath.Join(m.volume(host), "same"))
	require.NoError(m.t, err)
	return content
}

// are the containers of a host, with what they do.
func (m *moving) are(host string) string {
	m.t.Helper()
	return m.docker(host, "ps", "--all", "--format", "{{.Names}} {{.State}}", "--filter", "label="+deploy.LabelService)
}

func (m *moving) migrate(args ...string) *state.MigrateReport {
	m.t.Helper()
	report := answered[state.MigrateReport](m.lab, "state_migrate", append([]string{"state", "migrate", "ha"}, args...)...)
	return &report
}

// A service that writes all the while goes to another host and back, and nothing that it
// wrote is missing.
func TestStateMigrate(t *testing.T) {
	t.Parallel()
	m := newMoving(t)
	assert.Equal(t, string(fault.Precondition), m.fails("state", "migrate", "ha", "--to-host", "pi").Code)
	preview := m.migrate("--to-host", "nas")
	assert.Equal(t, []any{"preview", "home-assistant", "pi", "nas"}, []any{preview.State, preview.Service, preview.From, preview.To})
	assert.Empty(t, preview.Warnings)
	assert.Equal(t, preview.Preview.Runs, preview.Preview.Out)
	assert.Empty(t, m.are("nas"))

	done := m.migrate("--to-host", "nas", "--confirm", preview.Unconfirmed())
	t.Logf("without the service: %.2f s; %d passes, %d bytes, of them %d in the last, %+v", done.Done.Outage, done.Done.Passes, done.Done.Bytes, done.Done.LastBytes, done.Done.Parts)
	assert.Equal(t, "home-assistant.g1-moved-to-nas exited", m.are("pi"))
	assert.Equal(t, "home-assistant running", m.are("nas"))
	assert.Equal(t, m.counted("pi"), m.counted("nas"))
	assert.Equal(t, m.large("pi"), m.large("nas"))
	assert.Greater(t, done.Done.Passes, 1)
	assert.Less(t, done.Done.LastBytes, done.Done.Bytes/2)
	assert.Contains(t, strings.Join(done.Todo, "\n"), "Sign in again")
	left, err := filepath.Glob(filepath.Join(m.volume("nas"), ".homelab-*"))
	require.NoError(t, err)
	assert.Empty(t, left, "nothing was there before")
	assert.Equal(t, "unless-stopped no", m.policy("nas", "home-assistant")+" "+m.policy("pi", "home-assistant.g1-moved-to-nas"))

	there := m.status().Services[1]
	assert.Equal(t, []any{"pi", "nas", deploy.ServiceMissing}, []any{there.Host, there.Moved, there.State})
	for _, args := range [][]string{{"docker", "run", "ha"}, {"state", "migrate", "ha", "--to-host", "nas"}} {
		assert.Equal(t, string(fault.Precondition), m.fails(args...).Code, "%s", args)
	}
	m.replace("registry.nix", `host = "pi"; ports = [ "8123:8123" ];`, `host = "nas"; ports = [ "8123:8123" ];`)
	m.commit()
	there = m.status().Services[1]
	assert.Equal(t, []any{"nas", "", deploy.ServiceRunning, done.Done.Generation}, []any{there.Host, there.Moved, there.State, there.Generation})
	assert.Empty(t, there.Drift)

	m.write("nas")
	started := m.migrate("--to-host", "pi", "--confirm", m.migrate("--to-host", "pi").Unconfirmed(), "--background")
	assert.Equal(t, "running", started.State)
	over := answered[struct{ Result state.MigrateReport }](m.lab, "job_get", "job", "get", started.JobID, "--wait", "60")
	require.Equal(t, "succeeded", over.Result.State)
	assert.Equal(t, "home-assistant running\nhome-assistant.g1 exited", m.are("pi"))
	assert.Equal(t, m.counted("nas"), m.counted("pi"))
	kept := answered[state.RestoreReport](m.lab, "state_restore", "state", "restore", "--service", "ha", "--host", "pi", "--commit", over.Result.Done.ID)
	answered[state.RestoreReport](m.lab, "state_restore", "state", "restore", "--service", "ha", "--host", "pi", "--commit", over.Result.Done.ID, "--confirm", kept.Unconfirmed())
	left, err = filepath.Glob(filepath.Join(m.volume("pi"), ".homelab-*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

func (m *moving) policy(host, container string) string {
	m.t.Helper()
	return m.docker(host, "inspect", "--format", "{{.HostConfig.RestartPolicy.Name}}", container)
}

// begun begins a migration.
func (m *moving) begun() *command.Pipe {
	m.t.Helper()
	confirm := m.migrate("--to-host", "nas").Unconfirmed()
	pipe, err := command.Start(context.Background(), m.command(filepath.Join(bin, "homelab"), "state", "migrate", "ha", "--to-host", "nas", "--confirm", confirm))
	require.NoError(m.t, err)
	return pipe
}

// sends waits until something has been copied to nas.
func (m *moving) sends() {
	m.t.Helper()
	require.Eventually(m.t, func() bool {
		staged, err := filepath.Glob(filepath.Join(m.volumeThere(), ".homelab-*", "new", "large"))
		return err == nil && len(staged) > 0
	}, time.Minute, 2*time.Millisecond)
}

// volumeThere is the folder of the volume on nas; empty: there is none.
func (m *moving) volumeThere() string {
	result, err := command.Run(context.Background(), command.Cmd{Name: "docker", Args: []string{"--host", "unix://" + m.sockets["nas"], "volume", "inspect", "--format", "{{.Mountpoint}}", "homelab-home-assistant"}})
	if err != nil || result.Exit != 0 {
		return ""
	}
	return strings.TrimSpace(string(result.Stdout))
}

// stops waits until the service has been stopped on pi.
func (m *moving) stops() {
	m.t.Helper()
	require.Eventually(m.t, func() bool { return !strings.Contains(m.are("pi"), "running") }, time.Minute, time.Millisecond)
}

// cut kills every ssh that leads to nas.
func (m *moving) cut() {
	m.t.Helper()
	content, err := os.ReadFile(m.ways)
	require.NoError(m.t, err)
	for _, line := range strings.Fields(string(content)) {
		pid, err := strconv.Atoi(line)
		require.NoError(m.t, err)
		command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && strings.Contains(string(command), portOfNas) { // it is that process still
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may end by itself
		}
	}
}

// settles waits until no migration is on record any more.
func (m *moving) settles() {
	m.t.Helper()
	require.Eventually(m.t, func() bool {
		left, err := filepath.Glob(filepath.Join(m.state(), "migrate", "moving", "*", "*.json"))
		return err == nil && len(left) == 0
	}, 2*time.Minute, 20*time.Millisecond)
}

// stayed fails unless the service runs on pi as before, and nothing of it is on nas.
func (m *moving) stayed() {
	m.t.Helper()
	assert.Equal(m.t, "home-assistant running", m.are("pi"))
	assert.Equal(m.t, "unless-stopped", m.policy("pi", "home-assistant"))
	assert.Empty(m.t, m.are("nas"))
	left, err := os.ReadDir(m.volume("nas"))
	require.NoError(m.t, err)
	assert.Empty(m.t, left)
	assert.NotZero(m.t, m.counted("pi"))
}

// Whoever is killed, or cut off, in the midst leaves the service where it was, by itself;
// and it can be moved then.
func TestMigrateIsCutOff(t *testing.T) {
	for name, row := range map[string]struct {
		wait func(m *moving)
		kill bool // of homelab; else the way to the host is cut
	}{
		"killed while it copies":      {(*moving).sends, true},
		"killed while it is stopped":  {(*moving).stops, true},
		"cut off while it copies":     {(*moving).sends, false},
		"cut off while it is stopped": {(*moving).stops, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// It has to run for two seconds then: time to be killed in.
			m := newMoving(t, `kind = "http"; port = 8123; path = "/manifest.json"; interval = "500ms";`, `kind = "docker";`)
			pipe := m.begun()
			row.wait(m)
			if row.kill {
				require.NoError(t, syscall.Kill(pipe.PID, syscall.SIGKILL))
			} else {
				m.cut()
			}
			result := pipe.Wait()
			require.NoError(t, pipe.Close())
			assert.NotZero(t, result.Exit)
			m.settles()
			m.stayed()
			m.migrate("--to-host", "nas", "--confirm", m.migrate("--to-host", "nas").Unconfirmed())
			assert.Equal(t, "home-assistant running", m.are("nas"))
			assert.Equal(t, m.counted("pi"), m.counted("nas"))
		})
	}
}
