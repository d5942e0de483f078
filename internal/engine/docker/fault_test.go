package docker_test

import (
	"bytes"
	"fmt"
	"net"
	"path/filepath"
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

// site is a service on a real engine, whose versions are images with a health check.
type site struct {
	*testing.T
	e       *docker.Engine
	socket  string
	journal deploy.Journal
	deploy  registry.Deploy
	keep    int
	report  func(step string)
}

func newSite(t *testing.T, socket string) *site {
	t.Helper()
	s := &site{T: t, e: open(t, "unix://"+socket), socket: socket, journal: deploy.Journal{Dir: t.TempDir()}, keep: 2}
	for version, b := range map[string]deploytest.Behaviour{
		"v1": {Health: "healthy"}, "v2": {Health: "healthy"}, "sick": {Health: "unhealthy", Says: []string{"no database"}}, "never": {Health: "starting"},
		"short": {Ends: true, Exit: 3, Says: []string{"bad config"}}, "deaf": {Health: "healthy", Deaf: true},
	} {
		require.NoError(t, s.e.Load(t.Context(), bytes.NewReader(deploytest.BehaviourArchive(t, "web:"+version, b))))
	}
	return s
}

func (s *site) runner() *deploy.Runner {
	return &deploy.Runner{Engine: s.e, Host: "nas", Journal: s.journal, Keep: s.keep, Report: func(message string) {
		if s.report != nil {
			s.report(message)
		}
	}}
}

func (s *site) target(version string) deploy.Target {
	s.Helper()
	spec, err := deploy.NewSpec("web", registry.Service{Deploy: &s.deploy}, registry.Host{}, "web:"+version)
	require.NoError(s, err)
	spec.StopGrace = time.Second
	return deploy.Target{
		Spec: spec, Strategy: deploy.Replace, Labels: map[string]string{deploy.LabelRevision: version},
		Gate: deploy.Gate{Kind: "docker", Interval: 20 * time.Millisecond, Timeout: 3 * time.Second},
	}
}

func (s *site) run(version string) error {
	s.Helper()
	_, err := s.runner().Run(s.Context(), s.target(version))
	return err
}

// is checks the containers of the service: NAME REVISION STATE RESTART.
func (s *site) is(want ...string) {
	s.Helper()
	all, err := s.e.List(s.Context())
	require.NoError(s, err)
	lines := []string{}
	for _, c := range all {
		lines = append(lines, fmt.Sprint(c.Name, " ", c.Labels[deploy.LabelRevision], " ", c.State, " ", c.Spec.Restart))
	}
	assert.Equal(s, want, lines)
	left, failed := s.journal.Entries()
	assert.Empty(s, left)
	assert.Empty(s, failed)
}

// Without an engine nothing begins, and nothing is written down.
func TestEngineIsDeadAtTheStart(t *testing.T) {
	s := &site{T: t, e: open(t, "unix://"+filepath.Join(t.TempDir(), "none.sock")), journal: deploy.Journal{Dir: t.TempDir()}}
	for _, err := range []error{s.run("v1"), func() error { _, err := s.runner().Rollback(t.Context(), s.target("v1"), 1); return err }()} {
		assert.Equal(t, fault.EngineUnavailable, fault.CodeOf(err))
	}
	left, failed := s.journal.Entries()
	assert.Empty(t, left)
	assert.Empty(t, failed)
}

// An engine that dies at any step, and is started again, has one version run: the old
// one, or the new one when it had passed.
func TestEngineDiesAtEveryStep(t *testing.T) {
	s := newSite(t, dockertest.StartEngine(t))
	require.NoError(t, s.run("v1"))
	var revive func()
	for _, step := range []string{"disable", "stop", "start", "gate"} {
		s.report = func(message string) {
			switch {
			case message == "web: "+step:
				revive = dockertest.Kill(t, s.socket)
			case revive != nil && message != "web: back": // it is waited for
				revive()
				revive = nil
			}
		}
		err := s.run("v2")
		assert.Equal(t, fault.EngineUnavailable, fault.CodeOf(err), "%s: %v", step, err)
		assert.ErrorContains(t, err, "the version before runs", step)
		s.is("web v1 running unless-stopped")
	}
	s.report = func(message string) {
		switch {
		case message == "web: finish":
			revive = dockertest.Kill(t, s.socket)
		case revive != nil:
			revive()
			revive = nil
		}
	}
	require.NoError(t, s.run("v2"))
	s.is("web v2 running unless-stopped", "web.g1 v1 exited no")
}

// The same when whoever switches dies with it: the repair brings the old one back.
func TestEngineAndCallerDie(t *testing.T) {
	s := newSite(t, dockertest.StartEngine(t))
	require.NoError(t, s.run("v1"))
	for _, step := range []string{"stop", "start", "gate"} {
		s.report = func(message string) {
			if message == "web: "+step {
				panic("killed")
			}
		}
		func() {
			defer func() { require.Equal(t, "killed", recover()) }()
			_ = s.run("v2")
		}()
		revive := dockertest.Kill(t, s.socket)
		_, err := s.runner().Repair(t.Context(), "web")
		assert.Equal(t, fault.EngineUnavailable, fault.CodeOf(err), step)
		revive()
		s.report = nil
		did, err := s.runner().Repair(t.Context(), "web")
		require.NoError(t, err, step)
		assert.Contains(t, did, "is undone; the version before runs")
		s.is("web v1 running unless-stopped")
	}
}

// Whatever a new version does wrong, the one before runs, and nothing else is left.
func TestNewVersionFails(t *testing.T) {
	s := newSite(t, dockertest.StartEngine(t))
	require.NoError(t, s.run("v1"))
	for version, says := range map[string]string{
		"sick": "its own check says unhealthy", "never": "its own check says starting", "short": "not healthy: it ended",
	} {
		err := s.run(version)
		assert.Equal(t, fault.Unhealthy, fault.CodeOf(err), "%s: %v", version, err)
		assert.ErrorContains(t, err, says)
		assert.ErrorContains(t, err, "the version before runs")
		s.is("web v1 running unless-stopped")
	}
}

// One that does not listen is killed after its grace, and one that was stopped on
// purpose is not started.
func TestOldVersionIsDifficult(t *testing.T) {
	s := newSite(t, dockertest.StartEngine(t))
	require.NoError(t, s.run("deaf"))
	assert.Equal(t, fault.Unhealthy, fault.CodeOf(s.run("short")))
	s.is("web deaf running unless-stopped")
	require.NoError(t, s.run("v1"))
	s.is("web v1 running unless-stopped", "web.g1 deaf exited no")

	require.NoError(t, s.e.Stop(t.Context(), "web", time.Second))
	err := s.run("short")
	assert.ErrorContains(t, err, "the version before is as it was, stopped")
	s.is("web v1 exited unless-stopped", "web.g1 deaf exited no")
	require.NoError(t, s.e.Start(t.Context(), "web"))

	require.NoError(t, raw(t, s.socket).ContainerPause(t.Context(), "web"))
	assert.Equal(t, fault.Conflict, fault.CodeOf(s.run("v2")))
	s.is("web v1 paused unless-stopped", "web.g1 deaf exited no")
	require.NoError(t, raw(t, s.socket).ContainerUnpause(t.Context(), "web"))
	require.NoError(t, s.run("v2"))
	s.is("web v2 running unless-stopped", "web.g1 deaf exited no", "web.g2 v1 exited no")
}

// A name that somebody else has is a conflict before anything is changed; one that is
// taken meanwhile does not keep the old version down.
func TestNameIsTaken(t *testing.T) {
	s := newSite(t, dockertest.StartEngine(t))
	stranger := makeStranger(t, s.socket, "web", "web:v1")
	assert.Equal(t, fault.Conflict, fault.CodeOf(s.run("v1")))
	s.is([]string{}...)
	rename := func(name string) {
		require.NoError(t, raw(t, s.socket).ContainerRename(t.Context(), stranger, name))
	}
	rename("away")
	require.NoError(t, s.run("v1"))
	s.report = func(message string) {
		if message == "web: rename new" {
			rename("web")
		}
	}
	err := s.run("v2")
	assert.Equal(t, fault.RollbackFailed, fault.CodeOf(err))
	c, err := s.e.Container(t.Context(), "web.g1")
	require.NoError(t, err)
	assert.Equal(t, deploy.Running, c.State)
	s.report = nil
	rename("web.g1-too")
	did, err := s.runner().Repair(t.Context(), "web")
	require.NoError(t, err)
	assert.Contains(t, did, "is undone; the version before runs")
	s.is("web v1 running unless-stopped")

	rename("web.g1")
	require.NoError(t, s.run("v2"))
	s.is("web v2 running unless-stopped", "web.g1-"+c.ID[:12]+" v1 exited no")
}

// A network that is declared is made; an earlier generation whose network is gone does
// not come back, and what ran does.
func TestNetworkIsMissing(t *testing.T) {
	s := newSite(t, dockertest.StartEngine(t))
	s.deploy.Networks = []string{"shelf"}
	require.NoError(t, s.run("v1"))
	s.deploy.Networks = nil
	require.NoError(t, s.run("v2"))
	require.NoError(t, raw(t, s.socket).NetworkRemove(t.Context(), "shelf"))
	_, err := s.runner().Rollback(t.Context(), s.target("v2"), 1)
	assert.ErrorContains(t, err, "not found")
	assert.ErrorContains(t, err, "the version before runs")
	s.is("web v2 running unless-stopped", "web.g1 v1 exited no")
}

// A port that a process of the host has: the old version goes on with its own; and when
// the old one's own port is gone meanwhile, another version can still be run.
func TestPortIsTakenMeanwhile(t *testing.T) {
	host := dockertest.StartEngineWithBridge(t)
	s := newSite(t, host.Socket)
	taken := map[string]net.Listener{}
	take := func(port string) {
		var err error
		host.Inside(t, func() { taken[port], err = net.Listen("tcp", "0.0.0.0:"+port) })
		require.NoError(t, err)
		t.Cleanup(func() { _ = taken[port].Close() })
	}
	s.deploy.Ports = []string{"18301:80"}
	require.NoError(t, s.run("v1"))
	take("18302")
	s.deploy.Ports = []string{"18302:80"}
	err := s.run("v2")
	assert.Equal(t, fault.Conflict, fault.CodeOf(err))
	assert.ErrorContains(t, err, "port 18302 of the host is taken")
	assert.ErrorContains(t, err, "the version before runs")
	s.is("web v1 running unless-stopped")

	s.report = func(message string) {
		if message == "web: back" {
			take("18301")
		}
	}
	err = s.run("v2")
	assert.Equal(t, fault.RollbackFailed, fault.CodeOf(err))
	assert.ErrorContains(t, err, "port 18301 of the host is taken")
	s.report = nil
	s.deploy.Ports = []string{"18303:80"}
	require.NoError(t, s.run("v2"))
	s.is("web v2 running unless-stopped", "web.g1 v1 exited no")
}

// A generation that was gone back to, and failed, does not come back with its engine.
func TestFailedGenerationStaysDown(t *testing.T) {
	s := newSite(t, dockertest.StartEngine(t))
	require.NoError(t, s.run("v1"))
	says(t, s.e, deploy.Container{ID: "web"}, "busybox", "rm", "/run.sh") // there is no second time
	require.NoError(t, s.run("v2"))
	_, err := s.runner().Rollback(t.Context(), s.target("v2"), 1)
	assert.Equal(t, fault.Unhealthy, fault.CodeOf(err), "%v", err)
	dockertest.Kill(t, s.socket)()
	c, err := s.e.Container(t.Context(), "web.g1")
	require.NoError(t, err)
	assert.Equal(t, []any{deploy.Exited, "no"}, []any{c.State, c.Spec.Restart})
}
