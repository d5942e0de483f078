package docker_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/engine/docker"
	"homelab/internal/engine/docker/dockertest"
	"homelab/internal/fault"
)

// load gives an engine an image of a behaviour.
func load(t *testing.T, e *docker.Engine, b deploytest.Behaviour) {
	t.Helper()
	require.NoError(t, e.Load(t.Context(), bytes.NewReader(deploytest.BehaviourArchive(t, "real/app:v1", b))))
}

// run starts a container of the image, which goes with the test.
func run(t *testing.T, e *docker.Engine, spec deploy.Spec) deploy.Container {
	t.Helper()
	spec.Service, spec.Image = "app", "real/app:v1"
	id, err := e.Create(t.Context(), "app", spec, nil)
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, e.Stop(context.Background(), id, 0))
		assert.NoError(t, e.Remove(context.Background(), id))
	})
	require.NoError(t, e.Start(t.Context(), id))
	c, err := e.Container(t.Context(), id)
	require.NoError(t, err)
	return *c
}

// says is what a command prints that goes well.
func says(t *testing.T, e *docker.Engine, c deploy.Container, command ...string) string {
	t.Helper()
	exit, output, err := e.Exec(t.Context(), c.ID, command)
	require.NoError(t, err)
	require.Zero(t, exit, "%s", output)
	return output
}

// What the kernel grants is what the spec grants.
func TestSecurityInside(t *testing.T) {
	e := open(t, "unix://"+dockertest.StartEngine(t))
	load(t, e, deploytest.Behaviour{})
	const none, bind = "0000000000000000", "0000000000000400" // sets of capabilities, bit 10 is NET_BIND_SERVICE
	host, err := os.Readlink("/proc/self/ns/ipc")
	require.NoError(t, err)
	rows := map[string]struct {
		security  deploy.Security
		wants     []string
		ipc, null bool
	}{
		"least": {deploy.Security{}, []string{"CapBnd:\t" + none, "NoNewPrivs:\t1", "Seccomp:\t2"}, false, false},
		"more": {
			deploy.Security{Capabilities: []string{"NET_BIND_SERVICE"}, NewPrivileges: true, Unconfined: true, HostIPC: true, HostPID: true, Devices: []string{"/dev/loop-control"}},
			[]string{"CapBnd:\t" + bind, "NoNewPrivs:\t0", "Seccomp:\t0"}, true, true,
		},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			c := run(t, e, deploy.Spec{Security: row.security})
			status := says(t, e, c, "cat", "/proc/self/status")
			for _, want := range row.wants {
				assert.Contains(t, status, want)
			}
			assert.Equal(t, row.ipc, host == strings.TrimSpace(says(t, e, c, "busybox", "readlink", "/proc/self/ns/ipc")))
			assert.Equal(t, row.null, strings.Contains(says(t, e, c, "busybox", "ls", "/dev"), "loop-control"))
			assert.Equal(t, row.security.HostPID, !strings.Contains(says(t, e, c, "cat", "/proc/1/cmdline"), "run.sh"))
		})
	}
}

// Env files give variables, those of the registry win, and nobody is told of the
// former. They are those of the engine's host.
func TestEnvFiles(t *testing.T) {
	socket, ssh := dockertest.StartEngine(t), dockertest.StartSSH(t)
	t.Run("socket", func(t *testing.T) { envFiles(t, open(t, "unix://"+socket)) })
	t.Run("ssh", func(t *testing.T) {
		t.Setenv("PATH", ssh.Bin+":"+os.Getenv("PATH"))
		envFiles(t, open(t, ssh.URL(socket)))
	})
	t.Run("tcp", func(t *testing.T) {
		e := open(t, "tcp://127.0.0.1:1")
		_, err := e.Create(t.Context(), "app", deploy.Spec{Service: "app", Image: "real/app:v1", EnvFiles: []string{"/run/app.env"}}, nil)
		assert.EqualError(t, err, "env file: no way to /run/app.env on the host of tcp://127.0.0.1:1: a tcp:// engine gives none to its files")
		assert.Equal(t, fault.Precondition, fault.CodeOf(err))
		assert.Contains(t, fault.Of(err).Hint, "ssh://")
	})
}

func envFiles(t *testing.T, e *docker.Engine) {
	load(t, e, deploytest.Behaviour{})
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	first := file("first", "\ufeff# a comment\n\nTOKEN=s3cret = \"quoted\" \nSHARED=first\n  INDENTED=yes\r\nEMPTY=\n")
	second := file("second", "SHARED=second\nOWN=hidden")
	c := run(t, e, deploy.Spec{EnvFiles: []string{first, second}, Env: map[string]string{"OWN": "of the registry", "LAST": "1"}})
	env := strings.Split(says(t, e, c, "env"), "\n")
	for _, want := range []string{`TOKEN=s3cret = "quoted" `, "SHARED=second", "INDENTED=yes", "EMPTY=", "OWN=of the registry", "LAST=1", "OF_THE_IMAGE=1"} {
		assert.Contains(t, env, want)
	}
	assert.Equal(t, map[string]string{"OWN": "of the registry", "LAST": "1"}, c.Spec.Env)
	assert.NotContains(t, fmt.Sprintf("%+v", c), "s3cret")

	for content, line := range map[string]int{"A=1\nhunter2\n": 2, "=hunter2": 1, "a hunter2=x": 1, "A=hunter2\x00": 1} {
		_, err := e.Create(t.Context(), "bad", deploy.Spec{Service: "app", Image: "real/app:v1", EnvFiles: []string{file("bad", content)}}, nil)
		require.Error(t, err, "%q", content)
		assert.Equal(t, fault.Precondition, fault.CodeOf(err))
		assert.ErrorContains(t, err, fmt.Sprintf("line %d of env file", line))
		assert.NotContains(t, err.Error()+fault.Of(err).Hint, "hunter2")
	}
}

// A container that is removed leaves its volume; a folder that has the engine's own
// in it can be mounted as well.
func TestMountsInside(t *testing.T) {
	socket := dockertest.StartEngine(t)
	e := open(t, "unix://"+socket)
	load(t, e, deploytest.Behaviour{})
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "note"), []byte("from the host\n"), 0o600))
	spec := deploy.Spec{Mounts: []deploy.Mount{{Volume: "kept", Target: "/data"}, {Source: "/tmp", Target: "/with-engine"}, {Source: dir, Target: "/host", ReadOnly: true}}}
	t.Run("writes", func(t *testing.T) {
		c := run(t, e, spec)
		says(t, e, c, "sh", "-c", "echo written > /data/file")
		assert.Equal(t, "from the host\n", says(t, e, c, "cat", "/host/note"))
		exit, output, err := e.Exec(t.Context(), c.ID, []string{"sh", "-c", "echo no > /host/note"})
		require.NoError(t, err)
		assert.NotZero(t, exit)
		assert.Contains(t, output, "Read-only file system")
	})
	t.Run("reads", func(t *testing.T) { assert.Equal(t, "written\n", says(t, e, run(t, e, spec), "cat", "/data/file")) })

	kept, err := raw(t, socket).VolumeInspect(t.Context(), "kept")
	require.NoError(t, err)
	assert.Equal(t, map[string]string{deploy.LabelService: "app"}, kept.Labels, "who made it")

	t.Run("a path that goes before the start", func(t *testing.T) {
		gone := filepath.Join(t.TempDir(), "gone")
		require.NoError(t, os.Mkdir(gone, 0o700))
		id, err := e.Create(t.Context(), "gone", deploy.Spec{Service: "app", Image: "real/app:v1", Mounts: []deploy.Mount{{Source: gone, Target: "/x"}}}, nil)
		require.NoError(t, err)
		require.NoError(t, os.Remove(gone))
		err = e.Start(t.Context(), id)
		assert.ErrorIs(t, err, deploy.ErrRefused)
		assert.Equal(t, fault.Precondition, fault.CodeOf(err))
		assert.ErrorContains(t, err, "there is no "+gone+" on the host")
		_, err = os.Stat(gone)
		assert.ErrorIs(t, err, os.ErrNotExist, "nobody makes it")
	})
}

// A port that a process of the host holds is told as one that a container holds.
func TestPortOfAProcess(t *testing.T) {
	engine := dockertest.StartEngineWithBridge(t)
	e := open(t, "unix://"+engine.Socket)
	load(t, e, deploytest.Behaviour{})
	var listener net.Listener
	var failed error
	engine.Inside(t, func() { listener, failed = net.Listen("tcp", "0.0.0.0:18200") })
	require.NoError(t, failed)
	defer listener.Close()
	id, err := e.Create(t.Context(), "app", deploy.Spec{Service: "app", Image: "real/app:v1", Ports: []deploy.Port{{Host: 18200, Container: 80, Protocol: "tcp"}}}, nil)
	require.NoError(t, err)
	err = e.Start(t.Context(), id)
	assert.ErrorIs(t, err, deploy.ErrRefused)
	assert.Equal(t, fault.Conflict, fault.CodeOf(err))
	assert.EqualError(t, err, "docker start: port 18200 of the host is taken by something else: container app cannot publish it")
	assert.Contains(t, fault.Of(err).Hint, "ss -lnp 'sport = :18200'")
}

// What cannot be started keeps the engine's words.
func TestNothingToStart(t *testing.T) {
	e := open(t, "unix://"+dockertest.StartEngine(t))
	load(t, e, deploytest.Behaviour{})
	id, err := e.Create(t.Context(), "app", deploy.Spec{Service: "app", Image: "real/app:v1", Security: deploy.Security{Devices: []string{"/dev/nope"}}}, nil)
	require.NoError(t, err)
	err = e.Start(t.Context(), id)
	assert.ErrorIs(t, err, deploy.ErrRefused)
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
	assert.ErrorContains(t, err, "/dev/nope")
	assert.Contains(t, fault.Of(err).Hint, "plug the device in")
}

// A container lives on when the engine has lost the name of its image.
func TestImageIsGone(t *testing.T) {
	socket := dockertest.StartEngine(t)
	e := open(t, "unix://"+socket)
	load(t, e, deploytest.Behaviour{})
	c := run(t, e, deploy.Spec{})
	_, err := raw(t, socket).ImageRemove(t.Context(), "real/app:v1", image.RemoveOptions{Force: true})
	require.NoError(t, err)
	_, err = e.Create(t.Context(), "next", deploy.Spec{Service: "app", Image: "real/app:v1"}, nil)
	assert.Equal(t, fault.NotFound, fault.CodeOf(err))
	assert.Contains(t, fault.Of(err).Hint, "homelab docker load")
	again, err := e.Container(t.Context(), c.ID)
	require.NoError(t, err)
	assert.Equal(t, c, *again)
}

// Without an engine each call says so.
func TestNoEngineForContainers(t *testing.T) {
	e, ctx := open(t, "unix://"+filepath.Join(t.TempDir(), "none.sock")), t.Context()
	_, container := e.Container(ctx, "a")
	_, list := e.List(ctx)
	_, create := e.Create(ctx, "a", deploy.Spec{Service: "a", Image: "a:b"}, nil)
	_, _, exec := e.Exec(ctx, "a", []string{"true"})
	_, env := e.EnvDiffers(ctx, "a", deploy.Spec{})
	_, dial := e.Dial(ctx, deploy.Container{Address: "192.0.2.1"}, 80)
	for call, err := range map[string]error{
		"container": container, "list": list, "create": create, "exec": exec, "dial": dial, "env": env,
		"start": e.Start(ctx, "a"), "stop": e.Stop(ctx, "a", time.Second), "remove": e.Remove(ctx, "a"), "rename": e.Rename(ctx, "a", "b"),
		"restart": e.SetRestart(ctx, "a", "no"), "logs": e.Logs(ctx, "a", deploy.Tail{Lines: 1}, os.Stderr), "network": e.EnsureNetwork(ctx, "a"),
	} {
		assert.Equal(t, fault.EngineUnavailable, fault.CodeOf(err), call)
		assert.ErrorContains(t, err, "there is no such socket", call)
	}
}
