package deploy_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/registry"
)

// yard is a host with a service called web.
type yard struct {
	t       *testing.T
	engine  *deploytest.Memory
	journal deploy.Journal
	said    []string
}

func newYard(t *testing.T) *yard {
	t.Helper()
	y := &yard{t: t, engine: &deploytest.Memory{}, journal: deploy.Journal{Dir: quick(t)}}
	y.engine.Behave = map[string]deploytest.Behaviour{}
	for version, b := range map[string]deploytest.Behaviour{
		"v1": {Health: "healthy"}, "v2": {Health: "healthy"}, "v3": {Health: "healthy"},
		"sick": {Health: "unhealthy", Says: []string{"no database"}}, "short": {Ends: true, Exit: 3, Says: []string{"bad config"}},
		"slow": {Health: "healthy", Slow: true}, "stuck": {Health: "healthy", Stuck: true},
	} {
		name := "web:" + version
		require.NoError(t, y.engine.Load(t.Context(), bytes.NewReader(deploytest.Archive(name, version, "files"))))
		y.engine.Behave[name] = b
	}
	return y
}

// inYard runs a test in a yard, where no time passes but what somebody waits for.
func inYard(t *testing.T, test func(y *yard)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { test(newYard(t)) })
}

// quick is a temporary folder, in memory where the machine has some: a journal is
// flushed to the disk with each step.
func quick(t *testing.T) string {
	t.Helper()
	const memory = "/dev/shm"
	if info, err := os.Stat(memory); err != nil || !info.IsDir() {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(memory, "homelab-")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func (y *yard) runner(e deploy.Containers) *deploy.Runner {
	return &deploy.Runner{Engine: e, Host: "nas", Journal: y.journal, Keep: 2, Report: func(message string) { y.said = append(y.said, message) }}
}

func (y *yard) target(version string) deploy.Target {
	y.t.Helper()
	spec, err := deploy.NewSpec("web", registry.Service{Deploy: &registry.Deploy{}}, registry.Host{}, "web:"+version)
	require.NoError(y.t, err)
	return deploy.Target{
		Spec: spec, Strategy: deploy.Replace, Labels: map[string]string{deploy.LabelRevision: version},
		Gate: deploy.Gate{Kind: "docker", Interval: time.Millisecond, Timeout: 50 * time.Millisecond},
	}
}

// overlap is a target that starts beside what runs.
func (y *yard) overlap(version string) deploy.Target {
	y.t.Helper()
	target := y.target(version)
	target.Strategy = deploy.Overlap
	return target
}

func (y *yard) repair() (string, error) {
	y.t.Helper()
	return y.runner(y.engine).Repair(y.t.Context(), "web")
}

func (y *yard) run(version string) (*deploy.Switched, error) {
	y.t.Helper()
	return y.runner(y.engine).Run(y.t.Context(), y.target(version))
}

func (y *yard) must(version string) *deploy.Switched {
	y.t.Helper()
	s, err := y.run(version)
	require.NoError(y.t, err)
	return s
}

// is tells the containers, by name: NAME REVISION STATE RESTART.
func (y *yard) is() []string {
	y.t.Helper()
	all, err := y.engine.List(context.Background())
	require.NoError(y.t, err)
	lines := []string{}
	for _, c := range all {
		lines = append(lines, fmt.Sprint(c.Name, " ", c.Labels[deploy.LabelRevision], " ", c.State, " ", c.Spec.Restart))
	}
	return lines
}

func (y *yard) quiet() {
	y.t.Helper()
	e, err := y.journal.Read("nas", "web")
	require.NoError(y.t, err)
	assert.Nil(y.t, e, "nothing is under way")
}

// when has something happen when a step is about to be done.
func (y *yard) when(step string, happens func()) *deploy.Runner {
	r := y.runner(y.engine)
	r.Report = func(message string) {
		if message == "web: "+step {
			happens()
		}
	}
	return r
}

// crash has a switch to a version die when a step is about to be done.
func (y *yard) crash(step, version string) {
	y.t.Helper()
	y.crashing(step, func(r *deploy.Runner) { _, _ = r.Run(context.Background(), y.target(version)) })
}

func (y *yard) crashing(step string, do func(r *deploy.Runner)) {
	y.t.Helper()
	defer func() {
		died := recover()
		require.Equal(y.t, errKilled, died, "it never came to "+step)
	}()
	do(y.when(step, func() { panic(errKilled) }))
}

// named finds a container that must be there.
func (y *yard) named(name string) *deploy.Container {
	y.t.Helper()
	c, err := y.engine.Container(context.Background(), name)
	require.NoError(y.t, err)
	require.NotNil(y.t, c, name)
	return c
}

// foreign makes a container of somebody else.
func (y *yard) foreign(name string) string {
	y.t.Helper()
	id, err := y.engine.Create(context.Background(), name, y.target("v1").Spec, nil)
	require.NoError(y.t, err)
	y.engine.Disown(id)
	return id
}

// refuses has the engine fail every call of a name.
func (y *yard) refuses(name string, why error) {
	y.engine.Fail = func(call string) error {
		if call == name {
			return why
		}
		return nil
	}
}
