package deploytest

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/fault"
)

func (s *containerSuite) life(t *testing.T) {
	ctx := t.Context()
	id := s.create(t, s.spec("suite-life", "talks"))
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

	// Who has not said anything yet may not hear of a signal either.
	require.Eventually(t, func() bool { return s.printed(t, id, deploy.Tail{Lines: 1}) != "" }, patience, 20*time.Millisecond)
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
	// Until it says something it is not deaf yet: it is what starts it that hears.
	require.Eventually(t, func() bool { return s.printed(t, c.ID, deploy.Tail{Lines: 1}) != "" }, patience, 20*time.Millisecond)
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
	require.NoError(t, s.Start(t.Context(), id))
	assert.Zero(t, s.exits(t, id).Restarts, "it counts from each start")
	failed(t, s.SetRestart(t.Context(), id, "sometimes"), fault.Precondition)
}

func (s *containerSuite) pauses(t *testing.T) {
	ctx := t.Context()
	id := s.create(t, s.spec("suite-pauses", "runs"))
	refusal(t, s.Pause(ctx, id), fault.Conflict, "is not running")
	require.NoError(t, s.Start(ctx, id))
	require.NoError(t, s.Unpause(ctx, id), "it goes on already")
	for range 2 {
		require.NoError(t, s.Pause(ctx, id))
		assert.Equal(t, deploy.Paused, s.found(t, id).State)
	}
	for range 2 {
		require.NoError(t, s.Unpause(ctx, id))
		assert.Equal(t, deploy.Running, s.found(t, id).State)
	}
	require.NoError(t, s.Pause(ctx, id))
	require.NoError(t, s.Stop(ctx, id, 0), "it need not go on to be stopped")
	refusal(t, s.Unpause(ctx, s.exits(t, id).ID), fault.Conflict, "is not paused")
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
	s.exits(t, id)
	// Its log may come after its end.
	s.becomes(t, id, func(c deploy.Container) bool {
		return strings.Contains(c.Error, "exec format error") && strings.Contains(c.Error, "another processor")
	})
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
		_, err := s.Create(t.Context(), spec.Container, spec, nil)
		failed(t, err, fault.Precondition, "cannot read an env file", Nowhere+"/secrets.env")
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
