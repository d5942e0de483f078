package dockerhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

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

	v, err := e.version(ctx)
	if err != nil && ctx.Err() != nil && !errors.Is(ctx.Err(), context.Canceled) {
		return Server{}, e.silent(patience)
	}
	if err != nil {
		return Server{}, e.Explain(ctx, err)
	}
	if v.Version == "" || v.OS == "" || v.Arch == "" {
		return Server{}, fault.Newf(fault.EngineUnavailable, engineRemedy,
			"what answers at %s is not a Docker engine: it names no version, system and architecture", e.endpoint)
	}
	return Server{
		Version: v.Version, APIVersion: v.APIVersion,
		OS: v.OS, Arch: v.Arch, System: registry.SystemOf(v.OS, v.Arch),
	}, nil
}

// version is what homelab reads of the answer to GET /version. It is the one
// question asked without Docker's API client: every plan may ask it, and linking
// the client costs each run of the program a millisecond and a half. Engines
// answer it at the bare path whichever API versions they speak.
// See https://docs.docker.com/reference/api/engine/version/v1.51/#tag/System/operation/SystemVersion
type version struct{ Version, APIVersion, OS, Arch string }

// How many bytes are read of an answer, where that of an engine has 1 KB, and
// shown of one that is no JSON.
const (
	maxAnswer  = 1 << 20
	maxRefusal = 300
)

func (e *Engine) version(ctx context.Context) (version, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.base+"/version", nil)
	if err != nil {
		return version{}, err
	}
	response, err := e.client.Do(request)
	if err != nil {
		return version{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	switch {
	case err != nil:
		return version{}, err
	case response.StatusCode != http.StatusOK:
		return version{}, refusal(response.Status, body)
	}
	var v version
	return v, json.Unmarshal(body, &v)
}

// refusal is the engine's own word on why it does not answer, or the status.
func refusal(status string, body []byte) error {
	var answer struct{ Message string }
	if json.Unmarshal(body, &answer) != nil {
		answer.Message = strings.TrimSpace(strings.ToValidUTF8(string(body[:min(len(body), maxRefusal)]), ""))
	}
	if answer.Message == "" {
		return errors.New(status)
	}
	return fmt.Errorf("%s: %s", status, answer.Message)
}

// Explain turns an error of the HTTP client into a fault: [fault.HostUnreachable]
// where there is no way, [fault.EngineUnavailable] where nobody answers, or
// nothing that is understood.
func (e *Engine) Explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("ask the Docker engine at %s: %w", e.endpoint, ctx.Err())
	}
	if f := (*fault.Error)(nil); errors.As(err, &f) {
		return f // from the link
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
