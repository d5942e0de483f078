package rollout_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/plan"
	"homelab/internal/rollout"
	"homelab/registry"
)

func web() registry.Service {
	return registry.Service{
		Deploy: &registry.Deploy{Ports: []string{"80:80"}, Volumes: []registry.Volume{{Name: "data", Target: "/data"}, {Name: "cache", Target: "/cache"}}},
		State:  &registry.State{Items: []registry.StateItem{{Volume: "data"}, {Volume: "cache", Class: "recomputable"}}},
	}
}

// container is a generation of web; edit makes it another than the registry has it.
func container(t *testing.T, generation int, state deploy.State, edit func(*deploy.Container)) deploy.Container {
	t.Helper()
	spec, err := deploy.NewSpec("web", web(), registry.Host{}, "web:nix-"+strconv.Itoa(generation))
	require.NoError(t, err)
	spec.Service, spec.EnvFiles, spec.Labels = "", nil, nil // as an engine tells it
	c := deploy.Container{
		ID: "id" + strconv.Itoa(generation), Name: "web", State: state, Spec: spec, Started: time.Unix(int64(generation), 0),
		Labels: map[string]string{
			deploy.LabelService: "web", deploy.LabelGeneration: strconv.Itoa(generation), deploy.LabelOut: "/nix/store/" + strconv.Itoa(generation) + "-web",
			deploy.LabelRevision: "commit" + strconv.Itoa(generation), deploy.LabelState: "commit",
		},
	}
	if state != deploy.Running {
		c.Name += ".g" + strconv.Itoa(generation)
		c.Spec.Restart = "no"
	}
	if edit != nil {
		edit(&c)
	}
	return c
}

func standing(current *deploy.Container, kept ...deploy.Container) rollout.Standing {
	return rollout.Standing{Name: "web", Service: web(), Host: "nas", Current: current, Kept: kept}
}

// What is gone back to is the newest below the current one, or what is asked for.
func TestBackChooses(t *testing.T) {
	t.Parallel()
	one, two, three, four := container(t, 1, deploy.Exited, nil), container(t, 2, deploy.Exited, nil), container(t, 3, deploy.Running, nil), container(t, 4, deploy.Exited, nil)
	down := container(t, 3, deploy.Exited, func(c *deploy.Container) { c.Name = "web" })
	for name, c := range map[string]struct {
		standing rollout.Standing
		asked    int
		to       int
		action   rollout.Action
		code     fault.Code
		hint     string
	}{
		"the one before":               {standing(&three, four, two, one), 0, 2, rollout.Rollback, "", ""},
		"one that is asked for":        {standing(&three, four, two, one), 1, 1, rollout.Rollback, "", ""},
		"forward again":                {standing(&three, four, two, one), 4, 4, rollout.Rollback, "", ""},
		"what is current is down":      {standing(&down, two), 0, 2, rollout.Rollback, "", ""},
		"nothing is current":           {standing(nil, four, two), 0, 4, rollout.Rollback, "", ""},
		"it runs already":              {standing(&three, two), 3, 3, rollout.Nothing, "", ""},
		"the current one, down":        {standing(&down, two), 3, 0, "", fault.Precondition, "homelab deploy web"},
		"only a newer one":             {standing(&three, four), 0, 0, "", fault.NotFound, "kept: 4"},
		"nothing is kept":              {standing(&three), 0, 0, "", fault.NotFound, "none is kept; see homelab status web"},
		"one that is not kept":         {standing(&three, two, one), 7, 0, "", fault.NotFound, "kept: 2, 1"},
		"one that is not kept, no one": {standing(nil), 7, 0, "", fault.NotFound, "none is kept; see homelab status web"},
	} {
		t.Run(name, func(t *testing.T) {
			report, err := c.standing.Back(c.asked)
			if c.code != "" {
				assert.Equal(t, c.code, fault.CodeOf(err), "%v", err)
				assert.Contains(t, fault.Of(err).Hint, c.hint)
				return
			}
			require.NoError(t, err)
			s := report.Services[0]
			assert.Equal(t, []any{c.to, c.action}, []any{s.To.Generation, s.Action})
		})
	}
}

func TestOf(t *testing.T) {
	t.Parallel()
	two, three := container(t, 2, deploy.Exited, nil), container(t, 3, deploy.Running, nil)
	for generation, want := range map[int]string{0: "id3", 3: "id3", 2: "id2"} {
		c, err := standing(&three, two).Of(generation)
		require.NoError(t, err)
		assert.Equal(t, want, c.ID)
	}
	_, err := standing(&three, two).Of(1)
	assert.EqualError(t, err, "web has no generation 1 on host nas")
	_, err = standing(nil, two).Of(0)
	assert.EqualError(t, err, "nothing of web is current on host nas")
	assert.Equal(t, fault.NotFound, fault.CodeOf(err))
	assert.Equal(t, "kept: 2", fault.Of(err).Hint)
}

// A preview says what changes, and what data the earlier version finds.
func TestBackSaysWhatChanges(t *testing.T) {
	t.Parallel()
	anonymous := deploy.Mount{Volume: strings.Repeat("0", 64), Target: "/tmp"}
	current := container(t, 3, deploy.Running, func(c *deploy.Container) {
		c.Spec.Mounts = append(c.Spec.Mounts, anonymous)
	})
	earlier := container(t, 2, deploy.Exited, func(c *deploy.Container) {
		c.Spec.Ports[0].Host = 81
		c.Spec.Env = map[string]string{"TZ": "UTC"}
		c.Spec.Mounts = c.Spec.Mounts[:1] // that of the cache
		c.Labels[deploy.LabelState] = plan.StateDirty
	})
	report, err := standing(&current, earlier).Back(0)
	require.NoError(t, err)
	assert.Len(t, report.PreviewID, 64)
	id := report.PreviewID
	report.PreviewID = ""
	assert.Equal(t, &rollout.Report{
		State: rollout.Previewed, Counts: rollout.Counts{Total: 1, Rollback: 1},
		Head: plan.Side{Commit: "commit2", State: plan.StateDirty, Why: "generation 2"},
		Services: []rollout.Service{{
			Name: "web", Host: "nas", Action: rollout.Rollback, Status: rollout.Pending, Downtime: rollout.Restart,
			From: &rollout.Version{Generation: 3, Revision: "commit3", Out: "/nix/store/3-web", Running: true},
			To:   &rollout.Version{Generation: 2, Revision: "commit2", Out: "/nix/store/2-web", WorkTree: "dirty"},
			Config: []deploy.Difference{
				{Field: "env.TZ", Want: "UTC", Is: "(nothing)"}, {Field: "ports", Want: "81:80/tcp", Is: "80:80/tcp"},
				{Field: "mounts[/data]", Want: "(nothing)", Is: "volume data"},
			},
			Impact: []rollout.Impact{
				{Item: "cache", Class: "recomputable", Effect: rollout.Kept}, {Item: "data", Class: "durable", Effect: rollout.Detached},
			},
		}},
		Warnings: []plan.Warning{},
	}, report)

	same := container(t, 2, deploy.Exited, func(c *deploy.Container) {
		anonymous.Volume = strings.Repeat("f", 64)
		c.Spec.Mounts = append(c.Spec.Mounts, anonymous)
	})
	kept, err := standing(&current, same).Back(0)
	require.NoError(t, err)
	assert.Empty(t, kept.Services[0].Config, "neither the restart policy of one that waits, nor what the image asks for by itself")
	assert.Equal(t, []plan.Warning{{Code: "newerData", Message: "data stays as generation 3 left it: data", Hint: "make sure that the earlier version can read it"}}, kept.Warnings)
	assert.NotEqual(t, id, kept.PreviewID)

	forward, err := standing(&same, current).Back(3)
	require.NoError(t, err)
	assert.Empty(t, forward.Warnings, "what is newer has written it")
	assert.Equal(t, rollout.NoDowntime, forward.Services[0].Downtime, "nothing runs")
}

// What was confirmed is not what would happen when any of it has moved.
func TestBackIsWhatWasConfirmed(t *testing.T) {
	t.Parallel()
	current, earlier := container(t, 3, deploy.Running, nil), container(t, 2, deploy.Exited, nil)
	id := func(s rollout.Standing) string {
		report, err := s.Back(0)
		require.NoError(t, err)
		return report.PreviewID
	}
	before := id(standing(&current, earlier))
	assert.Equal(t, before, id(standing(&current, earlier, container(t, 1, deploy.Exited, nil))), "what is not touched may move")
	for name, s := range map[string]rollout.Standing{
		"it has ended":         standing(edited(current, func(c *deploy.Container) { c.State = deploy.Exited }), earlier),
		"another runs":         standing(edited(current, func(c *deploy.Container) { c.ID = "other" }), earlier),
		"another is kept":      standing(&current, *edited(earlier, func(c *deploy.Container) { c.ID = "other" })),
		"nothing runs":         standing(nil, earlier),
		"on another host":      {Name: "web", Service: web(), Host: "pi", Current: &current, Kept: []deploy.Container{earlier}},
		"another policy":       {Name: "web", Service: restarting(), Host: "nas", Current: &current, Kept: []deploy.Container{earlier}},
		"the state is of note": {Name: "web", Service: stateless(), Host: "nas", Current: &current, Kept: []deploy.Container{earlier}},
	} {
		assert.NotEqual(t, before, id(s), name)
	}
}

func edited(c deploy.Container, edit func(*deploy.Container)) *deploy.Container {
	edit(&c)
	return &c
}

func restarting() registry.Service {
	s := web()
	s.Deploy.Restart = "always"
	return s
}

func stateless() registry.Service {
	s := web()
	s.State = nil
	return s
}

// An earlier version that has the state elsewhere goes on from that of then.
func TestBackToOlderState(t *testing.T) {
	t.Parallel()
	current := container(t, 3, deploy.Running, nil)
	earlier := container(t, 2, deploy.Exited, func(c *deploy.Container) {
		for i := range c.Spec.Mounts {
			c.Spec.Mounts[i].Volume = "old-" + c.Spec.Mounts[i].Volume
		}
	})
	report, err := standing(&current, earlier).Back(0)
	require.NoError(t, err)
	require.Len(t, report.Warnings, 1)
	w := report.Warnings[0]
	assert.Equal(t, []string{"stateElsewhere", "generation 2 has the state of then: old-data, and not data"}, []string{w.Code, w.Message})
	assert.Contains(t, w.Hint, "homelab state migrate web --to-host nas")
	none, err := standing(nil, earlier).Back(0)
	require.NoError(t, err)
	assert.Empty(t, none.Warnings)
}
