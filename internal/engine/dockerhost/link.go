package dockerhost

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"sync"
	"syscall"

	"homelab/internal/fault"
)

// link makes the connections of one engine.
type link struct {
	endpoint Endpoint
	address  address

	// life ends the ssh commands; running counts them.
	life    context.Context
	end     context.CancelFunc
	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

func newLink(ctx context.Context, e Endpoint, a address) *link {
	life, end := context.WithCancel(ctx)
	return &link{endpoint: e, address: a, life: life, end: end}
}

// dial connects. The network and the address it is given come from the HTTP
// client, which only knows those of a tcp:// engine. Its errors are faults.
func (l *link) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	switch l.address.scheme {
	case "unix":
		conn, err := dialer.DialContext(ctx, "unix", l.address.path)
		if err != nil {
			return nil, socketFailure(l.endpoint, err)
		}
		return conn, nil
	case "tcp":
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, networkFailure(l.endpoint, err)
		}
		return conn, nil
	}
	return l.dialSSH()
}

// enter counts one more ssh command in; false once the link is closed.
func (l *link) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.running.Add(1)
	}
	return !l.closed
}

func (l *link) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.end()
	l.running.Wait()
}

const engineRemedy = "start Docker, or say where the engine is: hosts.NAME.docker in the registry, or DOCKER_HOST"

func socketFailure(e Endpoint, err error) *fault.Error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fault.Newf(fault.EngineUnavailable, engineRemedy, "no Docker engine at %s: there is no such socket", e)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fault.Newf(fault.EngineUnavailable, engineRemedy, "no Docker engine at %s: nothing listens on the socket", e)
	case errors.Is(err, fs.ErrPermission):
		return fault.Newf(fault.EngineUnavailable, groupRemedy, "no access to the Docker engine at %s: permission denied", e)
	}
	return fault.Newf(fault.EngineUnavailable, engineRemedy, "cannot reach the Docker engine at %s: %w", e, err)
}

const groupRemedy = "add the user to the group docker (sudo usermod -aG docker USER) and log in again"

func networkFailure(e Endpoint, err error) *fault.Error {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return fault.Newf(fault.HostUnreachable, "check the host's name in the address of the engine",
			"the Docker engine at %s: the name %q cannot be resolved", e, dns.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fault.Newf(fault.EngineUnavailable, "check that Docker runs there and listens on that port, or reach it with ssh://",
			"no Docker engine at %s: the host answers, but refuses the connection", e)
	}
	return fault.Newf(fault.HostUnreachable, "check that the host is up, and that the network and its firewall let this port through",
		"cannot reach the Docker engine at %s: %w", e, err)
}
