package dockerhost

import (
	"context"
	"net/http"
	"time"
)

// Engine is a handle of a Docker engine. It may be used from several goroutines.
type Engine struct {
	endpoint Endpoint
	link     *link
	base     string // of the URLs that are asked for
	client   *http.Client
}

// Dial makes a handle of the engine. It reads the certificate files but does
// not connect: that happens when the handle is used. The ssh commands behind it
// end with [Engine.Close], or earlier with ctx.
func Dial(ctx context.Context, e Endpoint) (*Engine, error) {
	a, err := parseAddress(e.URL)
	if err != nil {
		return nil, err
	}
	// An image goes through in large pieces: with the default of 4 KiB each 32 KiB of it
	// cost two system calls.
	transport := &http.Transport{MaxIdleConns: 6, IdleConnTimeout: 30 * time.Second, WriteBufferSize: 128 << 10}
	// Where the link alone knows the way, only the Host header needs a name.
	base := "http://docker"
	switch a.scheme {
	case "unix":
		transport.DisableCompression = true
	case "tcp":
		base = "http://" + a.hostport()
		if transport.TLSClientConfig, err = tlsConfig(e); err != nil {
			return nil, err
		}
		if e.TLS != nil {
			base = "https://" + a.hostport()
		}
	}
	link := newLink(ctx, e, a)
	transport.DialContext = link.dial
	// An engine sends nobody elsewhere.
	direct := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Engine{endpoint: e, link: link, base: base, client: &http.Client{Transport: transport, CheckRedirect: direct}}, nil
}

// HTTP is the way to the engine for a client of its API: the URL that paths are
// added to, and a client whose errors [Engine.Explain] understands.
func (e *Engine) HTTP() (base string, client *http.Client) { return e.base, e.client }

// Endpoint is where the engine is.
func (e *Engine) Endpoint() Endpoint { return e.endpoint }

// Close ends the connections and waits for the ssh commands behind them.
func (e *Engine) Close() error {
	e.client.CloseIdleConnections()
	e.link.close()
	return nil
}
