package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/engine/docker/dockertest"
	"homelab/internal/plan"
)

// A plan is about what runs on a real engine: what was deployed since, with what edits,
// and how it is configured.
func TestPlanOfWhatRuns(t *testing.T) {
	t.Parallel()
	l, socket := onPi(t, homeAssistant)
	const scenes, builder = "services/home-assistant/scenes.yaml", "services/home-assistant/default.nix"
	told := func(args ...string) []string {
		t.Helper()
		p := l.plan(args...)
		lines := []string{}
		for _, s := range p.Services {
			for _, r := range s.Reasons {
				lines = append(lines, s.Name+" "+string(s.Decision)+" "+string(r.Kind))
			}
		}
		return lines
	}
	deploy := func() {
		t.Helper()
		_, exit := l.build("ha")
		require.Zero(t, exit)
		l.runs("ha")
	}
	const rebuild = "home-assistant rebuild "

	assert.Empty(t, told(), "nothing is deployed, nothing is edited")
	l.write(scenes, unique()+l.read(scenes))
	l.commit()
	deploy()
	first := l.git("rev-parse", "HEAD")
	assert.Empty(t, told())
	original := l.read(scenes)
	l.write(scenes, unique()+original)
	l.edit("services/prometheus/prometheus.yml")
	l.commit()
	p := l.plan()
	assert.Equal(t, []string{rebuild + "hint"}, told(), "committed is not deployed; of the others nothing is known")
	assert.Equal(t, first, p.Services[1].Base.Commit)
	assert.Equal(t, plan.Counts{Total: 3, Rebuild: 1, None: 2}, p.Counts)
	assert.Equal(t, "hostSilent", p.Warnings[0].Code, "nobody is at the socket of this machine")
	assert.Equal(t, []string{rebuild + "output", rebuild + "hint"}, told("--mode", "exact"))
	deploy()
	assert.Empty(t, told())
	assert.Empty(t, told("--mode", "exact"))

	// What is built differently to the same is what runs.
	l.write(builder, "# a comment\n"+l.read(builder))
	l.commit()
	assert.Equal(t, []string{rebuild + "hint"}, told())
	assert.Empty(t, told("--mode", "exact"))
	_, exit := l.build("ha")
	require.Zero(t, exit)
	assert.False(t, l.runs("ha").Run.Changed)
	assert.Empty(t, told(), "the journal knows, though the labels stay")

	// Its configuration is no image.
	l.replace("registry.nix", `ports = [ "8123:8123" ];`, `ports = [ "8124:8123" ];`)
	redeploy := []string{"home-assistant redeploy registry", "home-assistant redeploy drift"}
	assert.Equal(t, redeploy, told())
	built, exit := l.build()
	require.Zero(t, exit)
	assert.Empty(t, built.Services, "there is nothing to build")
	assert.True(t, l.runs("ha").Run.Changed)
	assert.Empty(t, told())
	l.git("checkout", "--", "registry.nix")
	assert.Equal(t, redeploy[1:], told(), "the commit that it was deployed on never had it")
	assert.True(t, l.runs("ha").Run.Changed)

	// Edits that are deployed run, committed or not, until they are taken back.
	before := l.read(scenes)
	l.write(scenes, unique()+before)
	deploy()
	assert.Empty(t, told())
	l.commit()
	assert.Empty(t, told())
	l.write(scenes, before)
	assert.Equal(t, []string{rebuild + "edits"}, told())
	assert.Equal(t, []string{rebuild + "output"}, told("--mode", "exact"))

	// Without its engine the journal tells the same.
	answered := l.plan()
	dockertest.Kill(t, socket)
	silent := l.plan()
	assert.Equal(t, answered.PlanID, silent.PlanID)
	assert.Len(t, silent.Warnings, len(answered.Warnings)+1)
}
