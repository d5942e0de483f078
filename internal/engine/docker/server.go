package docker

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/docker/docker/client"

	"homelab/internal/fault"
	"homelab/registry"
)

// How long an engine may take to say who it is.
const (
	localPatience  = 2 * time.Second
	remotePatience = 10 * time.Second
)

// Server is who answers at an endpoint.
type Server struct {
	Version    string // of the engine, such as 28.5.2
	APIVersion string // newest one the engine speaks, such as 1.51
	OS         string // of its containers, as Go names it: linux
	Arch       string // as Go names it: amd64, arm64
	System     string // Nix system of its containers; empty: Nix has none for it
}

// Server asks the engine who it is. It waits 2 s for a local engine and 10 s
// for one on another machine, or until ctx is done.
//
// An engine that does not answer is [fault.EngineUnavailable], a machine that
// does not is [fault.HostUnreachable].
func (e *Engine) Server(ctx context.Context) (Server, error) {
	patience := remotePatience
	if e.link.address.scheme == "unix" {
		patience = localPatience
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	deadline, _ := ctx.Deadline() // that of the caller may be sooner
	patience = time.Until(deadline)

	// Asked for on its own, since the negotiation that the client would do
	// drops the error of its ping and then connects, and waits, once more. An
	// engine that answers the ping with an error says more in its next answer.
	ping, err := e.api.Ping(ctx)
	if err == nil {
		e.api.NegotiateAPIVersionPing(ping)
	} else if client.IsErrConnectionFailed(err) || ctx.Err() != nil {
		return Server{}, e.explain(ctx, patience, err)
	}
	v, err := e.api.ServerVersion(ctx)
	if err != nil {
		return Server{}, e.explain(ctx, patience, err)
	}
	if v.Version == "" || v.Os == "" || v.Arch == "" {
		return Server{}, fault.Newf(fault.EngineUnavailable, engineRemedy,
			"what answers at %s is not a Docker engine: it names no version, system and architecture", e.endpoint)
	}
	return Server{
		Version: v.Version, APIVersion: v.APIVersion,
		OS: v.Os, Arch: v.Arch, System: registry.SystemOf(v.Os, v.Arch),
	}, nil
}

// explain turns an error of the API client into a fault.
func (e *Engine) explain(ctx context.Context, patience time.Duration, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("ask the Docker engine at %s: %w", e.endpoint, ctx.Err())
	}
	if ctx.Err() != nil {
		return e.silent(patience)
	}
	if f := e.link.failure.Load(); f != nil && client.IsErrConnectionFailed(err) {
		return f
	}
	if f := (*fault.Error)(nil); errors.As(err, &f) {
		return f // the connection broke in the middle of an answer
	}
	if f := tlsFailure(e.endpoint, err); f != nil {
		return f
	}
	// Without the method and URL in front, which name an invented host.
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err
	}
	hint := engineRemedy
	if strings.Contains(err.Error(), "HTTP request to an HTTPS server") {
		hint = "the engine wants TLS: give its certificate files (hosts.NAME.tls in the registry, or DOCKER_TLS_VERIFY and DOCKER_CERT_PATH)"
	}
	return fault.Newf(fault.EngineUnavailable, hint, "the Docker engine at %s gives no usable answer: %w", e.endpoint, err)
}

// silent is the fault of an engine that took too long.
func (e *Engine) silent(patience time.Duration) error {
	code, hint := fault.HostUnreachable, "check that the host is up, and that the network and its firewall let this port through"
	switch e.link.address.scheme {
	case "unix":
		code, hint = fault.EngineUnavailable, "the engine hangs: restart Docker"
	case "ssh":
		hint = "try it by hand: " + e.link.address.byHand()
	}
	return fault.Newf(code, hint, "the Docker engine at %s does not answer (gave up after %s)",
		e.endpoint, patience.Round(100*time.Millisecond))
}
