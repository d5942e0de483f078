package quiesce

import (
	"context"
	"errors"
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

// freeze has a container that runs come to rest. It says whether that is over, however
// it ended: else something may still be on its way.
func (q *Quiescer) freeze(ctx context.Context, e *Entry, c *deploy.Container) (over bool, err error) {
	m := e.Method
	grace := m.Timeout
	if m.Kind == Stop {
		grace = c.Spec.StopGrace
	}
	ctx, stop := context.WithTimeout(ctx, grace+callPatience)
	defer stop()
	switch m.Kind {
	case Stop:
		err = q.Engine.Stop(ctx, c.ID, grace)
	case Pause, Snapshot:
		err = q.Engine.Pause(ctx, c.ID)
	default:
		begun := false
		err = q.call(ctx, c, m, m.Freeze, func(exec string) error {
			err := q.note(ctx, e, func() { e.Exec = exec })
			begun = err == nil
			return err
		})
		return !begun || err == nil || errors.Is(err, deploy.ErrRefused) || errors.Is(err, errAnswered), err
	}
	return err == nil || errors.Is(err, deploy.ErrRefused), err
}

// errAnswered is among the causes of a call's error when the call is over.
var errAnswered = errors.New("it has answered")

// answered is an error of a call that is over.
func answered(f *fault.Error) error {
	f.Err = errors.Join(errAnswered, f.Err)
	return f
}

// call runs a command in a container, or makes an HTTP call of it. Begins is asked
// before that may change anything; of a command it hears what the engine calls it.
func (q *Quiescer) call(ctx context.Context, c *deploy.Container, m Method, what []string, begins func(exec string) error) error {
	ctx, stop := context.WithTimeout(ctx, m.Timeout)
	defer stop()
	if m.Kind == HTTP {
		return q.get(ctx, c, what, begins)
	}
	exit, output, err := q.Engine.ExecAs(ctx, c.ID, what, begins)
	switch {
	case ctx.Err() != nil && context.Cause(ctx) == context.DeadlineExceeded:
		return fault.Newf(fault.Timeout, "see what it waits for, or raise state.quiesce.timeout", "%s in container %s took more than %s", what[0], c.Name, m.Timeout)
	case err != nil:
		return err
	case exit != 0:
		if c.Labels[deploy.LabelEnvFiles] != "" {
			output = "…" // it may have something of its env files
		}
		return answered(fault.Newf(fault.Precondition, "try it by hand: docker exec "+c.Name+" "+what[0]+" …; and correct state.quiesce",
			"%s in container %s ended with status %d: %s", what[0], c.Name, exit, oneLine(output)))
	}
	return nil
}

// get makes an HTTP call. localhost is the container; other names are those of this
// machine.
func (q *Quiescer) get(ctx context.Context, c *deploy.Container, what []string, begins func(exec string) error) error {
	method, address := what[0], what[1]
	u, err := url.Parse(address)
	if err != nil {
		return fault.Newf(fault.InvalidArgument, "correct state.quiesce", "%q is no URL", address)
	}
	dial := func(ctx context.Context, network, at string) (conn net.Conn, err error) {
		if u.Hostname() == "localhost" {
			var port int
			if port, err = strconv.Atoi(portOf(u)); err == nil {
				conn, err = q.Engine.Dial(ctx, *c, port)
			}
		} else {
			conn, err = (&net.Dialer{}).DialContext(ctx, network, at)
		}
		if err != nil {
			return nil, err
		}
		if err := begins(""); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return conn, nil
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
	_ = response.Body.Close()                                  // it has answered
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return answered(fault.Newf(fault.Precondition, "see what the service wants: its documentation, and its logs", "%s %s of container %s says %s: %s", method, shown, c.Name, response.Status, oneLine(string(body))))
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
