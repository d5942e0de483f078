package docker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/command"
	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/engine/docker"
	"homelab/internal/engine/docker/dockertest"
	"homelab/internal/engine/dockerhost"
	"homelab/registry"
)

// order is a switch for another process, and when that is to kill itself.
type order struct {
	Socket, Journal   string
	Version, Strategy string
	Generation        int // to go back to; 0: the version is run
	Step, Call        int // before this step, or after this call that changes something; 0: never
}

const orderVariable = "HOMELAB_TEST_SWITCH"

func TestMain(m *testing.M) {
	if text := os.Getenv(visitVariable); text != "" {
		var v visit
		if err := errors.Join(json.Unmarshal([]byte(text), &v), v.pay(context.Background())); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if text := os.Getenv(drillVariable); text != "" {
		var o drillOrder
		if err := errors.Join(json.Unmarshal([]byte(text), &o), o.obey(context.Background())); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if text := os.Getenv(bundleVariable); text != "" {
		var o bundleOrder
		if err := errors.Join(json.Unmarshal([]byte(text), &o), o.obey(context.Background())); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	text := os.Getenv(orderVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	var o order
	if err := errors.Join(json.Unmarshal([]byte(text), &o), o.obey(context.Background())); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (o order) obey(ctx context.Context) error {
	way, err := dockerhost.Dial(ctx, dockerhost.Endpoint{URL: "unix://" + o.Socket})
	if err != nil {
		return err
	}
	e, err := docker.New(way)
	if err != nil {
		return err
	}
	steps := 0
	r := o.runner(&mortal{Containers: e, at: o.Call})
	r.Report = func(string) {
		if steps++; steps == o.Step {
			die()
		}
	}
	target, err := o.target()
	if err != nil {
		return err
	}
	if o.Generation > 0 {
		_, err = r.Rollback(ctx, target, o.Generation)
	} else {
		_, err = r.Run(ctx, target)
	}
	return err
}

func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

func (o order) runner(e deploy.Containers) *deploy.Runner {
	return &deploy.Runner{Engine: e, Host: "nas", Journal: deploy.Journal{Dir: o.Journal}, Keep: 2}
}

func (o order) target() (deploy.Target, error) {
	spec, err := deploy.NewSpec("web", registry.Service{Deploy: &registry.Deploy{}}, registry.Host{}, "web:"+o.Version)
	spec.StopGrace = time.Second
	return deploy.Target{
		Spec: spec, Strategy: o.Strategy, Labels: map[string]string{deploy.LabelRevision: o.Version},
		Gate: deploy.Gate{Kind: "docker", Interval: 20 * time.Millisecond, Timeout: 20 * time.Second},
	}, err
}

// mortal is an engine whose caller dies after a call that changes something.
type mortal struct {
	deploy.Containers
	at, calls int
}

func (m *mortal) after(err error) error {
	if m.calls++; m.calls == m.at {
		die()
	}
	return err
}

func (m *mortal) Create(ctx context.Context, name string, spec deploy.Spec, labels map[string]string) (string, error) {
	id, err := m.Containers.Create(ctx, name, spec, labels)
	return id, m.after(err)
}
func (m *mortal) Start(ctx context.Context, id string) error {
	return m.after(m.Containers.Start(ctx, id))
}
func (m *mortal) Stop(ctx context.Context, id string, grace time.Duration) error {
	return m.after(m.Containers.Stop(ctx, id, grace))
}
func (m *mortal) Remove(ctx context.Context, id string) error {
	return m.after(m.Containers.Remove(ctx, id))
}
func (m *mortal) Rename(ctx context.Context, id, name string) error {
	return m.after(m.Containers.Rename(ctx, id, name))
}
func (m *mortal) SetRestart(ctx context.Context, id, policy string) error {
	return m.after(m.Containers.SetRestart(ctx, id, policy))
}

// A process that is killed at any step that it writes down, or after any call, leaves
// something that the next one repairs: one version runs, under its name, healthy, and
// comes back with its engine.
func TestKilledAtEveryStep(t *testing.T) {
	rows := map[string]struct {
		order
		steps string // that are written down, when nothing kills it
		// Steps and calls before these are as in another row.
		step, call int
	}{
		"replace":  {order{Strategy: deploy.Replace}, "create disable stop rename old rename new start gate finish", 1, 1},
		"overlap":  {order{Strategy: deploy.Overlap}, "create start gate finish", 1, 1},
		"rollback": {order{Strategy: deploy.Replace, Generation: 1}, "create disable stop rename old rename new start gate finish", 1, 1},
		"failure":  {order{Strategy: deploy.Replace, Version: "short"}, "gate gate", 7, 7},
	}
	// With a bridge: without one newer engines rename no container that runs.
	socket := dockertest.StartEngineWithBridge(t).Socket
	e := open(t, "unix://"+socket)
	for version, b := range map[string]deploytest.Behaviour{"v1": {Health: "healthy"}, "v2": {Health: "healthy"}, "short": {Ends: true, Exit: 3}} {
		require.NoError(t, e.Load(t.Context(), bytes.NewReader(deploytest.BehaviourArchive(t, "web:"+version, b))))
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			row.Socket, row.Journal = socket, t.TempDir()
			k := &killing{T: t, e: e, order: row.order}
			t.Cleanup(k.clear)
			k.run("v1")
			k.run("v2")
			k.look()
			seen := []string{}
			for at := row.step; ; at++ {
				step, killed := k.kill(order{Step: at})
				if !killed {
					break
				}
				seen = append(seen, step)
			}
			assert.Equal(t, row.steps, strings.Join(seen, " "))
			for at := row.call; ; at++ {
				if _, killed := k.kill(order{Call: at}); !killed {
					break
				}
			}
		})
	}
}

// killing kills one switch over and over.
type killing struct {
	*testing.T
	e *docker.Engine
	order
	current deploy.Container // that runs
	kept    []deploy.Container
}

func (k *killing) clear() {
	all, err := k.e.List(context.Background())
	require.NoError(k, err)
	for _, c := range all {
		assert.NoError(k, k.e.Stop(context.Background(), c.ID, 0))
		assert.NoError(k, k.e.Remove(context.Background(), c.ID))
	}
}

func (k *killing) run(version string) {
	k.Helper()
	o := k.order
	o.Version = version
	target, err := o.target()
	require.NoError(k, err)
	_, err = o.runner(k.e).Run(k.Context(), target)
	require.NoError(k, err)
}

// kill has a process of its own do the switch to the version that does not run, and
// repairs what it leaves. It returns the step that was written down last.
func (k *killing) kill(when order) (step string, killed bool) {
	k.Helper()
	o := k.order
	o.Step, o.Call = when.Step, when.Call
	switch {
	case o.Version != "":
	case o.Generation > 0:
		require.Len(k, k.kept, 1)
		o.Version, o.Generation = k.kept[0].Labels[deploy.LabelRevision], generation(k.T, k.kept[0])
	default:
		o.Version = map[string]string{"v1": "v2", "v2": "v1"}[k.current.Labels[deploy.LabelRevision]]
	}
	text, err := json.Marshal(o)
	require.NoError(k, err)
	result, err := command.Run(k.Context(), command.Cmd{Name: os.Args[0], Env: []string{orderVariable + "=" + string(text)}})
	if killed = err != nil; killed {
		require.ErrorContains(k, err, "ended by the signal killed")
	} else if k.Version == "" {
		require.Zero(k, result.Exit, "%s", result.Stderr)
	}
	entries, failed := deploy.Journal{Dir: k.Journal}.Entries()
	require.Empty(k, failed)
	for _, entry := range entries {
		step = entry.Step
	}
	did, err := o.runner(k.e).Repair(k.Context(), "web")
	require.NoError(k, err)
	k.Logf("step %d, call %d, before %q: %s", o.Step, o.Call, step, did)
	k.look()
	return step, killed
}

func generation(t *testing.T, c deploy.Container) (n int) {
	t.Helper()
	_, err := fmt.Sscan(c.Labels[deploy.LabelGeneration], &n)
	require.NoError(t, err)
	return n
}

// look checks that one version runs as it is to, with nothing beside it that could come
// back, and remembers what is there.
func (k *killing) look() {
	k.Helper()
	all, err := k.e.List(k.Context())
	require.NoError(k, err)
	at := slices.IndexFunc(all, func(c deploy.Container) bool { return c.Name == "web" })
	require.GreaterOrEqual(k, at, 0, "nothing has the name: %+v", all)
	k.current = all[at]
	k.kept = slices.Delete(all, at, at+1)
	assert.Equal(k, deploy.Running, k.current.State)
	assert.Equal(k, "unless-stopped", k.current.Spec.Restart)
	assert.Contains(k, []string{"v1", "v2"}, k.current.Labels[deploy.LabelRevision])
	gate := deploy.Gate{Kind: "docker", Interval: 20 * time.Millisecond, Timeout: 20 * time.Second}
	require.NoError(k, gate.Pass(k.Context(), k.e, k.current.ID))
	for _, c := range k.kept {
		assert.Equal(k, deploy.Exited, c.State, c.Name)
		assert.Equal(k, "no", c.Spec.Restart, c.Name)
	}
	entries, failed := deploy.Journal{Dir: k.Journal}.Entries()
	assert.Empty(k, entries)
	assert.Empty(k, failed)
}
