package docker

import (
	"context"
	"net/http"
	"time"

	"github.com/docker/docker/client"

	"homelab/internal/fault"
)

// Engine is a handle of a Docker engine. It may be used from several goroutines.
type Engine struct {
	endpoint  Endpoint
	link      *link
	transport *http.Transport
	api       *client.Client
}

// Dial makes a handle of the engine. It reads the certificate files but does
// not connect: that happens when the handle is used. The ssh commands behind it
// end with [Engine.Close], or earlier with ctx.
func Dial(ctx context.Context, e Endpoint) (*Engine, error) {
	a, err := parseAddress(e.URL)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{MaxIdleConns: 6, IdleConnTimeout: 30 * time.Second}
	// Where the link alone knows the way, the client only needs a name to put
	// into the Host header and its messages.
	host := "tcp://docker"
	switch a.scheme {
	case "unix":
		transport.DisableCompression = true
	case "tcp":
		host = a.String()
		if transport.TLSClientConfig, err = tlsConfig(e); err != nil {
			return nil, err
		}
	}
	link := newLink(ctx, e, a)
	transport.DialContext = link.dial

	// The host comes first: it configures the transport that ours replaces.
	api, err := client.NewClientWithOpts(
		client.WithHost(host),
		client.WithHTTPClient(&http.Client{Transport: transport, CheckRedirect: client.CheckRedirect}),
		client.WithAPIVersionNegotiation(),
	)
	if err != nil {
		return nil, fault.Newf(fault.InvalidArgument, addressForms, "Docker engine %s: %w", e, err)
	}
	return &Engine{endpoint: e, link: link, transport: transport, api: api}, nil
}

// Close ends the connections and waits for the ssh commands behind them.
func (e *Engine) Close() error {
	e.transport.CloseIdleConnections()
	e.link.close()
	return nil
}
