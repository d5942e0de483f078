package docker_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/engine/docker"
	"homelab/internal/engine/docker/dockertest"
	"homelab/internal/fault"
	"homelab/registry"
)

// A real service on a real engine, through ssh: versions follow each other on a fixed
// port and a volume, and what fails in whichever way leaves the one before.
func TestRealRun(t *testing.T) {
	host := dockertest.StartEngineWithBridge(t)
	ssh := host.StartSSH(t)
	t.Setenv("PATH", ssh.Bin+":"+os.Getenv("PATH"))
	e := open(t, ssh.URL(host.Socket))
	for name, b := range map[string]deploytest.Behaviour{
		"v1": {Page: "one"}, "v2": {Page: "two"},
		"short": {Ends: true, Exit: 3, Says: []string{"cannot read the config"}}, "mute": {}, "foreign": {Foreign: true},
	} {
		require.NoError(t, e.Load(t.Context(), bytes.NewReader(deploytest.BehaviourArchive(t, "web:"+name, b))))
	}
	journal := deploy.Journal{Dir: t.TempDir()}
	run := func(version string) (*deploy.Switched, error) {
		spec, err := deploy.NewSpec("web", registry.Service{Deploy: &registry.Deploy{
			Ports: []string{"8123:8080"}, Volumes: []registry.Volume{{Name: "web-data", Target: "/data"}}, Networks: []string{"homelab"},
		}}, registry.Host{}, "web:"+version)
		require.NoError(t, err)
		spec.StopGrace = time.Second
		r := deploy.Runner{Engine: e, Host: "nas", Journal: journal, Keep: 2}
		return r.Run(t.Context(), deploy.Target{
			Spec: spec, Strategy: deploy.Replace, Labels: map[string]string{deploy.LabelRevision: version},
			Gate: deploy.Gate{Kind: "http", Port: deploytest.PagePort, Path: "/", Interval: 50 * time.Millisecond, Timeout: 8 * time.Second},
		})
	}
	shows := func(want string) {
		t.Helper()
		c, err := e.Container(t.Context(), "web")
		require.NoError(t, err)
		require.NotNil(t, c)
		assert.Equal(t, want, page(t, e, *c))
		assert.Equal(t, "unless-stopped", c.Spec.Restart)
	}

	first, err := run("v1")
	require.NoError(t, err)
	shows("one")
	again, err := run("v1")
	require.NoError(t, err)
	assert.False(t, again.Changed, "nothing differs from what the engine tells")
	assert.Equal(t, first.ID, again.ID)
	second, err := run("v2")
	require.NoError(t, err)
	shows("two")
	assert.Positive(t, second.Downtime)

	for version, says := range map[string]string{
		"short": "not healthy: it ended", "mute": "not healthy after 8s", "foreign": "exec format error",
	} {
		_, err := run(version)
		require.Error(t, err, version)
		assert.ErrorContains(t, err, says)
		assert.ErrorContains(t, err, "the version before runs")
		shows("two")
	}

	// An image that is not there fails before anything is stopped.
	_, err = run("gone")
	assert.ErrorContains(t, err, "web:gone")
	shows("two")
	entry, err := journal.Read("nas", "web")
	require.NoError(t, err)
	assert.Nil(t, entry)
}

// page is what the web server in a container answers.
func page(t *testing.T, e *docker.Engine, c deploy.Container) string {
	t.Helper()
	conn, err := e.Dial(t.Context(), c, deploytest.PagePort)
	require.NoError(t, err)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}}
	response, err := client.Get("http://web/")
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return string(bytes.TrimSpace(body))
}

// A port that something else has is told as such, and nothing is left over.
func TestRealPortIsTaken(t *testing.T) {
	host := dockertest.StartEngineWithBridge(t)
	ssh := host.StartSSH(t)
	t.Setenv("PATH", ssh.Bin+":"+os.Getenv("PATH"))
	e := open(t, ssh.URL(host.Socket))
	require.NoError(t, e.Load(t.Context(), bytes.NewReader(deploytest.BehaviourArchive(t, "web:v1", deploytest.Behaviour{Page: "one"}))))
	var listener net.Listener
	var err error
	host.Inside(t, func() { listener, err = net.Listen("tcp", "0.0.0.0:8123") })
	require.NoError(t, err)
	defer listener.Close()
	spec, err := deploy.NewSpec("web", registry.Service{Deploy: &registry.Deploy{Ports: []string{"8123:8080"}}}, registry.Host{}, "web:v1")
	require.NoError(t, err)
	r := deploy.Runner{Engine: e, Host: "nas", Journal: deploy.Journal{Dir: t.TempDir()}, Keep: 2}
	_, err = r.Run(t.Context(), deploy.Target{Spec: spec, Gate: deploy.Gate{Kind: "docker", Interval: 50 * time.Millisecond, Timeout: 5 * time.Second}})
	assert.Equal(t, fault.Conflict, fault.CodeOf(err), "%v", err)
	assert.ErrorContains(t, err, "8123")
	left, err := e.List(t.Context())
	require.NoError(t, err)
	assert.Empty(t, left)
}
