package dockerhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"

	"homelab/internal/command"
	"homelab/internal/fault"
)

// Local says whether the engine is reached through a socket: its files are then
// those of this machine, or of the virtual machine that Docker runs in there.
func (e *Engine) Local() bool { return e.link.address.scheme == "unix" }

// View is the place that [Engine.DialTCP] connects from. Self is the address under
// which the engine's host is found there; inside means that it is the host itself,
// whose networks with containers are in reach.
func (e *Engine) View() (self string, inside bool) {
	if e.link.address.scheme == "tcp" {
		return e.link.address.host, false
	}
	return "127.0.0.1", true
}

// DialTCP connects to HOST:PORT, from the engine's host if there is a way to it
// (see [Engine.View]): for ssh:// the user's ssh carries the connection. It waits
// 10 s at most.
//
// A port that nobody answers at is [fault.Unhealthy], a host that cannot be
// reached is [fault.HostUnreachable].
func (e *Engine) DialTCP(ctx context.Context, hostport string) (net.Conn, error) {
	patient, cancel := context.WithTimeout(ctx, remotePatience)
	defer cancel()
	dial := dialDirectly
	if e.link.address.scheme == "ssh" {
		dial = e.link.forward
	}
	conn, err := dial(patient, hostport)
	switch {
	case err == nil:
		return conn, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("connect to %s: %w", hostport, ctx.Err())
	case patient.Err() != nil:
		return nil, noAnswer(hostport, fmt.Sprintf("no answer in %s", remotePatience))
	}
	return nil, err
}

func dialDirectly(ctx context.Context, hostport string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", hostport)
	if err == nil {
		return conn, nil
	}
	cause := err
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		cause = errno
	}
	return nil, noAnswer(hostport, cause.Error())
}

func noAnswer(hostport, why string) *fault.Error {
	return fault.Newf(fault.Unhealthy, "see whether the service listens there, and its logs", "cannot connect to %s: %s", hostport, why)
}

// forward has ssh connect to an address on the other side. It says nothing when
// that went well, unless it is asked to say very much.
func (l *link) forward(ctx context.Context, hostport string) (net.Conn, error) {
	args := append(sshOptions(l.address), "-v", "-v", "-W", hostport, "--", l.address.host)
	heard := newListener("open confirm", "master session id")
	failure := func(result command.Result) error { return l.forwardFailure(hostport, result) }
	conn, err := l.startSSH(command.Cmd{Args: args, Stderr: heard}, failure)
	if err != nil {
		return nil, err
	}
	select {
	case <-heard.word:
		return conn, nil
	case <-conn.Done():
		err = failure(conn.Wait())
	case <-ctx.Done():
		err = ctx.Err()
	}
	_ = conn.Close() // it has failed, or nobody waits for it any more
	return nil, err
}

// forwardFailure tells a port that does not answer from a host that does not.
func (l *link) forwardFailure(hostport string, result command.Result) error {
	var said []byte
	for line := range bytes.Lines(result.Stderr) {
		if !bytes.HasPrefix(line, []byte("debug")) {
			said = append(said, line...)
		}
		if _, why, ok := strings.Cut(string(line), "open failed: "); ok {
			return noAnswer(hostport+" from the host of "+l.endpoint.String(), strings.TrimSpace(why))
		}
	}
	result.Stderr = said
	return sshFailure(l.endpoint, l.address, result)
}

// listener waits for a word of many in what is written to it, a line at a time.
type listener struct {
	words []string
	word  chan struct{} // closed when one was heard
	once  sync.Once
	rest  []byte
}

func newListener(words ...string) *listener {
	return &listener{words: words, word: make(chan struct{})}
}

func (l *listener) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		l.rest = rest
		for _, word := range l.words {
			if strings.Contains(string(line), word) {
				l.once.Do(func() { close(l.word) })
			}
		}
	}
}
