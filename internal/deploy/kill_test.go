package deploy_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/fault"
)

// scene is a switch, and what is there before it.
type scene struct {
	strategy string // or rollback
	next     string // version
	before   string // what the one before does: runs, stopped; empty: there is none
}

const rollback = "rollback"

func (s scene) String() string { return strings.TrimSpace(s.strategy + " " + s.next + " " + s.before) }

// eachScene calls do for every scene in a yard of its own, until it has enough.
func eachScene(t *testing.T, do func(y *yard, s scene, at int) (more bool)) {
	for _, strategy := range []string{deploy.Replace, deploy.Overlap, rollback} {
		for _, next := range []string{"v2", "sick"} {
			for _, before := range []string{"runs", "stopped", ""} {
				s := scene{strategy, next, before}
				if strategy == rollback && before != "runs" {
					continue
				}
				t.Run(s.String(), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						for at, more := 1, true; more && !t.Failed(); at++ {
							y := newYard(t)
							y.set(s)
							more = do(y, s, at)
						}
					})
				})
			}
		}
	}
}

// set makes what is there before a scene. A rollback is one to the version next, which
// ran once.
func (y *yard) set(s scene) {
	y.t.Helper()
	if s.strategy == rollback {
		first := y.must("v2")
		y.must("v1")
		y.engine.Label(first.ID, deploy.LabelRevision, s.next)
		if s.next == "sick" {
			y.engine.Sicken(first.ID)
		}
		return
	}
	if s.before != "" {
		y.must("v1")
	}
	if s.before == "stopped" {
		require.NoError(y.t, y.engine.Stop(context.Background(), "web", time.Second))
	}
}

// play has the scene happen on an engine.
func (y *yard) play(ctx context.Context, s scene, r *deploy.Runner) error {
	target := y.target(s.next)
	if s.strategy == rollback {
		_, err := r.Rollback(ctx, target, 1)
		return err
	}
	target.Strategy = s.strategy
	_, err := r.Run(ctx, target)
	return err
}

// sound checks that one version is there as it is to be, and nothing besides that could
// come back. It returns which; empty: there is none.
func (y *yard) sound(s scene, doing string) (version string) {
	y.t.Helper()
	all, err := y.engine.List(context.Background())
	require.NoError(y.t, err)
	for _, c := range all {
		is := c.Labels[deploy.LabelRevision]
		switch {
		case c.Name != "web":
			keeps := is == "v1" || s.strategy == rollback
			if c.State == deploy.Running || c.Spec.Restart != "no" || !keeps {
				y.t.Errorf("%s: %s: what is left over is in the way: %v", s, doing, y.is())
			}
			continue
		case (c.State != deploy.Running) != (s.before == "stopped" && is == "v1"), c.Spec.Restart != "unless-stopped":
			y.t.Errorf("%s: %s: it does not run as it is to: %v", s, doing, y.is())
		}
		version = is
	}
	if version == "" && s.before != "" {
		y.t.Errorf("%s: %s: neither runs: %v", s, doing, y.is())
	}
	if version == "sick" {
		y.t.Errorf("%s: %s: the sick one stays", s, doing)
	}
	return version
}

// goesOn checks that the next version can follow.
func (y *yard) goesOn(s scene, doing string) {
	y.t.Helper()
	y.quiet()
	y.must("v3")
	assert.Contains(y.t, y.is(), "web v3 running unless-stopped", "%s: %s: and it goes on", s, doing)
}

// Whoever is killed, before or after whichever call, leaves something that the next one
// repairs; and so does who is killed while repairing.
func TestKilledAtEveryCall(t *testing.T) {
	t.Parallel()
	eachScene(t, func(y *yard, s scene, at int) bool {
		cut := false
		for _, after := range []bool{false, true} {
			for again, more := 0, true; more; again++ {
				y := newYard(y.t)
				y.set(s)
				k := &killed{Containers: y.engine, at: at, after: after, journal: y.journal}
				_ = y.play(y.t.Context(), s, y.runner(k)) // killed, unhealthy, or fine
				if k.calls < at {
					return cut
				}
				require.NoError(y.t, k.put())
				cut = true
				doing := fmt.Sprintf("killed at call %d (after it: %t)", at, after)
				more = true
				if again > 0 {
					k := &killed{Containers: y.engine, at: again, after: after, journal: y.journal}
					_, _ = y.runner(k).Repair(y.t.Context(), "web")
					if more = k.calls >= again; more {
						require.NoError(y.t, k.put())
					}
					doing += fmt.Sprint(" and at call ", again, " of the repair")
				}
				_, err := y.runner(y.engine).Repair(y.t.Context(), "web")
				require.NoError(y.t, err, "%s: %s", s, doing)
				y.sound(s, doing)
				y.goesOn(s, doing)
			}
		}
		return true
	})
}

// each has something happen when a step of a scene has been written down, and checks
// what is there when the scene is over, and again after a repair.
func each(t *testing.T, what string, happens func(y *yard, stop func()) (undo func())) {
	eachScene(t, func(y *yard, s scene, at int) bool {
		ctx, stop := context.WithCancel(y.t.Context())
		defer stop()
		undo, steps := func() {}, 0
		r := y.runner(y.engine)
		r.Report = func(string) {
			if steps++; steps == at {
				undo = happens(y, stop)
			}
		}
		err := y.play(ctx, s, r)
		doing := fmt.Sprintf("%s at step %d (%v)", what, at, err)
		undo()
		y.sound(s, doing)
		_, err = y.runner(y.engine).Repair(y.t.Context(), "web")
		require.NoError(y.t, err, "%s: %s", s, doing)
		y.sound(s, doing+", repaired")
		y.goesOn(s, doing)
		return steps >= at
	})
}

func TestCanceledAtEveryStep(t *testing.T) {
	t.Parallel()
	each(t, "canceled", func(_ *yard, stop func()) func() {
		stop()
		return func() {}
	})
}

// A disk that is full, or gone, lets the way back pass.
func TestNoJournalFromEveryStepOn(t *testing.T) {
	t.Parallel()
	each(t, "no journal", func(y *yard, _ func()) func() {
		aside := y.journal.Dir + "-aside"
		require.NoError(y.t, os.Rename(y.journal.Dir, aside))
		require.NoError(y.t, os.WriteFile(y.journal.Dir, nil, 0o600))
		return func() {
			require.NoError(y.t, os.Remove(y.journal.Dir))
			require.NoError(y.t, os.Rename(aside, y.journal.Dir))
		}
	})
}

// An engine that is restarted answers nobody for a while, and has ended everything.
func TestEngineIsAwayFromEveryStepOn(t *testing.T) {
	t.Parallel()
	each(t, "engine away", func(y *yard, _ func()) func() {
		back := time.Now().Add(20 * time.Second)
		y.engine.Crash()
		y.engine.Fail = func(string) error {
			if time.Now().Before(back) {
				return fault.New(fault.EngineUnavailable, "nothing listens", "start it")
			}
			return nil
		}
		return func() { time.Sleep(time.Until(back)) }
	})
}

// A call that takes too long for us is done by the engine all the same.
func TestEveryAnswerIsLost(t *testing.T) {
	t.Parallel()
	eachScene(t, func(y *yard, s scene, at int) bool {
		l := &killed{Containers: y.engine, at: at, lives: true}
		err := y.play(y.t.Context(), s, y.runner(l))
		doing := fmt.Sprintf("no answer to call %d (%v)", at, err)
		y.sound(s, doing)
		_, err = y.runner(y.engine).Repair(y.t.Context(), "web")
		require.NoError(y.t, err, "%s: %s", s, doing)
		y.sound(s, doing+", repaired")
		y.goesOn(s, doing)
		return l.calls >= at
	})
}
