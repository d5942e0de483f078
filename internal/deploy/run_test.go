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
	"homelab/internal/fault"
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

// Versions follow each other; the last ones are kept, stopped.
func TestRun(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		first := y.must("v1")
		assert.True(t, first.Changed)
		assert.Equal(t, []int{1, 0}, []int{first.Generation, first.Before})
		assert.Zero(t, first.Downtime, "nothing ran before")
		again := y.must("v1")
		assert.False(t, again.Changed)
		assert.Equal(t, first.ID, again.ID)

		second := y.must("v2")
		assert.Equal(t, []int{2, 1}, []int{second.Generation, second.Before})
		assert.Equal(t, []string{"web v2 running unless-stopped", "web.g1 v1 exited no"}, y.is())
		y.must("v3")
		y.must("v1")
		assert.Equal(t, []string{"web v1 running unless-stopped", "web.g2 v2 exited no", "web.g3 v3 exited no"}, y.is(), "two are kept")
		assert.Equal(t, []string{"web: create", "web: rename new", "web: start", "web: gate", "web: finish"}, y.said[:5])
		y.quiet()
	})
}

// What does not pass leaves what ran before.
func TestRunFails(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		for version, says := range map[string]string{"sick": "its own check says unhealthy", "short": "it ended with status 3"} {
			y := newYard(t)
			_, err := y.run(version)
			assert.Equal(t, fault.Unhealthy, fault.CodeOf(err), version)
			assert.ErrorContains(t, err, says)
			assert.ErrorContains(t, err, "nothing ran before, and nothing does")
			assert.Empty(t, y.is())
			y.quiet()

			before := y.must("v1")
			_, err = y.run(version)
			assert.ErrorContains(t, err, "the version before runs")
			assert.Contains(t, fault.Of(err).Hint, "its last words: ")
			assert.Equal(t, []string{"web v1 running unless-stopped"}, y.is())
			assert.Equal(t, before.ID, y.must("v1").ID)
			y.quiet()
		}
	})
}

func TestRunLeavesOthersAlone(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		foreign := y.must("v1").ID
		y.engine.Disown(foreign)
		_, err := y.run("v2")
		assert.Equal(t, fault.Conflict, fault.CodeOf(err))
		assert.ErrorContains(t, err, "host nas has a container web that homelab has not made")
		c, err := y.engine.Container(t.Context(), "web")
		require.NoError(t, err)
		assert.Equal(t, foreign, c.ID)
		assert.Equal(t, deploy.Running, c.State)
	})
}

// With overlap something runs at every moment.
func TestOverlap(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		over := func(version string) error {
			target := y.target(version)
			target.Strategy = deploy.Overlap
			_, err := y.runner(y.engine).Run(t.Context(), target)
			return err
		}
		require.NoError(t, over("v1"))
		require.NoError(t, over("v2"))
		assert.Equal(t, []string{"web v2 running unless-stopped", "web.g1 v1 exited no"}, y.is())
		require.Error(t, over("sick"))
		assert.Equal(t, []string{"web v2 running unless-stopped", "web.g1 v1 exited no"}, y.is())
		y.quiet()
	})
}
