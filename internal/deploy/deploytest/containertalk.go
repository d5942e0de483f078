package deploytest

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"homelab/internal/command"
	"homelab/internal/deploy"
	"homelab/internal/fault"
)

// Exec is part of [deploy.Containers]. Without [Memory.Command] it runs the command
// on this machine, with the environment of the container besides.
func (m *Memory) Exec(ctx context.Context, id string, args []string) (int, string, error) {
	unlock, err := m.enter(ctx, "exec")
	if err != nil {
		return 0, "", err
	}
	_, err = m.running(id)
	unlock()
	if err != nil {
		return 0, "", err
	}
	return m.run(ctx, id, args)
}

// run runs a command in a container that runs.
func (m *Memory) run(ctx context.Context, id string, args []string) (int, string, error) {
	m.mu.Lock()
	c, err := m.running(id)
	m.mu.Unlock()
	if err != nil {
		return 0, "", err
	}
	if m.Command != nil {
		exit, output := m.Command(*c, args)
		return exit, output, nil
	}
	if command.Look(args[0]) == "" {
		return 127, "exec: \"" + args[0] + "\": executable file not found in $PATH\r\n", nil
	}
	env := []string{}
	for name, value := range c.Spec.Env {
		env = append(env, name+"="+value)
	}
	result, err := command.Run(ctx, command.Cmd{Name: args[0], Args: args[1:], Env: env})
	if err != nil {
		return 0, "", err
	}
	const most = 4 << 10
	output := string(result.Stdout) + string(result.Stderr)
	return result.Exit, output[max(len(output)-most, 0):], nil
}

// running is a copy of a container of ours that runs.
func (m *Memory) running(id string) (*deploy.Container, error) {
	c, err := m.own(id)
	switch {
	case err != nil:
		return nil, err
	case c.State != deploy.Running:
		return nil, refuseAs(fault.Conflict, "container %s is not running", id)
	}
	found := c.Container
	found.Spec = asTold(c.Spec)
	return &found, nil
}

// Dial is part of [deploy.Containers].
func (m *Memory) Dial(ctx context.Context, c deploy.Container, port int) (net.Conn, error) {
	unlock, err := m.enter(ctx, "dial")
	if err != nil {
		return nil, err
	}
	defer unlock()
	there := m.container(c.ID)
	if there == nil || there.State != deploy.Running || there.behaviour.Page == "" || port != PagePort {
		return nil, fault.Newf(fault.Unhealthy, "see its logs", "cannot connect to %s:%d: connection refused", c.Name, port)
	}
	near, far := net.Pipe()
	go serve(far, there.behaviour.Page)
	return near, nil
}

// serve answers one request with a page.
func serve(conn net.Conn, page string) {
	defer conn.Close()
	request, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return // who asked has hung up
	}
	answer := http.Response{StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Request: request, Close: true,
		ContentLength: int64(len(page)), Body: io.NopCloser(strings.NewReader(page))}
	_ = answer.Write(conn)
}

// Logs is part of [deploy.Containers].
func (m *Memory) Logs(ctx context.Context, id string, t deploy.Tail, w io.Writer) error {
	unlock, err := m.enter(ctx, "logs")
	if err != nil {
		return err
	}
	defer unlock()
	c, err := m.own(id)
	if err != nil {
		return err
	}
	kept := slices.DeleteFunc(slices.Clone(c.said), func(u utterance) bool { return u.at.Before(t.Since) })
	for _, p := range kept[max(len(kept)-max(t.Lines, 0), 0):] {
		line := p.line + "\n"
		for _, secret := range c.secrets {
			if len(secret) >= 4 {
				line = strings.ReplaceAll(line, secret, "…")
			}
		}
		if t.Timestamps {
			line = p.at.UTC().Format(time.RFC3339Nano) + " " + line
		}
		if _, err := io.WriteString(w, line); err != nil {
			return err
		}
	}
	return nil
}

// EnsureNetwork is part of [deploy.Containers].
func (m *Memory) EnsureNetwork(ctx context.Context, name string) error {
	unlock, err := m.enter(ctx, "network")
	if err != nil {
		return err
	}
	defer unlock()
	if m.networks == nil {
		m.networks = map[string]bool{}
	}
	m.networks[name] = true
	return nil
}
