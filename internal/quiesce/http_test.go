package quiesce_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/fault"
	"homelab/internal/quiesce"
)

// leading is an engine whose containers listen at an address, at port 8086.
type leading struct {
	*deploytest.Memory
	address string
}

func (l leading) Dial(ctx context.Context, _ deploy.Container, port int) (net.Conn, error) {
	if port != 8086 {
		return nil, &net.AddrError{Err: "nobody listens", Addr: "there"}
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", l.address)
}

// A service that is put to rest by HTTP is called inside of its container.
func TestRestByHTTP(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path)
		if r.URL.Path == "/busy" {
			http.Error(w, "compacting,\nask later", http.StatusConflict)
		}
	}))
	defer server.Close()
	h := newHouse(t)
	q := h.quiescer()
	q.Engine = leading{h.engine, server.Listener.Addr().String()}
	m := quiesce.Method{Kind: quiesce.HTTP, Timeout: 10 * time.Second, Freeze: []string{"POST", "http://localhost:8086/freeze"}, Thaw: []string{"DELETE", "http://localhost:8086/freeze"}}
	r, err := q.Begin(t.Context(), "web", h.is(), m, time.Minute)
	require.NoError(t, err)
	require.NoError(t, r.Wake(t.Context()))
	assert.Equal(t, []string{"POST /freeze", "DELETE /freeze"}, asked)

	m.Freeze[1] = "http://me:secret@localhost:8086/busy"
	_, err = q.Begin(t.Context(), "web", h.is(), m, time.Minute)
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
	assert.ErrorContains(t, err, "409 Conflict: compacting, ask later")
	assert.NotContains(t, err.Error(), "secret")
	m.Freeze[1] = "http://me:secret@localhost/freeze"
	_, err = q.Begin(t.Context(), "web", h.is(), m, time.Minute)
	assert.ErrorContains(t, err, "nobody listens")
	assert.NotContains(t, err.Error(), "secret")
	assert.Zero(t, h.entries())
}
