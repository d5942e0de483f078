package dockerhost_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/engine/dockerhost"
	"homelab/internal/fault"
)

func TestSSHArguments(t *testing.T) {
	rows := []struct{ url, arguments string }{
		{"ssh://host", "-- host docker system dial-stdio"},
		{"ssh://me@host", "-l me -- host docker system dial-stdio"},
		{"ssh://me@host:2222", "-l me -p 2222 -- host docker system dial-stdio"},
		{"ssh://[fe80::1]:22", "-p 22 -- fe80::1 docker system dial-stdio"},
		{"ssh://host/", "-- host docker system dial-stdio"},
		{"ssh://host/run/d.sock", "-- host docker -H 'unix:///run/d.sock' system dial-stdio"},
		{"ssh://host/a'b", `-- host docker -H 'unix:///a'\''b' system dial-stdio`},
	}
	for _, row := range rows {
		t.Run(row.url, func(t *testing.T) {
			fakeSSH(t, `printf '%s\n' "$*" >&2; exit 1`)
			f := refused(t, dockerhost.Endpoint{URL: row.url})
			assert.Contains(t, f.Message, "-T -o BatchMode=yes -o ServerAliveInterval=10 -o ServerAliveCountMax=3 -o ConnectTimeout=8 "+row.arguments)
		})
	}
}

func TestSSHFailures(t *testing.T) {
	rows := map[string]struct {
		script        string
		code          fault.Code
		message, hint string
	}{
		"no such host": {
			`echo "ssh: Could not resolve hostname h: Name or service not known" >&2; exit 255`,
			fault.HostUnreachable, "Could not resolve hostname", "try it by hand: ssh me@h docker version",
		},
		"the reason comes last": {
			`printf 'Welcome to h\n@@@@@@\nHost key verification failed.\r\n' >&2; exit 255`,
			fault.HostUnreachable, ": Host key verification failed.", "try it by hand",
		},
		"no docker command there": {
			`echo "sh: 1: docker: not found" >&2; exit 127`,
			fault.EngineUnavailable, "has no docker command", "install the docker command on the host",
		},
		"socket of others": {
			`echo "dial unix /var/run/docker.sock: connect: permission denied" >&2; exit 1`,
			fault.EngineUnavailable, "no access to the Docker engine", "group docker",
		},
		"engine down": {
			`echo "dial unix /var/run/docker.sock: connect: connection refused" >&2; exit 1`,
			fault.EngineUnavailable, "connect: connection refused", "start Docker on that host",
		},
		"says nothing": {
			`exit 255`,
			fault.HostUnreachable, "exit status 255 without a message", "try it by hand",
		},
		"killed": {
			`kill -KILL $$`,
			fault.HostUnreachable, "ssh cannot reach the host", "try it by hand",
		},
		"ends well without an answer": {
			`exit 0`,
			fault.EngineUnavailable, "gives no usable answer", "",
		},
		"speaks something else": {
			`echo "Please change your password."; read line`,
			fault.EngineUnavailable, "gives no usable answer", "",
		},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			pids := recordPIDs(t, fakeSSH(t, row.script))
			f := refused(t, dockerhost.Endpoint{URL: "ssh://me@h", Source: "DOCKER_HOST"})
			assert.Len(t, pids(), 1, "a failure is not tried twice")
			assert.Equal(t, row.code, f.Code)
			assert.Contains(t, f.Message, row.message)
			assert.Contains(t, f.Message, "ssh://me@h (DOCKER_HOST)")
			assert.Contains(t, f.Hint, row.hint)
		})
	}
}

func TestSSHIsNotInstalled(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	f := refused(t, dockerhost.Endpoint{URL: "ssh://h"})
	assert.Equal(t, fault.Precondition, f.Code)
	assert.Contains(t, f.Hint, "openssh-client")
}

// TestSSHHangs has ssh take no notice of the closed connection, and then not
// even of the polite signal.
func TestSSHHangs(t *testing.T) {
	rows := map[string]struct {
		script string
		within time.Duration
	}{
		"sleeps":          {`exec sleep 300`, 3 * time.Second},
		"ignores SIGTERM": {`trap '' TERM; while :; do sleep 300; done`, 7 * time.Second},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			pids := recordPIDs(t, fakeSSH(t, row.script))
			start := time.Now()
			engine, err := dockerhost.Dial(t.Context(), dockerhost.Endpoint{URL: "ssh://h"})
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err = engine.Server(ctx)
			f := fault.Of(err)
			assert.Equal(t, fault.HostUnreachable, f.Code)
			assert.Equal(t, "the Docker engine at ssh://h does not answer (gave up after 1s)", f.Message)
			assert.Equal(t, "try it by hand: ssh h docker version", f.Hint)

			require.NoError(t, engine.Close())
			assert.Less(t, time.Since(start), row.within)
			require.NotEmpty(t, pids())
			for _, pid := range pids() {
				assert.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
			}
		})
	}
}

// TestSSHEndsInUse takes the connection away from a call that waits for it.
func TestSSHEndsInUse(t *testing.T) {
	rows := map[string]func(end context.CancelFunc, engine *dockerhost.Engine){
		"with the context": func(end context.CancelFunc, _ *dockerhost.Engine) { end() },
		"with the handle":  func(_ context.CancelFunc, engine *dockerhost.Engine) { assert.NoError(t, engine.Close()) },
	}
	for name, take := range rows {
		t.Run(name, func(t *testing.T) {
			pids := recordPIDs(t, fakeSSH(t, `exec sleep 300`))
			life, end := context.WithCancel(t.Context())
			defer end()
			engine, err := dockerhost.Dial(life, dockerhost.Endpoint{URL: "ssh://h"})
			require.NoError(t, err)
			answer := make(chan error)
			go func() {
				_, err := engine.Server(t.Context())
				answer <- err
			}()
			require.Eventually(t, func() bool { return len(pids()) == 1 }, 5*time.Second, 5*time.Millisecond)
			start := time.Now()
			take(end, engine)
			assert.Error(t, <-answer)
			assert.Less(t, time.Since(start), 5*time.Second, "well before the call would have given up")
			require.NoError(t, engine.Close())
			assert.ErrorIs(t, syscall.Kill(pids()[0], 0), syscall.ESRCH)
		})
	}
}

// fakeSSH puts an ssh command of its own on PATH and returns its folder.
func fakeSSH(t *testing.T, script string) string {
	t.Helper()
	bin := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(bin, "ssh"), []byte("#!/bin/sh\n"+script+"\n"), 0o755))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	return bin
}

// recordPIDs wraps the ssh command in bin, so that every run of it leaves its
// process id, and returns what tells them.
func recordPIDs(t *testing.T, bin string) func() []int {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "pids")
	script := "#!/bin/sh\necho $$ >>'" + log + "'\nexec '" + filepath.Join(bin, "ssh") + "' \"$@\"\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ssh"), []byte(script), 0o755))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func() []int {
		raw, err := os.ReadFile(log)
		if err != nil {
			require.ErrorIs(t, err, os.ErrNotExist)
		}
		var pids []int
		for _, word := range strings.Fields(string(raw)) {
			pid, err := strconv.Atoi(word)
			require.NoError(t, err)
			pids = append(pids, pid)
		}
		return pids
	}
}
