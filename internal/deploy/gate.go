package deploy

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"homelab/internal/fault"
	"homelab/registry"
)

// Gate is what a new container must pass before it counts.
type Gate struct {
	Kind     string        `json:"kind"` // http, tcp, exec or docker
	Port     int           `json:"port,omitempty"`
	Path     string        `json:"path,omitempty"`
	Status   int           `json:"status,omitempty"` // 0: any from 200 to 399
	Command  []string      `json:"command,omitempty"`
	Interval time.Duration `json:"interval"` // between two probes, but for the first ones
	Timeout  time.Duration `json:"timeout"`  // of it all
	// Mute leaves out what the container prints: it has env files, and may print
	// what is in them.
	Mute bool `json:"mute,omitempty"`
}

// What a gate is when the registry does not say.
const (
	defaultInterval = time.Second
	defaultTimeout  = 60 * time.Second
	// settle is how long a container without any check of its own must have run.
	settle = 2 * time.Second
	// soon is how long after the first probe the second comes; each pause is twice
	// the one before, until they are those of the gate.
	soon = 10 * time.Millisecond
	// probeTimeout bounds one probe.
	probeTimeout = 5 * time.Second
)

// NewGate is the gate of a service. The start period of the registry only adds
// time: no failure before the end counts.
func NewGate(d registry.Deploy) Gate {
	h := d.Health
	if h == nil {
		h = &registry.Health{}
	}
	return Gate{
		Mute: len(d.EnvFiles) > 0,
		Kind: cmp.Or(h.Kind, "docker"), Port: h.Port, Path: cmp.Or(h.Path, "/"), Status: h.Status, Command: h.Command,
		Interval: duration(h.Interval, defaultInterval), Timeout: duration(h.Timeout, defaultTimeout) + duration(h.StartPeriod, 0),
	}
}

// duration reads what the registry has checked.
func duration(text string, otherwise time.Duration) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		return otherwise
	}
	return d
}

// Gate is what a container had to pass when it was made, as its label tells; otherwise
// when it does not.
func (c *Container) Gate(otherwise Gate) Gate {
	var g Gate
	if err := json.Unmarshal([]byte(c.Labels[LabelGate]), &g); err != nil || g.Kind == "" || g.Interval <= 0 || g.Timeout <= 0 {
		return otherwise
	}
	return g
}

var errGone = fault.New(fault.Conflict, "the new container is gone: something else removed it", "see who else works on that host")

// Pass waits until a container passes that was just started. It fails with
// [fault.Unhealthy] as soon as the container has ended, and when the time is over.
func (g Gate) Pass(ctx context.Context, e Containers, id string) error {
	return g.pass(ctx, e, id, 0)
}

// pass is Pass for a container that the engine had restarted that often before. The
// container is looked at while it is probed: a probe of one that has ended may hang.
func (g Gate) pass(ctx context.Context, e Containers, id string, restarts int) error {
	timed, stop := context.WithTimeout(ctx, g.Timeout)
	var p probing
	defer func() {
		stop()
		p.end()
	}()
	var last error
	passed := false
	for pause := min(soon, g.Interval); ; pause = min(2*pause, g.Interval) {
		c, err := e.Container(timed, id)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case timed.Err() != nil:
			return g.failed(ctx, e, id, last)
		case err != nil:
			return err
		case c == nil:
			return errGone
		case c.State == Exited || c.State == Dead || c.Restarts > restarts || c.State == Restarting:
			return g.ended(ctx, e, c)
		case passed && c.State == Running:
			return nil
		case c.State == Running:
			p.begin(func(running time.Duration) error { return g.probe(timed, e, c, running) })
		}
		after := time.After(pause)
		select {
		case last = <-p.done:
			p.done = nil
			if passed = last == nil; passed {
				continue // something else may have answered, while this one ended
			}
			select {
			case <-timed.Done():
			case <-after:
			}
		case <-timed.Done():
		case <-after:
		}
	}
}

// probing is one probe at a time, of a container that runs.
type probing struct {
	since time.Time  // it has been seen running, by the clock of this machine
	done  chan error // gets what the probe under way says; nil: none is
}

func (p *probing) begin(probe func(running time.Duration) error) {
	if p.since.IsZero() {
		p.since = time.Now()
	}
	if p.done == nil {
		done, running := make(chan error, 1), time.Since(p.since)
		p.done = done
		go func() { done <- probe(running) }()
	}
}

// end waits for the probe that is under way, whose context is over.
func (p *probing) end() {
	if p.done != nil {
		<-p.done
	}
}

// probe looks once, at a container that has been running for a while; nil is
// healthy.
func (g Gate) probe(ctx context.Context, e Containers, c *Container, running time.Duration) error {
	ctx, stop := context.WithTimeout(ctx, probeTimeout)
	defer stop()
	switch g.Kind {
	case "exec":
		exit, output, err := e.Exec(ctx, c.ID, g.Command)
		if g.Mute {
			output = "…"
		}
		if err == nil && exit != 0 {
			err = fmt.Errorf("%s ended with status %d: %s", g.Command[0], exit, oneLine(output))
		}
		return err
	case "tcp":
		conn, err := e.Dial(ctx, *c, g.Port)
		if err != nil {
			return err
		}
		return conn.Close()
	case "http":
		return g.get(ctx, e, c)
	}
	switch {
	case c.Health == "healthy", c.Health == "" && running >= settle:
		return nil
	case c.Health == "":
		return errors.New("it has just been started")
	}
	return fmt.Errorf("its own check says %s", c.Health)
}

func (g Gate) get(ctx context.Context, e Containers, c *Container) error {
	client := &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return e.Dial(ctx, *c, g.Port) },
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort("localhost", strconv.Itoa(g.Port))+g.Path, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if want := g.Status; want != 0 && response.StatusCode != want || want == 0 && (response.StatusCode < 200 || response.StatusCode > 399) {
		return fmt.Errorf("GET %s says %s", g.Path, response.Status)
	}
	return nil
}

// failed says that the time is over.
func (g Gate) failed(ctx context.Context, e Containers, id string, last error) error {
	why := "it did not run"
	if last != nil {
		why = oneLine(last.Error())
	}
	return fault.Newf(fault.Unhealthy, g.lastWords(ctx, e, id)+"; see deploy.health in the registry",
		"not healthy after %s: %s", g.Timeout, why)
}

// ended says how a container ended that was to run.
func (g Gate) ended(ctx context.Context, e Containers, c *Container) error {
	how := fmt.Sprintf("it ended with status %d", c.Exit)
	switch {
	case strings.Contains(c.Error, "exec format error"):
		how = "the image is for another processor (exec format error)"
	case c.Error != "":
		how = "it could not be started: " + oneLine(c.Error)
	case c.State == Running:
		how = "it ended, and the engine has started it again"
	case c.OOM:
		how = "it was killed because it took more memory than it may"
	}
	return fault.Newf(fault.Unhealthy, g.lastWords(ctx, e, c.ID), "not healthy: %s", how)
}

// lastWords are the last lines that a container printed, on one.
func (g Gate) lastWords(ctx context.Context, e Containers, id string) string {
	if g.Mute {
		return "what it printed may have something of its env files, and is left out: see docker logs on the host"
	}
	const lines, most = 5, 400
	ctx, stop := context.WithTimeout(ctx, probeTimeout)
	defer stop()
	var out bytes.Buffer
	if err := e.Logs(ctx, id, Tail{Lines: lines}, &out); err != nil || out.Len() == 0 {
		return "it printed nothing"
	}
	text := oneLine(out.String())
	if len(text) > most {
		text = "…" + strings.ToValidUTF8(text[len(text)-most:], "")
	}
	return "its last words: " + text
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
