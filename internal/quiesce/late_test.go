package quiesce_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/quiesce"
)

// diary is what happened in a container, in the order it came to its end.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) add(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
}

func (d *diary) last() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lines[len(d.lines)-1]
}

// takes has commands that freeze take some time, and then freeze.
func (h *house) takes(frozen time.Duration) *diary {
	d := &diary{}
	h.engine.Command = func(_ deploy.Container, command []string) (int, string) {
		if command[0] == "lock" {
			time.Sleep(frozen)
		}
		d.add(command[0])
		return 0, ""
	}
	return d
}

// A freeze that takes longer than it may goes on in the container: the service is
// thawed after it, whoever does.
func TestFreezeOutlivesItsTimeout(t *testing.T) {
	inHouse(t, func(h *house) {
		t, d := h.t, h.takes(1500*time.Millisecond)
		_, err := h.begin(hooks)
		assert.Equal(t, fault.Timeout, fault.CodeOf(err), "%v", err)
		assert.Equal(t, "unlock", d.last())
		time.Sleep(time.Hour)
		assert.Equal(t, "unlock", d.last(), "nothing is on its way")
		assert.Zero(t, h.entries())
	})
	inHouse(t, func(h *house) {
		t, d := h.t, h.takes(time.Minute)
		_, err := h.begin(hooks)
		assert.Equal(t, fault.RollbackFailed, fault.CodeOf(err), "%v", err)
		assert.ErrorContains(t, err, "still runs in container web-v1")
		assert.Equal(t, 1, h.entries(), "it is not certain")
		_, err = h.quiescer().Wake(t.Context(), "web", "")
		assert.Equal(t, fault.RollbackFailed, fault.CodeOf(err), "%v", err)
		time.Sleep(time.Minute)
		assert.Equal(t, "lock", d.last())
		what, err := h.quiescer().Wake(t.Context(), "web", "")
		require.NoError(t, err)
		assert.Equal(t, []any{"it was thawed", "unlock"}, []any{what, d.last()})
		assert.Zero(t, h.entries())
	})
}

// A call whose answer never came may freeze the service later: it is thawed again.
func TestCallWithoutAnAnswer(t *testing.T) {
	d := &diary{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			<-r.Context().Done() // it has hung up; what it asked for is done all the same
			time.Sleep(200 * time.Millisecond)
		}
		d.add(r.Method)
	}))
	defer server.Close()
	h := newHouse(t)
	q := h.quiescer()
	q.Engine = leading{h.engine, server.Listener.Addr().String()}
	m := quiesce.Method{Kind: quiesce.HTTP, Timeout: 500 * time.Millisecond, Freeze: []string{"POST", "http://localhost:8086/freeze"}, Thaw: []string{"DELETE", "http://localhost:8086/freeze"}}
	_, err := q.Begin(t.Context(), "web", h.is(), m, time.Minute)
	require.Error(t, err)
	assert.NotEqual(t, fault.RollbackFailed, fault.CodeOf(err), "%v", err)
	server.Close() // waits for what is under way
	assert.Contains(t, d.lines, "POST")
	assert.Equal(t, "DELETE", d.last())
	assert.Zero(t, h.entries())
}

// A service whose thaw fails too is not blocked for good: the registry may say how it
// thaws by now, and what was started anew is not frozen, unless it is unwell.
func TestThawFails(t *testing.T) {
	failing := quiesce.Method{Kind: quiesce.Exec, Freeze: []string{"fail"}, Thaw: []string{"fail"}}
	inHouse(t, func(h *house) {
		t := h.t
		_, err := h.begin(failing)
		require.Equal(t, fault.RollbackFailed, fault.CodeOf(err))
		assert.Contains(t, fault.Of(err).Hint, "docker restart web-v1")
		assert.Contains(t, fault.Of(err).Hint, "state.quiesce.thaw")
		q := h.quiescer()
		q.Method = &quiesce.Method{Kind: quiesce.Exec, Freeze: []string{"lock"}, Thaw: []string{"fail", "too"}, Timeout: time.Second}
		_, err = q.Wake(t.Context(), "web", "")
		assert.Equal(t, fault.RollbackFailed, fault.CodeOf(err))
		q.Method.Thaw = []string{"unlock"}
		what, err := q.Wake(t.Context(), "web", "")
		require.NoError(t, err)
		assert.Equal(t, "it was thawed", what)
		assert.Zero(t, h.entries())
	})
	for _, ill := range []bool{false, true} {
		inHouse(t, func(h *house) {
			t := h.t
			_, err := h.begin(failing)
			require.Equal(t, fault.RollbackFailed, fault.CodeOf(err))
			time.Sleep(time.Second)
			require.NoError(t, h.engine.Stop(t.Context(), h.id, 0))
			require.NoError(t, h.engine.Start(t.Context(), h.id))
			if ill {
				h.engine.Sicken(h.id)
			}
			what, err := h.quiescer().Wake(t.Context(), "web", "")
			if ill {
				assert.Equal(t, fault.RollbackFailed, fault.CodeOf(err))
				assert.Equal(t, 1, h.entries())
				return
			}
			require.NoError(t, err)
			assert.Equal(t, "its container was started anew", what)
			assert.Zero(t, h.entries())
		})
	}
}

// What another machine does meanwhile is noticed, and left as it is.
func TestSomebodyElseDeploysIt(t *testing.T) {
	for name, does := range map[string]func(h *house){
		"restarts it":     func(h *house) { h.stops(); h.starts() },
		"stops it":        func(h *house) { h.stops() },
		"removes it":      func(h *house) { h.stops(); require.NoError(h.t, h.engine.Remove(h.t.Context(), h.id)) },
		"has another run": func(h *house) { old := h.id; h.runs("stuck"); h.id = old },
	} {
		for _, m := range []quiesce.Method{{Kind: quiesce.Stop}, {Kind: quiesce.Pause}, hooks} {
			t.Run(name+" before "+string(m.Kind), func(t *testing.T) {
				inHouse(t, func(h *house) {
					t, c := h.t, h.is()
					time.Sleep(time.Second)
					does(h)
					m.Timeout = time.Second
					before, err := h.engine.List(t.Context())
					require.NoError(t, err)
					_, err = h.quiescer().Begin(t.Context(), "web", c, m, time.Minute)
					assert.Equal(t, fault.Conflict, fault.CodeOf(err), "%v", err)
					after, err := h.engine.List(t.Context())
					require.NoError(t, err)
					for i := range before {
						assert.Equal(t, before[i].State, after[i].State)
					}
					assert.Zero(t, h.entries())
					assert.Empty(t, h.calls)
				})
			})
		}
	}
	inHouse(t, func(h *house) {
		t, old := h.t, h.id
		h.runs("stuck")
		_, err := h.quiescer().Begin(t.Context(), "web", nil, hooks, time.Minute)
		assert.Equal(t, fault.Conflict, fault.CodeOf(err), "it has one")
		h.id = old
	})
}

func (h *house) stops()  { require.NoError(h.t, h.engine.Stop(h.t.Context(), h.id, 0)) }
func (h *house) starts() { require.NoError(h.t, h.engine.Start(h.t.Context(), h.id)) }

// Another version that runs, or did, while the service was at rest makes what was
// captured worthless.
func TestAnotherVersionMeanwhile(t *testing.T) {
	for _, ended := range []bool{false, true} {
		inHouse(t, func(h *house) {
			t, old := h.t, h.id
			r, err := h.begin(hooks)
			require.NoError(t, err)
			require.NoError(t, r.Alone(t.Context()))
			h.runs("v2")
			if ended {
				h.stops()
			}
			h.id = old
			require.NoError(t, r.Still(t.Context()))
			require.NoError(t, r.Wake(t.Context()))
			assert.Equal(t, fault.Conflict, fault.CodeOf(r.Alone(t.Context())))
		})
	}
	inHouse(t, func(h *house) {
		t := h.t
		r, err := h.begin(hooks)
		require.NoError(t, err)
		time.Sleep(time.Second)
		h.stops()
		h.starts()
		assert.Equal(t, fault.Conflict, fault.CodeOf(r.Still(t.Context())), "it is not frozen any more")
		require.NoError(t, r.Wake(t.Context()))
	})
}

// A program that ends again and again, which the engine restarts, is nobody else.
func TestRestartedByTheEngine(t *testing.T) {
	inHouse(t, func(h *house) {
		t, c := h.t, h.is()
		h.stops()
		time.Sleep(time.Second)
		h.starts()
		h.engine.Wear(h.id, 1)
		r, err := h.quiescer().Begin(t.Context(), "web", c, quiesce.Method{Kind: quiesce.Pause, Timeout: time.Second}, time.Minute)
		require.NoError(t, err)
		require.NoError(t, r.Still(t.Context()))
		require.NoError(t, r.Wake(t.Context()))
	})
}
