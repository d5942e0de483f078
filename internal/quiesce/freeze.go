package quiesce

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"homelab/internal/deploy"
	"homelab/internal/fault"
)

// callPatience is how long an engine may take, besides what it is to do.
const callPatience = 30 * time.Second

// freeze has a container that runs come to rest.
func (q *Quiescer) freeze(ctx context.Context, c *deploy.Container, m Method) error {
	grace := m.Timeout
	if m.Kind == Stop {
		grace = c.Spec.StopGrace
	}
	ctx, stop := context.WithTimeout(ctx, grace+callPatience)
	defer stop()
	switch m.Kind {
	case Stop:
		return q.Engine.Stop(ctx, c.ID, grace)
	case Pause, Snapshot:
		return q.Engine.Pause(ctx, c.ID)
	}
	return q.call(ctx, c, m, m.Freeze)
}

// call runs a command in a container, or makes an HTTP call of it.
func (q *Quiescer) call(ctx context.Context, c *deploy.Container, m Method, what []string) error {
	ctx, stop := context.WithTimeout(ctx, m.Timeout)
	defer stop()
	if m.Kind == HTTP {
		return q.get(ctx, c, what[0], what[1])
	}
	exit, output, err := q.Engine.Exec(ctx, c.ID, what)
	switch {
	case ctx.Err() != nil && context.Cause(ctx) == context.DeadlineExceeded:
		return fault.Newf(fault.Timeout, "see what it waits for, or raise state.quiesce.timeout", "%s in container %s took more than %s", what[0], c.Name, m.Timeout)
	case err != nil:
		return err
	case exit != 0:
		if c.Labels[deploy.LabelEnvFiles] != "" {
			output = "…" // it may have something of its env files
		}
		return fault.Newf(fault.Precondition, "try it by hand: docker exec "+c.Name+" "+what[0]+" …; and correct state.quiesce",
			"%s in container %s ended with status %d: %s", what[0], c.Name, exit, oneLine(output))
	}
	return nil
}

// get makes an HTTP call. localhost is the container; other names are those of this
// machine.
func (q *Quiescer) get(ctx context.Context, c *deploy.Container, method, address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return fault.Newf(fault.InvalidArgument, "correct state.quiesce", "%q is no URL", address)
	}
	dial := (&net.Dialer{}).DialContext
	if u.Hostname() == "localhost" {
		dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			port, err := strconv.Atoi(portOf(u))
			if err != nil {
				return nil, err
			}
			return q.Engine.Dial(ctx, *c, port)
		}
	}
	shown := (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String() // the rest may be secret
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, DialContext: dial},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	request, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return fault.Newf(fault.Precondition, "see whether it listens there: the logs of the service", "%s %s of container %s: %w", method, shown, c.Name, unwrapped(err))
	}
	const most = 1 << 10
	body, _ := io.ReadAll(io.LimitReader(response.Body, most)) // for the message alone
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return fault.Newf(fault.Precondition, "see what the service wants: its documentation, and its logs", "%s %s of container %s says %s: %s", method, shown, c.Name, response.Status, oneLine(string(body)))
	}
	return nil
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// unwrapped is an error without the method and the address, which may have a password.
func unwrapped(err error) error {
	if wrapped, ok := err.(*url.Error); ok {
		return wrapped.Err
	}
	return err
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func (q *Quiescer) say(format string, args ...any) {
	if q.Report != nil {
		q.Report(fmt.Sprintf(format, args...))
	}
}
