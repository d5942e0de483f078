package deploy_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/fault"
)

// A container may have more time to end than the one that comes after it; the way back
// takes that time.
func TestGrace(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		s := &slowly{Containers: y.engine}
		run := func(version string, grace time.Duration) error {
			target := y.target(version)
			target.Spec.StopGrace = grace
			_, err := y.runner(s).Run(t.Context(), target)
			return err
		}
		require.NoError(t, run("v1", 4*time.Minute))
		s.takes = 4 * time.Minute
		require.NoError(t, run("v2", 10*time.Minute))
		s.takes = 9 * time.Minute
		assert.ErrorContains(t, run("sick", 5*time.Second), "the version before runs")
		assert.Equal(t, []string{"web v2 running unless-stopped", "web.g1 v1 exited no"}, y.is())
	})
}

// slowly is an engine whose containers take their time to end, and are killed when
// they have no more.
type slowly struct {
	deploy.Containers
	takes time.Duration
}

func (s *slowly) Stop(ctx context.Context, id string, grace time.Duration) error {
	if grace < s.takes {
		return errors.New("it was killed")
	}
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.Containers.Stop(ctx, id, grace)
}

// An engine that stays away: the error says so, and the next run brings the old one
// back.
func TestEngineStaysAway(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("v1")
		r := y.when("start", func() {
			y.engine.Fail = func(string) error { return fault.New(fault.EngineUnavailable, "nothing listens", "start it") }
		})
		began := time.Now()
		_, err := r.Run(t.Context(), y.target("v2"))
		assert.Equal(t, fault.RollbackFailed, fault.CodeOf(err))
		assert.ErrorContains(t, err, "nothing listens")
		assert.WithinDuration(t, began.Add(time.Minute), time.Now(), 2*time.Second)
		y.engine.Fail = nil
		assert.Contains(t, y.is(), "web.g1 v1 exited no")
		s := y.must("v1")
		assert.False(t, s.Changed)
		assert.Contains(t, s.Repaired, "is undone; the version before runs")
		assert.Equal(t, []string{"web v1 running unless-stopped"}, y.is())
	})
}

// mute is an engine that hangs when it is asked for an image, or to change one.
type mute struct{ deploy.Containers }

func (mute) Image(ctx context.Context, _ string) (*deploy.HostImage, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// Who prunes does not wait for ever either: the other hosts have their own.
func TestPruneOfAnEngineThatHangs(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		items := []deploy.PruneItem{{Kind: deploy.OldImage, Names: []string{"web:v1"}, Status: deploy.PrunePending}}
		deploy.Prune(ctx, mute{y.engine}, items)
		require.NoError(t, ctx.Err())
		assert.Equal(t, deploy.PruneFailed, items[0].Status)
		assert.Equal(t, fault.Timeout, items[0].Problem.Code)
	})
}
