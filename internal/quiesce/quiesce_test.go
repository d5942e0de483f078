package quiesce_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/fault"
	"homelab/internal/quiesce"
	"homelab/registry"
)

// house is a host with a service called web.
type house struct {
	t       *testing.T
	engine  *deploytest.Memory
	journal quiesce.Journal
	calls   []string // commands that ran in the container
	id      string
}

// inHouse runs a test in a house, where no time passes but what somebody waits for.
func inHouse(t *testing.T, test func(h *house)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(newHouse(t)) })
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, engine: &deploytest.Memory{}, journal: quiesce.Journal{Dir: t.TempDir()}}
	h.engine.Behave = map[string]deploytest.Behaviour{"web:v1": {Health: "healthy"}, "web:stuck": {Health: "healthy", Stuck: true}, "web:v2": {Health: "healthy"}}
	for name := range h.engine.Behave {
		require.NoError(t, h.engine.Load(t.Context(), bytes.NewReader(deploytest.Archive(name, name, "files"))))
	}
	h.engine.Command = func(_ deploy.Container, command []string) (int, string) {
		h.calls = append(h.calls, command[0])
		if command[0] == "fail" {
			return 1, "no such\ntable"
		}
		return 0, ""
	}
	h.runs("v1")
	return h
}

func (h *house) runs(version string) {
	h.t.Helper()
	spec, err := deploy.NewSpec("web", registry.Service{Deploy: &registry.Deploy{}}, registry.Host{}, "web:"+version)
	require.NoError(h.t, err)
	h.id, err = h.engine.Create(h.t.Context(), "web-"+version, spec, map[string]string{deploy.LabelService: "web"})
	require.NoError(h.t, err)
	require.NoError(h.t, h.engine.Start(h.t.Context(), h.id))
}

func (h *house) is() *deploy.Container {
	h.t.Helper()
	c, err := h.engine.Container(context.Background(), h.id)
	require.NoError(h.t, err)
	return c
}

func (h *house) quiescer() *quiesce.Quiescer {
	return &quiesce.Quiescer{Engine: h.engine, Host: "nas", Journal: h.journal}
}

func (h *house) begin(m quiesce.Method) (*quiesce.Rest, error) {
	h.t.Helper()
	m.Timeout = time.Second
	return h.quiescer().Begin(h.t.Context(), "web", h.is(), m, time.Minute)
}

func (h *house) entries() int {
	h.t.Helper()
	entries, failed := h.journal.Entries()
	require.Empty(h.t, failed)
	return len(entries)
}

var (
	hooks   = quiesce.Method{Kind: quiesce.Exec, Freeze: []string{"lock"}, Thaw: []string{"unlock"}}
	methods = []quiesce.Method{{Kind: quiesce.Stop}, {Kind: quiesce.Pause}, {Kind: quiesce.Snapshot}, hooks, {Kind: quiesce.Dump, Freeze: []string{"dump"}}, {Kind: quiesce.None}}
)

// A service comes to rest, stays so, and wakes.
func TestRest(t *testing.T) {
	for _, m := range methods {
		t.Run(string(m.Kind), func(t *testing.T) {
			inHouse(t, func(h *house) {
				t := h.t
				r, err := h.begin(m)
				require.NoError(t, err)
				assert.Equal(t, m.Kind, r.Reached)
				state := map[quiesce.Kind]deploy.State{quiesce.Stop: deploy.Exited, quiesce.Pause: deploy.Paused, quiesce.Snapshot: deploy.Paused}[m.Kind]
				if state == "" {
					state = deploy.Running
				}
				assert.Equal(t, state, h.is().State)
				require.NoError(t, r.Still(t.Context()))
				over, stop := context.WithCancel(t.Context())
				stop()
				require.NoError(t, r.Wake(over), "whatever became of the context")
				assert.Equal(t, deploy.Running, h.is().State)
				assert.Zero(t, h.entries())
				assert.Equal(t, append(append([]string(nil), m.Freeze...), m.Thaw...), h.calls)
			})
		})
	}
}

// What did not run is at rest, and stays so.
func TestRestOfWhatDoesNotRun(t *testing.T) {
	inHouse(t, func(h *house) {
		t := h.t
		require.NoError(t, h.engine.Stop(t.Context(), h.id, 0))
		r, err := h.begin(hooks)
		require.NoError(t, err)
		assert.Equal(t, quiesce.Stop, r.Reached)
		require.NoError(t, r.Still(t.Context()))
		time.Sleep(time.Second)
		require.NoError(t, h.engine.Start(t.Context(), h.id))
		assert.Equal(t, fault.Conflict, fault.CodeOf(r.Still(t.Context())))
		require.NoError(t, h.engine.Stop(t.Context(), h.id, 0))
		assert.Equal(t, fault.Conflict, fault.CodeOf(r.Still(t.Context())), "it ran meanwhile")
		require.NoError(t, r.Wake(t.Context()))
		assert.Equal(t, deploy.Exited, h.is().State)

		require.NoError(t, h.engine.Start(t.Context(), h.id))
		require.NoError(t, h.engine.Pause(t.Context(), h.id))
		r, err = h.begin(quiesce.Method{Kind: quiesce.Stop})
		require.NoError(t, err)
		assert.Equal(t, quiesce.Pause, r.Reached, "somebody has paused it")
		require.NoError(t, r.Wake(t.Context()))
		assert.Equal(t, deploy.Paused, h.is().State)

		h.stops()
		none, err := h.quiescer().Begin(t.Context(), "web", nil, hooks, time.Minute)
		require.NoError(t, err)
		require.NoError(t, none.Still(t.Context()))
		require.NoError(t, none.Wake(t.Context()))
	})
}

// What does not run cannot dump: a bundle of it would have none, or an old one.
func TestDumpOfWhatDoesNotRun(t *testing.T) {
	inHouse(t, func(h *house) {
		t := h.t
		dump := quiesce.Method{Kind: quiesce.Dump, Freeze: []string{"dump"}}
		require.NoError(t, h.engine.Pause(t.Context(), h.id))
		_, err := h.begin(dump)
		assert.Equal(t, fault.Precondition, fault.CodeOf(err))
		require.NoError(t, h.engine.Stop(t.Context(), h.id, 0))
		_, err = h.begin(dump)
		assert.Equal(t, fault.Precondition, fault.CodeOf(err))
		_, err = h.quiescer().Begin(t.Context(), "web", nil, dump, time.Minute)
		assert.Equal(t, fault.Precondition, fault.CodeOf(err))
		assert.Empty(t, h.calls)
	})
}

// What somebody has paused after it was frozen stays on record until it can be thawed.
func TestPausedWhileFrozen(t *testing.T) {
	inHouse(t, func(h *house) {
		t := h.t
		r, err := h.begin(hooks)
		require.NoError(t, err)
		require.NoError(t, h.engine.Pause(t.Context(), h.id))
		assert.Equal(t, fault.RollbackFailed, fault.CodeOf(r.Wake(t.Context())))
		require.NoError(t, h.engine.Unpause(t.Context(), h.id))
		what, err := h.quiescer().Wake(t.Context(), "web", "")
		require.NoError(t, err)
		assert.Equal(t, "it was thawed", what)
	})
}

// What a version has taken the place of is not woken. One that somebody has only
// renamed is.
func TestAnotherVersionTookItsPlace(t *testing.T) {
	for name, next := range map[string]func(h *house){
		"it runs":            func(h *house) { h.runs("stuck") },
		"it has ended":       func(h *house) { h.runs("v1"); require.NoError(h.t, h.engine.Stop(h.t.Context(), h.id, 0)) },
		"it is only renamed": nil,
	} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				t, old := h.t, h.id
				_, err := h.begin(quiesce.Method{Kind: quiesce.Stop})
				require.NoError(t, err)
				require.NoError(t, h.engine.Rename(t.Context(), old, "web.g1"))
				if next != nil {
					next(h)
				}
				what, err := h.quiescer().Wake(t.Context(), "web", "")
				require.NoError(t, err)
				h.id = old
				if next == nil {
					assert.Equal(t, []any{"it runs again", deploy.Running}, []any{what, h.is().State})
				} else {
					assert.Equal(t, []any{"another version has taken its place", deploy.Exited}, []any{what, h.is().State})
				}
				assert.Zero(t, h.entries())
			})
		})
	}
}

// Somebody who wakes a service while it is captured is noticed.
func TestSomebodyWakesIt(t *testing.T) {
	for kind, wake := range map[quiesce.Kind]func(e deploy.Containers, id string) error{
		quiesce.Stop:  func(e deploy.Containers, id string) error { return e.Start(context.Background(), id) },
		quiesce.Pause: func(e deploy.Containers, id string) error { return e.Unpause(context.Background(), id) },
	} {
		inHouse(t, func(h *house) {
			t := h.t
			r, err := h.begin(quiesce.Method{Kind: kind})
			require.NoError(t, err)
			require.NoError(t, wake(h.engine, h.id))
			assert.Equal(t, fault.Conflict, fault.CodeOf(r.Still(t.Context())))
			require.NoError(t, r.Wake(t.Context()))
			assert.Equal(t, deploy.Running, h.is().State)
		})
	}
}

// The watchdog is told of the rest before it begins, and let go of when it is over. A
// service that it woke is not at rest any more.
func TestWatchdog(t *testing.T) {
	inHouse(t, func(h *house) {
		t := h.t
		q := h.quiescer()
		var watched *quiesce.Entry
		over := 0
		q.Watch = func(e *quiesce.Entry) (func(), error) {
			assert.Equal(t, deploy.Running, h.is().State)
			watched = e
			return func() { over++ }, nil
		}
		r, err := q.Begin(t.Context(), "web", h.is(), quiesce.Method{Kind: quiesce.Pause, Timeout: time.Second}, time.Minute)
		require.NoError(t, err)
		what, err := h.quiescer().Wake(t.Context(), "web", "of another rest")
		require.NoError(t, err)
		assert.Empty(t, what)
		assert.Equal(t, deploy.Paused, h.is().State)
		what, err = h.quiescer().Wake(t.Context(), "web", watched.Token)
		require.NoError(t, err)
		assert.Equal(t, "it goes on", what)
		assert.Equal(t, fault.Timeout, fault.CodeOf(r.Still(t.Context())))
		require.NoError(t, r.Wake(t.Context()))
		assert.Equal(t, 1, over)

		q.Watch = func(*quiesce.Entry) (func(), error) { return nil, errors.New("no more processes") }
		_, err = q.Begin(t.Context(), "web", h.is(), quiesce.Method{Kind: quiesce.Pause}, time.Minute)
		require.ErrorContains(t, err, "no more processes")
		assert.Zero(t, h.entries())
		assert.Equal(t, deploy.Running, h.is().State, "nobody would wake it")
	})
}

// A service that cannot be put to rest is as it was.
func TestRestFails(t *testing.T) {
	failing := quiesce.Method{Kind: quiesce.Exec, Freeze: []string{"fail"}, Thaw: []string{"unlock"}}
	inHouse(t, func(h *house) {
		t := h.t
		_, err := h.begin(failing)
		assert.Equal(t, fault.Precondition, fault.CodeOf(err))
		assert.ErrorContains(t, err, "ended with status 1: no such table")
		assert.Equal(t, []string{"fail", "unlock"}, h.calls, "it may have come half the way")
		assert.Zero(t, h.entries())

		tolerant := failing
		tolerant.Tolerant = true
		r, err := h.begin(tolerant)
		require.NoError(t, err)
		assert.Equal(t, quiesce.None, r.Reached)
		assert.ErrorContains(t, r.Problem, "no such table")
		require.NoError(t, r.Still(t.Context()))
		require.NoError(t, r.Wake(t.Context()))

		failing.Thaw = []string{"fail"}
		_, err = h.begin(failing)
		assert.Equal(t, fault.RollbackFailed, fault.CodeOf(err), "%v", err)
		assert.Equal(t, 1, h.entries(), "whoever comes next tries again")
		_, err = h.begin(hooks)
		assert.Equal(t, fault.Conflict, fault.CodeOf(err))
	})
	inHouse(t, func(h *house) {
		t := h.t
		h.stops()
		h.runs("stuck")
		_, err := h.begin(quiesce.Method{Kind: quiesce.Stop})
		assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
		assert.Equal(t, deploy.Running, h.is().State)
		assert.Zero(t, h.entries())
	})
}

// errKilled is an error that no engine gives: the process is gone at that call.
var errKilled = errors.New("killed")

// Whenever the process dies, before a call of the engine or right after it, whoever
// comes next wakes the service.
func TestKilledAtEveryCall(t *testing.T) {
	for _, m := range methods {
		for _, after := range []bool{false, true} {
			for at := 1; ; at++ {
				over := false
				inHouse(t, func(h *house) {
					t := h.t
					calls, dead := 0, false
					k := &killing{Memory: h.engine}
					k.call = func(do func() error) error {
						if dead {
							return errKilled
						}
						calls++
						if dead = calls == at; !dead {
							return do()
						}
						if after {
							_ = do() // nobody is there to hear of it
						}
						return errKilled
					}
					q := h.quiescer()
					q.Engine = k
					m.Timeout = time.Second
					r, err := q.Begin(t.Context(), "web", h.is(), m, time.Minute)
					if err == nil {
						_ = r.Still(t.Context())
						err = r.Wake(t.Context())
					}
					over = !dead
					if over {
						require.NoError(t, err)
					}
					h.calls = nil
					_, err = h.quiescer().Wake(t.Context(), "web", "")
					require.NoError(t, err)
					assert.Equal(t, deploy.Running, h.is().State, "%s, call %d, after %v", m.Kind, at, after)
					assert.Zero(t, h.entries())
				})
				if over {
					break
				}
			}
		}
	}
}

// killing is an engine whose client dies at some call.
type killing struct {
	*deploytest.Memory
	call func(do func() error) error
}

func (k *killing) Platform(ctx context.Context) (p deploy.Platform, err error) {
	err = k.call(func() (err error) { p, err = k.Memory.Platform(ctx); return err })
	return p, err
}

func (k *killing) Container(ctx context.Context, ref string) (c *deploy.Container, err error) {
	err = k.call(func() (err error) { c, err = k.Memory.Container(ctx, ref); return err })
	return c, err
}

func (k *killing) Stop(ctx context.Context, id string, grace time.Duration) error {
	return k.call(func() error { return k.Memory.Stop(ctx, id, grace) })
}

func (k *killing) Start(ctx context.Context, id string) error {
	return k.call(func() error { return k.Memory.Start(ctx, id) })
}

func (k *killing) Pause(ctx context.Context, id string) error {
	return k.call(func() error { return k.Memory.Pause(ctx, id) })
}

func (k *killing) Unpause(ctx context.Context, id string) error {
	return k.call(func() error { return k.Memory.Unpause(ctx, id) })
}

func (k *killing) List(ctx context.Context) (all []deploy.Container, err error) {
	err = k.call(func() (err error) { all, err = k.Memory.List(ctx); return err })
	return all, err
}

func (k *killing) ExecAs(ctx context.Context, id string, command []string, told func(string) error) (exit int, output string, err error) {
	err = k.call(func() (err error) { exit, output, err = k.Memory.ExecAs(ctx, id, command, told); return err })
	return exit, output, err
}

// An engine that is away for a while is waited for.
func TestWakeWaitsForTheEngine(t *testing.T) {
	inHouse(t, func(h *house) {
		t := h.t
		r, err := h.begin(quiesce.Method{Kind: quiesce.Stop})
		require.NoError(t, err)
		away := time.Now().Add(20 * time.Second)
		h.engine.Fail = func(string) error {
			if time.Now().Before(away) {
				return fault.New(fault.EngineUnavailable, "the engine does not answer", "start it")
			}
			return nil
		}
		require.NoError(t, r.Wake(t.Context()))
		assert.Equal(t, deploy.Running, h.is().State)
		assert.False(t, time.Now().Before(away))

		r, err = h.begin(quiesce.Method{Kind: quiesce.Pause})
		require.NoError(t, err)
		away = time.Now().Add(time.Hour)
		err = r.Wake(t.Context())
		assert.Equal(t, fault.RollbackFailed, fault.CodeOf(err))
		assert.ErrorContains(t, err, "the engine does not answer")
		assert.Equal(t, 1, h.entries())
	})
}

func TestNewMethod(t *testing.T) {
	for _, c := range []struct {
		name string
		in   *registry.Quiesce
		want quiesce.Method
	}{
		{"nothing", nil, quiesce.Method{Kind: quiesce.Stop, Timeout: 30 * time.Second}},
		{"all", &registry.Quiesce{Kind: "exec", Freeze: []string{"a"}, Thaw: []string{"b"}, Timeout: "5s", OnError: "continue"},
			quiesce.Method{Kind: quiesce.Exec, Freeze: []string{"a"}, Thaw: []string{"b"}, Timeout: 5 * time.Second, Tolerant: true}},
		{"preset", &registry.Quiesce{Preset: "sqlite", Timeout: "5s"}, quiesce.Method{Kind: quiesce.Pause, Timeout: 5 * time.Second}},
	} {
		assert.Equal(t, c.want, quiesce.NewMethod(c.in), c.name)
	}
}
