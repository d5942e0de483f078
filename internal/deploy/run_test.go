package deploy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/fault"
)

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

		y = newYard(t)
		y.engine.Label(y.must("v1").ID, deploy.LabelService, "shop")
		before := y.named("web")
		_, err = y.run("v2")
		assert.Equal(t, fault.Conflict, fault.CodeOf(err))
		assert.ErrorContains(t, err, "host nas has a container web of the service shop")
		assert.Equal(t, before, y.named("web"))
	})
}

// With overlap something runs at every moment.
func TestOverlap(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		over := func(version string) error {
			_, err := y.runner(y.engine).Run(t.Context(), y.overlap(version))
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
