package docker_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/command"
	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/engine/docker/dockertest"
)

// drilled is all that there is of drills, and of volumes that nobody has named.
func drilled(socket string) func(t *testing.T) []string {
	return func(t *testing.T) []string {
		t.Helper()
		api, err := client.NewClientWithOpts(client.WithHost("unix://"+socket), client.WithAPIVersionNegotiation())
		require.NoError(t, err)
		defer func() { assert.NoError(t, api.Close()) }()
		ours := filters.NewArgs(filters.Arg("label", deploy.LabelDrill))
		containers, err := api.ContainerList(t.Context(), container.ListOptions{All: true, Filters: ours})
		require.NoError(t, err)
		networks, err := api.NetworkList(t.Context(), network.ListOptions{Filters: ours})
		require.NoError(t, err)
		volumes, err := api.VolumeList(t.Context(), volume.ListOptions{})
		require.NoError(t, err)
		found := []string{}
		for _, c := range containers {
			found = append(found, c.Names...)
		}
		for _, n := range networks {
			found = append(found, n.Name)
		}
		for _, v := range volumes.Volumes {
			if v.Labels[deploy.LabelDrill] != "" || len(v.Name) == 64 {
				found = append(found, v.Name)
			}
		}
		return found
	}
}

// A real engine keeps the promises of drills, through its socket and through ssh.
func TestDrills(t *testing.T) {
	engine := dockertest.StartEngineWithBridge(t)
	inside := func(do func()) { engine.Inside(t, do) }
	t.Run("socket", func(t *testing.T) {
		deploytest.RunDrills(t, open(t, "unix://"+engine.Socket), inside, drilled(engine.Socket))
	})
	t.Run("ssh", func(t *testing.T) {
		ssh := engine.StartSSH(t)
		t.Setenv("PATH", ssh.Bin+":"+os.Getenv("PATH"))
		deploytest.RunDrills(t, open(t, ssh.URL(engine.Socket)), func(do func()) { do() }, drilled(engine.Socket))
	})
}

// What a copy has inside is what it may have: no way out, nothing to write but its own
// volumes, of paths nothing that is mounted in them, and of a file nothing else.
func TestCopyInside(t *testing.T) {
	engine := dockertest.StartEngineWithBridge(t)
	e := open(t, "unix://"+engine.Socket)
	load(t, e, deploytest.Behaviour{Page: "hello"})
	const drill = "inside"
	require.NoError(t, e.Isolate(t.Context(), drill))
	places := map[string]string{}
	for _, which := range []string{"0", "1", "2"} {
		place, err := e.Fresh(t.Context(), drill, deploy.DrillVolume(drill, which))
		require.NoError(t, err)
		places[which] = place
	}
	require.NoError(t, os.WriteFile(filepath.Join(places["2"], deploy.FileInVolume), []byte("content\n"), 0o644))
	config := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(config, "app.conf"), []byte("read me\n"), 0o644))
	require.NoError(t, os.Mkdir(filepath.Join(config, "inner"), 0o755))
	words := append(dockertest.OnHost(t, engine.Socket), "mount", "-t", "tmpfs", "tmpfs", filepath.Join(config, "inner"))
	mounted, err := command.Run(t.Context(), command.Cmd{Name: words[0], Args: words[1:]})
	require.NoError(t, err)
	require.Zero(t, mounted.Exit, "%s", mounted.Stderr)
	id, err := e.Copy(t.Context(), deploy.Copy{
		Drill: drill, Bare: []string{deploy.DrillVolume(drill, "1")},
		Spec: deploy.Spec{
			Service: "app", Image: "real/app:v1", Restart: "no", Networks: []string{deploy.DrillName(drill)}, Env: map[string]string{"PLAIN": "1"},
			Mounts: []deploy.Mount{
				{Volume: deploy.DrillVolume(drill, "0"), Target: "/bin"}, {Volume: deploy.DrillVolume(drill, "1"), Target: "/www"},
				{Source: config, Target: "/config", ReadOnly: true},
			},
		},
		Files: []deploy.Mount{{Volume: deploy.DrillVolume(drill, "2"), Target: "/data/app.db"}},
	})
	require.NoError(t, err)
	require.NoError(t, e.Start(t.Context(), id))
	c, err := e.Container(t.Context(), id)
	require.NoError(t, err)
	fails := func(command ...string) {
		t.Helper()
		exit, output, err := e.Exec(t.Context(), id, command)
		require.NoError(t, err)
		assert.NotZero(t, exit, "%v: %s", command, output)
	}
	assert.Equal(t, "content\n", says(t, e, *c, "cat", "/data/app.db"))
	says(t, e, *c, "sh", "-c", "echo more >>/data/app.db")
	written, err := os.ReadFile(filepath.Join(places["2"], deploy.FileInVolume))
	require.NoError(t, err)
	assert.Equal(t, "content\nmore\n", string(written))
	assert.Equal(t, "read me\n", says(t, e, *c, "cat", "/config/app.conf"))
	fails("sh", "-c", "echo x >/config/app.conf")
	fails("sh", "-c", "echo x >/config/new")
	assert.NotEmpty(t, says(t, e, *c, "busybox", "ls", "/bin"), "what the image has where a volume is empty")
	assert.Empty(t, says(t, e, *c, "busybox", "ls", "/www"), "but not where it is to be")
	assert.Contains(t, says(t, e, *c, "cat", "/proc/self/status"), "CapEff:\t0000000000000000")
	assert.Contains(t, says(t, e, *c, "env"), "PLAIN=1")
	assert.True(t, internal(t, engine.Socket, deploy.DrillName(drill)), "nothing leads out of it")
	mounts := says(t, e, *c, "cat", "/proc/self/mounts")
	assert.Equal(t, 1, strings.Count(mounts, " /config"), "%s", mounts)
	fails("sh", "-c", "echo x >/config/inner/new")
	require.NoError(t, e.Clear(t.Context(), drill))
	assert.Empty(t, drilled(engine.Socket)(t))
}

// internal says whether a network is one that leads nowhere: the engine sees to that by
// rules of its firewall, which engines of tests have not.
func internal(t *testing.T, socket, name string) bool {
	t.Helper()
	api, err := client.NewClientWithOpts(client.WithHost("unix://"+socket), client.WithAPIVersionNegotiation())
	require.NoError(t, err)
	defer func() { assert.NoError(t, api.Close()) }()
	n, err := api.NetworkInspect(t.Context(), name, network.InspectOptions{})
	require.NoError(t, err)
	return n.Internal
}

// A copy reaches nothing of other networks, by whatever address, and nothing of them
// reaches it; the host does.
func TestCopyReachesNobody(t *testing.T) {
	engine := dockertest.StartEngineWithFirewall(t)
	e := open(t, "unix://"+engine.Socket)
	load(t, e, deploytest.Behaviour{Page: "hello\n"})
	require.NoError(t, e.EnsureNetwork(t.Context(), "house"))
	service := run(t, e, deploy.Spec{Networks: []string{"house"}, Ports: []deploy.Port{{Address: "10.231.7.1", Host: 18080, Container: deploytest.PagePort, Protocol: "tcp"}}})

	const drill = "alone"
	require.NoError(t, e.Isolate(t.Context(), drill))
	id, err := e.Copy(t.Context(), deploy.Copy{Drill: drill, Spec: deploy.Spec{Service: "app", Image: "real/app:v1", Restart: "no", Networks: []string{deploy.DrillName(drill)}}})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, e.Clear(context.WithoutCancel(t.Context()), drill)) })
	require.NoError(t, e.Start(t.Context(), id))
	c, err := e.Container(t.Context(), id)
	require.NoError(t, err)
	api, err := client.NewClientWithOpts(client.WithHost("unix://"+engine.Socket), client.WithAPIVersionNegotiation())
	require.NoError(t, err)
	defer func() { assert.NoError(t, api.Close()) }()
	reaches := func(from, host string, port int) bool {
		raw, err := api.ContainerInspect(t.Context(), from)
		require.NoError(t, err)
		words := append(dockertest.OnHost(t, engine.Socket), "nsenter", "--target", strconv.Itoa(raw.State.Pid), "--net",
			"timeout", "2", "bash", "-c", fmt.Sprintf("exec 3<>/dev/tcp/%s/%d", host, port))
		result, err := command.Run(t.Context(), command.Cmd{Name: words[0], Args: words[1:]})
		require.NoError(t, err)
		return result.Exit == 0
	}
	for end := time.Now().Add(20 * time.Second); !reaches(service.ID, service.Address, deploytest.PagePort) || !reaches(id, c.Address, deploytest.PagePort); {
		require.True(t, time.Now().Before(end), "both serve")
	}
	assert.True(t, reaches(service.ID, "10.231.7.1", 18080), "the service reaches what is published")
	assert.False(t, reaches(id, service.Address, deploytest.PagePort), "a service in another network")
	assert.False(t, reaches(id, "10.231.7.1", 18080), "a port that is published")
	assert.False(t, reaches(service.ID, c.Address, deploytest.PagePort), "the copy, by a service")
	var failed error
	engine.Inside(t, func() {
		var conn net.Conn
		if conn, failed = e.Dial(t.Context(), *c, deploytest.PagePort); failed == nil {
			failed = conn.Close()
		}
	})
	assert.NoError(t, failed, "the copy, by its gate")
}
