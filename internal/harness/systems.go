package harness

import (
	"context"
	"sync"
	"time"

	"homelab/internal/engine/dockerhost"
	"homelab/registry"
)

// How long an answer of a host is believed. What a host runs does not change
// while it is up; one that did not answer is asked again soon.
const (
	systemFor  = 10 * time.Minute
	silenceFor = 15 * time.Second
)

// systems asks hosts what they run, and remembers it for a while.
type systems struct {
	ask func(ctx context.Context, host registry.Host) (dockerhost.Server, error)
	now func() time.Time

	mu    sync.Mutex
	known map[string]answer // by the address of the engine
}

type answer struct {
	system string
	err    error
	until  time.Time
}

func (s *systems) of(ctx context.Context, _ string, host registry.Host) (string, error) {
	if host.TLS != nil {
		// Pointers of two readings of one registry differ: not remembered.
		server, err := s.ask(ctx, host)
		return server.System, err
	}
	s.mu.Lock()
	a, ok := s.known[host.Docker]
	s.mu.Unlock()
	if ok && s.now().Before(a.until) {
		return a.system, a.err
	}
	server, err := s.ask(ctx, host)
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	a = answer{system: server.System, err: err, until: s.now().Add(systemFor)}
	if err != nil {
		a.until = s.now().Add(silenceFor)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[host.Docker] = a
	return a.system, a.err
}
