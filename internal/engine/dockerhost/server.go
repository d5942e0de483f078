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

// How long an engine may take to say who it is, and what it runs.
const (
	localPatience  = 2 * time.Second
	remotePatience = 10 * time.Second
	listPatience   = 5 * time.Second // where every plan may have to wait for it
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
	var v version
	err := e.patiently(ctx, remotePatience, func(ctx context.Context) (err error) {
		v, err = e.version(ctx)
		return err
	})
	if err != nil {
		return Server{}, err
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

// patiently asks an engine something, and says why there is no answer. One on
// another machine has the time that is given, a local one 2 s.
func (e *Engine) patiently(ctx context.Context, patience time.Duration, ask func(context.Context) error) error {
	if e.link.address.scheme == "unix" {
		patience = localPatience
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	deadline, _ := ctx.Deadline() // that of the caller may be sooner
	patience = time.Until(deadline)
	err := ask(ctx)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && !errors.Is(ctx.Err(), context.Canceled):
		return e.silent(patience)
	}
	return e.Explain(ctx, err)
}

// version is what homelab reads of the answer to GET /version. It is asked
// without Docker's API client, as [Engine.Containers] is: every plan may ask it, and linking
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
	var v version
	return v, e.get(ctx, "/version", maxAnswer, &v)
}

// get asks for a path, and reads an answer in JSON of at most so many bytes.
func (e *Engine) get(ctx context.Context, path string, most int64, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.base+path, nil)
	if err != nil {
		return err
	}
	response, err := e.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, most))
	switch {
	case err != nil:
		return err
	case response.StatusCode != http.StatusOK:
		return refusal(response.Status, body)
	}
	return json.Unmarshal(body, into)
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
