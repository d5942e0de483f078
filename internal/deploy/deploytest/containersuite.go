package deploytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
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
	// Remote says that the engine's files are those of another machine.
	Remote bool
	// Inside calls a function where the networks of the engine's host are in reach;
	// nil: they are here.
	Inside func(do func())
	// Stranger makes a container that has no label of ours, of an image. It goes
	// with the test.
	Stranger func(t *testing.T, name, image string) (id string)
}

// RunContainers holds an engine against the promises of [deploy.Containers].
func RunContainers(t *testing.T, open func(t *testing.T) deploy.Containers, lab Lab) {
	if lab.Inside == nil {
		lab.Inside = func(do func()) { do() }
	}
	s := &containerSuite{Containers: open(t), Lab: lab}
	for name, b := range map[string]Behaviour{
		"runs": {}, "talks": {Says: []string{"one", "two", "three"}, Warns: "careful"}, "serves": {Page: "hello\n"},
		"ends": {Ends: true, Exit: 7}, "deaf": {Deaf: true}, "foreign": {Foreign: true},
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
	t.Run("health", s.health)
	t.Run("a program for another processor", s.foreign)
	t.Run("names", s.names)
	t.Run("somebody else's", s.strangers)
	t.Run("what cannot be made", s.refused)
	t.Run("a port that is taken", s.port)
	t.Run("commands", s.commands)
	t.Run("connections", s.connections)
	t.Run("logs", s.logs)
	t.Run("networks", s.networks)
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

func (s *containerSuite) life(t *testing.T) {
	ctx := t.Context()
	id := s.create(t, s.spec("suite-life", "runs"))
	require.NoError(t, s.Stop(ctx, id, time.Second), "it does not run")
	require.NoError(t, s.Start(ctx, id))
	c := s.found(t, id)
	assert.Equal(t, deploy.Running, c.State)
	assert.WithinDuration(t, time.Now(), c.Started, time.Minute)
	assert.Zero(t, c.Ended)
	require.NoError(t, s.Start(ctx, id), "it runs")
	assert.Equal(t, c.Started, s.found(t, id).Started)
	refusal(t, s.Remove(ctx, id), fault.Conflict)
	assert.Equal(t, deploy.Running, s.found(t, id).State)

	require.NoError(t, s.Stop(ctx, id, patience))
	c = s.found(t, id)
	assert.Equal(t, deploy.Exited, c.State)
	assert.Zero(t, c.Exit, "it ended when it was asked to")
	assert.WithinDuration(t, time.Now(), c.Ended, time.Minute)
	assert.Empty(t, c.Address)
	require.NoError(t, s.Stop(ctx, id, time.Second))

	require.NoError(t, s.Start(ctx, id), "again")
	assert.Zero(t, s.found(t, id).Ended)
	require.NoError(t, s.Stop(ctx, id, 0))
	require.NoError(t, s.Remove(ctx, id))
	gone, err := s.Container(ctx, id)
	require.NoError(t, err)
	assert.Nil(t, gone)
	require.NoError(t, s.Remove(ctx, id))

	again := s.create(t, s.spec("suite-life", "runs"))
	assert.NotEqual(t, id, again)
}

func (s *containerSuite) deaf(t *testing.T) {
	c := s.started(t, s.spec("suite-deaf", "deaf"))
	require.NoError(t, s.Stop(t.Context(), c.ID, 10*time.Millisecond))
	c = s.found(t, c.ID)
	assert.Equal(t, deploy.Exited, c.State)
	assert.Equal(t, 137, c.Exit)
	assert.False(t, c.OOM)
}

func (s *containerSuite) ends(t *testing.T) {
	id := s.create(t, s.spec("suite-ends", "ends"))
	require.NoError(t, s.Start(t.Context(), id), "it was started, whatever became of it")
	c := s.exits(t, id)
	assert.Equal(t, 7, c.Exit)
	assert.Empty(t, c.Error)
	assert.NotZero(t, c.Ended)
}

func (s *containerSuite) restarts(t *testing.T) {
	spec := s.spec("suite-restarts", "ends")
	spec.Restart = "always"
	id := s.create(t, spec)
	require.NoError(t, s.Start(t.Context(), id))
	s.becomes(t, id, func(c deploy.Container) bool { return c.State == deploy.Restarting && c.Restarts >= 2 })
	require.NoError(t, s.SetRestart(t.Context(), id, "no"))
	assert.Equal(t, "no", s.found(t, id).Spec.Restart)
	require.NoError(t, s.Stop(t.Context(), id, 0))
	s.exits(t, id)
	failed(t, s.SetRestart(t.Context(), id, "sometimes"), fault.Precondition)
}

func (s *containerSuite) health(t *testing.T) {
	c := s.started(t, s.spec("suite-none", "runs"))
	assert.Empty(t, c.Health)
	for image, health := range map[string]string{"well": "healthy", "ill": "unhealthy", "slow": "starting"} {
		c := s.started(t, s.spec("suite-"+image, image))
		s.becomes(t, c.ID, func(c deploy.Container) bool { return c.Health == health })
	}
}

// foreign has an image that cannot run. Some engines notice when they start it,
// others start it and its log tells.
func (s *containerSuite) foreign(t *testing.T) {
	id := s.create(t, s.spec("suite-foreign", "foreign"))
	if err := s.Start(t.Context(), id); err != nil {
		refusal(t, err, fault.Precondition, "exec format error")
		return
	}
	c := s.exits(t, id)
	assert.Contains(t, c.Error, "exec format error")
	assert.Contains(t, c.Error, "another processor")
}

func (s *containerSuite) names(t *testing.T) {
	ctx := t.Context()
	first, second := s.create(t, s.spec("suite-first", "runs")), s.create(t, s.spec("suite-second", "runs"))
	_, err := s.Create(ctx, "suite-first", s.spec("suite-first", "runs"), nil)
	refusal(t, err, fault.Conflict, "suite-first is taken by container "+first[:12], "is homelab's, of service suite")
	refusal(t, s.Rename(ctx, second, "suite-first"), fault.Conflict, "suite-first is taken", first[:12])
	assert.Equal(t, "suite-second", s.found(t, second).Name)

	require.NoError(t, s.Rename(ctx, first, "suite-old"))
	require.NoError(t, s.Rename(ctx, first, "suite-old"), "again")
	require.NoError(t, s.Rename(ctx, second, "suite-first"))
	assert.Equal(t, second, s.found(t, "suite-first").ID)
	assert.Equal(t, "suite-first", s.found(t, second).Spec.Container)
}

// strangers has a container that is not ours: it can be looked at, and no more.
func (s *containerSuite) strangers(t *testing.T) {
	ctx := t.Context()
	id := s.Stranger(t, "suite-stranger", "suite/runs:v1")
	before := s.found(t, id)
	assert.Equal(t, "suite-stranger", before.Name)
	all, err := s.List(ctx)
	require.NoError(t, err)
	assert.Empty(t, all)

	denied := s.changes(ctx, id)
	denied["remove"] = s.Remove(ctx, id)
	denied["remove by name"] = s.Remove(ctx, "suite-stranger")
	for call, err := range denied {
		t.Run(call, func(t *testing.T) { failed(t, err, fault.Denied, "suite-stranger is not one of homelab's") })
	}
	assert.Equal(t, before, s.found(t, id))

	_, err = s.Create(ctx, "suite-stranger", s.spec("suite-stranger", "runs"), nil)
	refusal(t, err, fault.Conflict, "suite-stranger is taken by container "+id[:12], "is not one of homelab's")
	ours := s.create(t, s.spec("suite-ours", "runs"))
	refusal(t, s.Rename(ctx, ours, "suite-stranger"), fault.Conflict, "is not one of homelab's")
}

func (s *containerSuite) refused(t *testing.T) {
	rows := map[string]struct {
		change func(spec *deploy.Spec)
		code   fault.Code
		words  string
	}{
		"image":   {func(spec *deploy.Spec) { spec.Image = "suite/never:v1" }, fault.NotFound, "suite/never:v1"},
		"path":    {func(spec *deploy.Spec) { spec.Mounts = []deploy.Mount{{Source: Nowhere + "/x", Target: "/x"}} }, fault.Precondition, "there is no " + Nowhere + "/x on the host"},
		"network": {func(spec *deploy.Spec) { spec.Networks = []string{"bridge", "suite-never"} }, fault.NotFound, "network suite-never not found"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			spec := s.spec("suite-refused", "runs")
			row.change(&spec)
			_, err := s.Create(t.Context(), spec.Container, spec, nil)
			refusal(t, err, row.code, row.words)
			c, err := s.Container(t.Context(), spec.Container)
			require.NoError(t, err)
			assert.Nil(t, c, "nothing of it is left")
		})
	}
	t.Run("env file", func(t *testing.T) {
		spec := s.spec("suite-refused", "runs")
		spec.EnvFiles = []string{Nowhere + "/secrets.env"}
		words := "cannot read an env file"
		if s.Remote {
			words = "envFiles on a remote engine are not supported yet"
		}
		_, err := s.Create(t.Context(), spec.Container, spec, nil)
		failed(t, err, fault.Precondition, words, Nowhere+"/secrets.env")
	})
	t.Run("nobody's", func(t *testing.T) {
		spec := s.spec("suite-refused", "runs")
		spec.Service = ""
		_, err := s.Create(t.Context(), spec.Container, spec, nil)
		failed(t, err, fault.InvalidArgument)
		_, err = s.Create(t.Context(), "", s.spec("suite-refused", "runs"), nil)
		failed(t, err, fault.InvalidArgument)
	})
}

func (s *containerSuite) port(t *testing.T) {
	spec := s.spec("suite-port", "serves")
	spec.Ports = []deploy.Port{{Host: 18081, Container: 81, Protocol: "tcp"}, {Host: 18080, Container: PagePort, Protocol: "tcp"}}
	first := s.started(t, spec)
	spec.Container, spec.Ports = "suite-port-too", spec.Ports[1:]
	second := s.create(t, spec)
	refusal(t, s.Start(t.Context(), second), fault.Conflict, "port 18080 of the host is taken by something else")
	c := s.found(t, second)
	assert.NotEqual(t, deploy.Running, c.State)
	assert.NotEmpty(t, c.Error)
	require.NoError(t, s.Stop(t.Context(), first.ID, 0))
	require.NoError(t, s.Start(t.Context(), second), "it is free now")
	assert.Empty(t, s.found(t, second).Error)
}

func (s *containerSuite) commands(t *testing.T) {
	spec := s.spec("suite-commands", "runs")
	spec.Env = map[string]string{"GREETING": "good day"}
	c := s.started(t, spec)
	rows := map[string]struct {
		command []string
		exit    int
		output  string
	}{
		"well":        {[]string{"true"}, 0, ""},
		"badly":       {[]string{"sh", "-c", "exit 3"}, 3, ""},
		"output":      {[]string{"sh", "-c", "echo $GREETING"}, 0, "good day\n"},
		"error":       {[]string{"sh", "-c", "echo no >&2; exit 1"}, 1, "no\n"},
		"much output": {[]string{"sh", "-c", "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done"}, 0, lastLines(3000)},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			exit, output, err := s.Exec(t.Context(), c.ID, row.command)
			require.NoError(t, err)
			assert.Equal(t, row.exit, exit)
			assert.Equal(t, row.output, output)
		})
	}
	t.Run("no such command", func(t *testing.T) {
		exit, output, err := s.Exec(t.Context(), c.ID, []string{"no-such-command"})
		require.NoError(t, err)
		assert.Contains(t, []int{126, 127}, exit)
		assert.Contains(t, output, "no-such-command")
	})
	t.Run("takes too long", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		begun := time.Now()
		_, _, err := s.Exec(ctx, c.ID, []string{"sh", "-c", "sleep 30"})
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Less(t, time.Since(begun), 10*time.Second)
	})
	t.Run("it does not run", func(t *testing.T) {
		require.NoError(t, s.Stop(t.Context(), c.ID, 0))
		_, _, err := s.Exec(t.Context(), c.ID, []string{"true"})
		refusal(t, err, fault.Conflict, "is not running")
	})
}

// lastLines is the last 4 KiB of so many lines.
func lastLines(count int) string {
	var all strings.Builder
	for i := range count {
		fmt.Fprintf(&all, "line %d\n", i)
	}
	const kept = 4 << 10
	return all.String()[all.Len()-kept:]
}

func (s *containerSuite) connections(t *testing.T) {
	c := s.started(t, s.spec("suite-serves", "serves"))
	assert.NotEmpty(t, c.Address)
	var page string
	for end := time.Now().Add(patience); page == "" && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		conn, err := s.dial(t.Context(), c, PagePort)
		if err != nil {
			failed(t, err, fault.Unhealthy) // it does not listen yet
			continue
		}
		page = get(t, conn)
	}
	assert.Equal(t, "hello\n", page)
	_, err := s.dial(t.Context(), c, PagePort+1)
	failed(t, err, fault.Unhealthy, "cannot connect to")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.dial(over, c, PagePort)
	assert.ErrorIs(t, err, context.Canceled)
}

func (s *containerSuite) dial(ctx context.Context, c deploy.Container, port int) (conn net.Conn, err error) {
	s.Inside(func() { conn, err = s.Dial(ctx, c, port) })
	return conn, err
}

// get asks for a page, and returns what comes after the header.
func get(t *testing.T, conn net.Conn) string {
	t.Helper()
	defer func() { assert.NoError(t, conn.Close()) }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	_, page, _ := strings.Cut(string(answer), "\r\n\r\n")
	return page
}

func (s *containerSuite) logs(t *testing.T) {
	c := s.started(t, s.spec("suite-talks", "talks"))
	last := func(lines int, since time.Time) string {
		var out strings.Builder
		require.NoError(t, s.Logs(t.Context(), c.ID, lines, since, &out))
		return out.String()
	}
	require.Eventually(t, func() bool { return strings.Count(last(100, time.Time{}), "\n") == 4 }, patience, 20*time.Millisecond)
	assert.ElementsMatch(t, []string{"one", "two", "three", "careful", ""}, strings.Split(last(100, time.Time{}), "\n"))
	assert.Equal(t, 2, strings.Count(last(2, time.Time{}), "\n"))
	assert.Empty(t, last(0, time.Time{}))
	assert.Empty(t, last(-1, time.Time{}))
	assert.NotEmpty(t, last(9, c.Started.Add(-time.Second)))
	assert.Empty(t, last(9, time.Now().Add(time.Hour)))

	cause := errors.New("nobody reads")
	err := s.Logs(t.Context(), c.ID, 9, time.Time{}, brokenWriter{cause})
	assert.ErrorIs(t, err, cause)
	assert.Equal(t, fault.Internal, fault.CodeOf(err), "it is not the engine's")
	refusal(t, s.Logs(t.Context(), "suite-no-such", 9, time.Time{}, io.Discard), fault.NotFound)
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

func (s *containerSuite) networks(t *testing.T) {
	require.NoError(t, s.EnsureNetwork(t.Context(), "suite-net"))
	require.NoError(t, s.EnsureNetwork(t.Context(), "suite-net"), "it is there")
	require.NoError(t, s.EnsureNetwork(t.Context(), "suite-other"))
	spec := s.spec("suite-joins", "runs")
	spec.Networks = []string{"suite-net", "suite-other"}
	c := s.started(t, spec)
	assert.Equal(t, spec.Networks, c.Spec.Networks)
	assert.NotEmpty(t, c.Address)
}

func (s *containerSuite) canceled(t *testing.T) {
	id := s.create(t, s.spec("suite-canceled", "runs"))
	over, cancel := context.WithCancel(t.Context())
	cancel()
	errs := s.changes(over, id)
	_, errs["container"] = s.Container(over, id)
	_, errs["list"] = s.List(over)
	_, errs["create"] = s.Create(over, "suite-canceled-too", s.spec("suite-canceled-too", "runs"), nil)
	errs["remove"] = s.Remove(over, id)
	errs["logs"] = s.Logs(over, id, 1, time.Time{}, io.Discard)
	errs["network"] = s.EnsureNetwork(over, "suite-canceled")
	for call, err := range errs {
		assert.ErrorIs(t, err, context.Canceled, call)
	}
	assert.Equal(t, deploy.Created, s.found(t, id).State)
}
