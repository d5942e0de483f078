package deploytest

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/fault"
)

// patience is how long a real engine may take for what it does by itself.
const patience = 20 * time.Second

// Lab is what the suite has to know of an engine.
type Lab struct {
	// Inside calls a function where the networks of the engine's host are in reach;
	// nil: they are here.
	Inside func(do func())
	// Stranger makes a container that has no label of ours, of an image. It goes
	// with the test.
	Stranger func(t *testing.T, name, image string) (id string)
	// Plug connects a container with a network, or disconnects it, as somebody does
	// by hand.
	Plug func(t *testing.T, id, network string, connected bool)
	// Volume makes a volume with options, as somebody does by hand.
	Volume func(t *testing.T, name string, options map[string]string)
	// Put writes a file of the engine's host, and returns its path.
	Put func(t *testing.T, name, content string) (path string)
}

// RunContainers holds an engine against the promises of [deploy.Containers].
func RunContainers(t *testing.T, open func(t *testing.T) deploy.Containers, lab Lab) {
	if lab.Inside == nil {
		lab.Inside = func(do func()) { do() }
	}
	s := &containerSuite{Containers: open(t), Lab: lab}
	for name, b := range map[string]Behaviour{
		"runs": {}, "tells": {Tells: []string{"TOKEN", "PIN", "PLAIN"}}, "talks": {Says: []string{"one", "two", "three"}, Warns: "careful"}, "serves": {Page: "hello\n"},
		"ends": {Ends: true, Exit: 7}, "deaf": {Deaf: true, Says: []string{"what?"}}, "foreign": {Foreign: true},
		"well": {Health: "healthy"}, "ill": {Health: "unhealthy"}, "slow": {Health: "starting"},
	} {
		require.NoError(t, s.Load(t.Context(), bytes.NewReader(BehaviourArchive(t, "suite/"+name+":v1", b))))
	}
	t.Run("none", s.none)
	t.Run("what is made is as it was asked for", s.made)
	t.Run("list", s.listed)
	t.Run("from start to end", s.life)
	t.Run("one that is deaf is killed", s.deaf)
	t.Run("one that ends", s.ends)
	t.Run("one that is restarted over and over", s.restarts)
	t.Run("one that stands still", s.pauses)
	t.Run("health", s.health)
	t.Run("a program for another processor", s.foreign)
	t.Run("names", s.names)
	t.Run("somebody else's", s.strangers)
	t.Run("what cannot be made", s.refused)
	t.Run("a port that is taken", s.port)
	t.Run("commands", s.commands)
	t.Run("commands that go on", s.commandsGoOn)
	t.Run("who writes to a volume", s.writers)
	t.Run("connections", s.connections)
	t.Run("logs", s.logs)
	t.Run("logs without secrets", s.logsWithoutSecrets)
	t.Run("networks", s.networks)
	t.Run("a network that was disconnected", s.unplugged)
	t.Run("env files that change", s.envFiles)
	t.Run("volumes with options", s.volumes)
	t.Run("names in use", s.namesInUse)
	t.Run("canceled", s.canceled)
}

type containerSuite struct {
	deploy.Containers
	Lab
}

// spec is a container of an image of the suite.
func (s *containerSuite) spec(name, image string) deploy.Spec {
	return deploy.Spec{Service: "suite", Container: name, Image: "suite/" + image + ":v1", Restart: "no", StopGrace: time.Second}
}

// create makes a container that goes with the test.
func (s *containerSuite) create(t *testing.T, spec deploy.Spec) string {
	t.Helper()
	id, err := s.Create(t.Context(), spec.Container, spec, nil)
	require.NoError(t, err)
	require.NotEmpty(t, id)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if c, err := s.Container(ctx, id); err == nil && c == nil {
			return // the test removed it
		}
		assert.NoError(t, s.Stop(ctx, id, 0))
		assert.NoError(t, s.Remove(ctx, id))
	})
	return id
}

func (s *containerSuite) started(t *testing.T, spec deploy.Spec) deploy.Container {
	t.Helper()
	id := s.create(t, spec)
	require.NoError(t, s.Start(t.Context(), id))
	return s.found(t, id)
}

func (s *containerSuite) found(t *testing.T, ref string) deploy.Container {
	t.Helper()
	c, err := s.Container(t.Context(), ref)
	require.NoError(t, err)
	require.NotNil(t, c, ref)
	return *c
}

// becomes waits for a container to be so.
func (s *containerSuite) becomes(t *testing.T, id string, so func(c deploy.Container) bool) deploy.Container {
	t.Helper()
	var last deploy.Container
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if last = s.found(t, id); so(last) {
			return last
		}
	}
	t.Fatalf("after %s it is still %+v", patience, last)
	return last
}

func (s *containerSuite) exits(t *testing.T, id string) deploy.Container {
	t.Helper()
	return s.becomes(t, id, func(c deploy.Container) bool { return c.State == deploy.Exited })
}

// refusal is an error of an engine that answers.
func refusal(t *testing.T, err error, code fault.Code, words ...string) {
	t.Helper()
	require.ErrorIs(t, err, deploy.ErrRefused)
	failed(t, err, code, words...)
}

func failed(t *testing.T, err error, code fault.Code, words ...string) {
	t.Helper()
	require.Error(t, err)
	assert.Equal(t, code, fault.CodeOf(err), "%v", err)
	assert.NotEmpty(t, fault.Of(err).Hint)
	for _, word := range words {
		assert.ErrorContains(t, err, word)
	}
}

// changes are the calls that change a container.
func (s *containerSuite) changes(ctx context.Context, ref string) map[string]error {
	_, _, exec := s.Exec(ctx, ref, []string{"true"})
	return map[string]error{
		"start": s.Start(ctx, ref), "stop": s.Stop(ctx, ref, 0), "rename": s.Rename(ctx, ref, "suite-renamed"),
		"pause": s.Pause(ctx, ref), "unpause": s.Unpause(ctx, ref),
		"restart": s.SetRestart(ctx, ref, "no"), "exec": exec,
	}
}

func (s *containerSuite) none(t *testing.T) {
	c, err := s.Container(t.Context(), "suite-none")
	require.NoError(t, err)
	assert.Nil(t, c)
	for call, err := range s.changes(t.Context(), "suite-none") {
		t.Run(call, func(t *testing.T) { refusal(t, err, fault.NotFound, "suite-none") })
	}
	assert.NoError(t, s.Remove(t.Context(), "suite-none"))
}

// made compares what an engine tells of a container with what it was given.
func (s *containerSuite) made(t *testing.T) {
	require.NoError(t, s.EnsureNetwork(t.Context(), "suite-one"))
	require.NoError(t, s.EnsureNetwork(t.Context(), "suite-two"))
	full := deploy.Spec{
		Service: "suite", Container: "suite-full", Image: "suite/runs:v1",
		Env:       map[string]string{"GREETING": "good day = yes", "EMPTY": ""},
		Ports:     []deploy.Port{{Host: 18123, Container: 8123, Protocol: "tcp"}, {Address: "127.0.0.1", Host: 18053, Container: 53, Protocol: "udp"}},
		Mounts:    []deploy.Mount{{Volume: "suite-data", Target: "/data"}, {Source: "/usr", Target: "/host", ReadOnly: true}},
		Networks:  []string{"suite-two", "suite-one"},
		Restart:   "unless-stopped",
		StopGrace: 2500 * time.Millisecond,
		Limits:    deploy.Limits{Memory: 64 << 20, CPUs: 5e8, PIDs: 50},
		Security: deploy.Security{
			Capabilities: []string{"NET_BIND_SERVICE"}, NewPrivileges: true, Devices: []string{"/dev/null"}, Unconfined: true,
			HostPID: true, HostIPC: true, Sysctls: map[string]string{"net.ipv4.ip_unprivileged_port_start": "80"},
		},
		LogSize: 1 << 20, LogFiles: 3,
		Labels: map[string]string{"of.the.registry": "yes", deploy.LabelGeneration: "not this"},
	}
	host := s.spec("suite-host", "runs")
	host.Security.HostNetwork, host.Security.Privileged = true, true
	for name, spec := range map[string]deploy.Spec{"full": full, "least": s.spec("suite-least", "runs"), "host": host} {
		t.Run(name, func(t *testing.T) {
			id, err := s.Create(t.Context(), spec.Container+"-next", spec, map[string]string{deploy.LabelGeneration: "4"})
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, s.Remove(context.WithoutCancel(t.Context()), id)) })
			c := s.found(t, id)
			assert.Equal(t, c, s.found(t, spec.Container+"-next"))
			want := asTold(spec)
			want.Container = spec.Container + "-next"
			assert.Equal(t, want, c.Spec)
			assert.Equal(t, Found(t, s, spec.Image).ID, c.ImageID)
			assert.Equal(t, deploy.Created, c.State)
			assert.Zero(t, c.Started)
			assert.Zero(t, c.Ended)
			assert.Equal(t, "suite", c.Labels[deploy.LabelService])
			assert.Equal(t, "4", c.Labels[deploy.LabelGeneration], "ours wins")
			assert.Equal(t, spec.Labels["of.the.registry"], c.Labels["of.the.registry"])
			for _, piece := range []string{c.ID[:6], c.Name[:6]} {
				other, err := s.Container(t.Context(), piece)
				require.NoError(t, err)
				assert.Nil(t, other, "%s is a piece of a name", piece)
			}
		})
	}
}

func (s *containerSuite) listed(t *testing.T) {
	for _, name := range []string{"suite-b", "suite-a"} {
		s.create(t, s.spec(name, "runs"))
	}
	require.NoError(t, s.Start(t.Context(), "suite-b"))
	all, err := s.List(t.Context())
	require.NoError(t, err)
	names := []string{}
	for _, c := range all {
		names = append(names, c.Name+" "+string(c.State))
	}
	assert.Equal(t, []string{"suite-a created", "suite-b running"}, names)
}
