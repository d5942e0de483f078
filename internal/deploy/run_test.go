package deploy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
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
	y := &yard{t: t, engine: &deploytest.Memory{}, journal: deploy.Journal{Dir: t.TempDir()}}
	made.Do(func() {
		for name, b := range map[string]deploytest.Behaviour{
			"v1": {Health: "healthy"}, "v2": {Health: "healthy"}, "v3": {Health: "healthy"},
			"sick": {Health: "unhealthy", Says: []string{"no database"}}, "short": {Ends: true, Exit: 3, Says: []string{"bad config"}},
		} {
			archives = append(archives, deploytest.BehaviourArchive(t, "web:"+name, b))
		}
	})
	for _, archive := range archives {
		require.NoError(t, y.engine.Load(t.Context(), bytes.NewReader(archive)))
	}
	return y
}

var (
	made     sync.Once
	archives [][]byte
)

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
	t.Parallel()
	y := newYard(t)
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
	assert.Equal(t, []string{"web: create", "web: rename new", "web: start", "web: gate", "web: tidy"}, y.said[:5])
	y.quiet()
}

// What does not pass leaves what ran before.
func TestRunFails(t *testing.T) {
	t.Parallel()
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
}

func TestRunLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	foreign := y.must("v1").ID
	y.engine.Disown(foreign)
	_, err := y.run("v2")
	assert.Equal(t, fault.Conflict, fault.CodeOf(err))
	assert.ErrorContains(t, err, "host nas has a container web that homelab has not made")
	c, err := y.engine.Container(t.Context(), "web")
	require.NoError(t, err)
	assert.Equal(t, foreign, c.ID)
	assert.Equal(t, deploy.Running, c.State)
}

// A container that the registry gives another name makes room for the new one, and
// gets its name back when that fails.
func TestRenamed(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.must("v1")
	renamed := func(version string) error {
		target := y.target(version)
		target.Spec.Container = "site"
		_, err := y.runner(y.engine).Run(t.Context(), target)
		return err
	}
	require.Error(t, renamed("sick"))
	assert.Equal(t, []string{"web v1 running unless-stopped"}, y.is())
	require.NoError(t, renamed("v2"))
	assert.Equal(t, []string{"site v2 running unless-stopped", "site.g1 v1 exited no"}, y.is())
	require.NoError(t, renamed("v2"))
	y.quiet()
}

// An engine goes on with a stop whose caller is gone: what is brought back then must
// not end behind its back.
func TestCanceledWhileItStops(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	require.NoError(t, y.engine.Load(t.Context(), bytes.NewReader(deploytest.BehaviourArchive(t, "web:slow", deploytest.Behaviour{Health: "healthy", Slow: true}))))
	y.must("slow")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := y.runner(y.engine)
	r.Report = func(message string) {
		if message == "web: stop" {
			time.AfterFunc(deploytest.SlowStop/4, cancel)
		}
	}
	_, err := r.Run(ctx, y.target("v2"))
	assert.Equal(t, fault.Canceled, fault.CodeOf(err))
	assert.ErrorContains(t, err, "the version before runs")
	time.Sleep(2 * deploytest.SlowStop)
	assert.Equal(t, []string{"web slow running unless-stopped"}, y.is())
	y.quiet()

	// The same for whoever repairs after a crash.
	c, err := y.engine.Container(t.Context(), "web")
	require.NoError(t, err)
	require.NoError(t, y.journal.Write(&deploy.Entry{
		Service: "web", Host: "nas", Container: "web", Step: "stop", Stopping: true, Generation: 7, Made: true, Token: "gone",
		Old: c.ID, OldName: "web", Restart: "unless-stopped", Grace: "1s",
	}))
	over, stop := context.WithTimeout(t.Context(), deploytest.SlowStop/4)
	defer stop()
	require.Error(t, y.engine.Stop(over, c.ID, time.Second))
	_, err = y.runner(y.engine).Repair(t.Context(), "web")
	require.NoError(t, err)
	time.Sleep(2 * deploytest.SlowStop)
	assert.Equal(t, []string{"web slow running unless-stopped"}, y.is())
}

// A journal that cannot be written does not keep the old version down, and a new one
// that cannot be removed neither.
func TestNothingKeepsTheOldVersionDown(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.must("v1")
	r := y.runner(y.engine)
	r.Report = func(message string) {
		if message == "web: rename old" {
			require.NoError(t, os.RemoveAll(y.journal.Dir))
			require.NoError(t, os.WriteFile(y.journal.Dir, nil, 0o600))
		}
	}
	_, err := r.Run(t.Context(), y.target("v2"))
	require.Error(t, err)
	assert.Equal(t, []string{"web v1 running unless-stopped"}, y.is())

	y = newYard(t)
	y.must("v1")
	y.engine.Fail = func(call string) error {
		if call == "remove" {
			return errors.New("device or resource busy")
		}
		return nil
	}
	_, err = y.run("sick")
	assert.ErrorContains(t, err, "the version before runs")
	assert.Contains(t, y.is(), "web v1 running unless-stopped")
	y.engine.Fail = nil
	y.must("v2")
	assert.Equal(t, []string{"web v2 running unless-stopped", "web.g1 v1 exited no"}, y.is())
	y.quiet()
}

// A journal of another engine, or one that others have gone past, undoes nothing.
func TestJournalsThatDoNotApply(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.must("v1")
	y.must("v2")
	entry := &deploy.Entry{Service: "web", Host: "nas", Container: "web", Step: "gate", Generation: 1, Old: "gone", Token: "t", Engine: "another"}
	require.NoError(t, y.journal.Write(entry))
	_, err := y.run("v3")
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
	assert.ErrorContains(t, err, "another engine")

	entry.Engine = ""
	require.NoError(t, y.journal.Write(entry))
	s := y.must("v3")
	assert.Contains(t, s.Repaired, "out of date")
	assert.Contains(t, y.is(), "web v3 running unless-stopped")
}

// A sick version does not block the next one.
func TestSickVersionIsReplaced(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.engine.Behave = map[string]deploytest.Behaviour{}
	y.must("v1")
	c, err := y.engine.Container(t.Context(), "web")
	require.NoError(t, err)
	y.engine.Fail = func(call string) error {
		if call == "start" { // of the old one: it will be sick from then on
			y.engine.Sicken(c.ID)
		}
		return nil
	}
	_, err = y.run("sick")
	assert.Equal(t, fault.RollbackFailed, fault.CodeOf(err), "it runs, and is no better")
	assert.Equal(t, []string{"web v1 running unless-stopped"}, y.is())
	y.engine.Fail = nil
	y.must("v2")
	assert.Contains(t, y.is(), "web v2 running unless-stopped")
}

// The version that ran last is kept, whatever its number.
func TestTheLastOneIsKept(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.must("v1")
	y.must("v2")
	y.must("v3")
	_, err := y.runner(y.engine).Rollback(t.Context(), y.target("v3"), 1)
	require.NoError(t, err)
	y.must("v2")
	assert.Contains(t, y.is(), "web.g1 v1 exited no", "%v", y.is())
}

// An earlier generation runs again as it was.
func TestRollback(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	first := y.must("v1")
	y.must("v2")
	s, err := y.runner(y.engine).Rollback(t.Context(), y.target("v2"), 1)
	require.NoError(t, err)
	assert.Equal(t, []int{1, 2}, []int{s.Generation, s.Before})
	assert.Equal(t, first.ID, s.ID)
	assert.Equal(t, []string{"web v1 running unless-stopped", "web.g2 v2 exited no"}, y.is())
	_, err = y.runner(y.engine).Rollback(t.Context(), y.target("v2"), 7)
	assert.Equal(t, fault.NotFound, fault.CodeOf(err))
	assert.Equal(t, "it has [2]", fault.Of(err).Hint)
	y.quiet()
}

// With overlap something runs at every moment.
func TestOverlap(t *testing.T) {
	t.Parallel()
	y := newYard(t)
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
}

var errKilled = errors.New("killed")

// killed is an engine whose caller is killed at its call number at: before it, or
// after it was done. From then on it does nothing any more.
type killed struct {
	deploy.Containers
	at, calls int
	after     bool
}

// do makes a call that changes something.
func (k *killed) do(call func() error) error {
	k.calls++
	switch {
	case k.calls > k.at, k.calls == k.at && !k.after:
		return errKilled
	case k.calls == k.at:
		_ = call() // whatever came of it, nobody learns
		return errKilled
	}
	return call()
}

func (k *killed) Create(ctx context.Context, name string, spec deploy.Spec, labels map[string]string) (id string, err error) {
	err = k.do(func() error { id, err = k.Containers.Create(ctx, name, spec, labels); return err })
	if err != nil {
		id = ""
	}
	return id, err
}
func (k *killed) Start(ctx context.Context, id string) error {
	return k.do(func() error { return k.Containers.Start(ctx, id) })
}
func (k *killed) Stop(ctx context.Context, id string, grace time.Duration) error {
	return k.do(func() error { return k.Containers.Stop(ctx, id, grace) })
}
func (k *killed) Remove(ctx context.Context, id string) error {
	return k.do(func() error { return k.Containers.Remove(ctx, id) })
}
func (k *killed) Rename(ctx context.Context, id, name string) error {
	return k.do(func() error { return k.Containers.Rename(ctx, id, name) })
}
func (k *killed) SetRestart(ctx context.Context, id, policy string) error {
	return k.do(func() error { return k.Containers.SetRestart(ctx, id, policy) })
}

// Container is what everything looks with: once it is killed, nothing is seen.
func (k *killed) Container(ctx context.Context, ref string) (*deploy.Container, error) {
	if k.calls >= k.at {
		return nil, errKilled
	}
	return k.Containers.Container(ctx, ref)
}

// Whoever is killed, at whichever step, leaves something that the next one repairs:
// the old version runs, or the new one, and nothing is left over.
func TestKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	for _, strategy := range []string{deploy.Replace, deploy.Overlap} {
		for _, next := range []string{"v2", "sick"} {
			for _, before := range []bool{true, false} {
				for at := 1; ; at++ {
					name := fmt.Sprint(strategy, " ", next, " ", before, " ", at)
					cut := false
					for _, after := range []bool{false, true} {
						y := newYard(t)
						if before {
							y.must("v1")
						}
						target := y.target(next)
						target.Strategy = strategy
						k := &killed{Containers: y.engine, at: at, after: after}
						_, err := y.runner(k).Run(t.Context(), target)
						cut = cut || k.calls >= at
						_ = err // killed, unhealthy, or fine

						did, err := y.runner(y.engine).Repair(t.Context(), "web")
						require.NoError(t, err, name)
						y.quiet()
						running := []string{}
						for _, line := range y.is() {
							switch line {
							case "web v1 running unless-stopped", "web v2 running unless-stopped":
								running = append(running, line[4:6])
							case "web.g1 v1 exited no":
							default:
								t.Errorf("%s: %s is left over (%s)", name, line, did)
							}
						}
						if before {
							assert.Len(t, running, 1, "%s: %v (%s)", name, y.is(), did)
						} else {
							assert.LessOrEqual(t, len(running), 1, name)
						}
						if next == "sick" && before {
							assert.Equal(t, []string{"v1"}, running, name)
						}
						y.must("v3")
						assert.Contains(t, y.is(), "web v3 running unless-stopped", "%s: and it goes on", name)
					}
					if !cut {
						break
					}
				}
			}
		}
	}
}
