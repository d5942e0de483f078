package dockerhost

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"homelab/internal/command"
	"homelab/internal/fault"
)

// sshConnectTimeout is a little less than [remotePatience], so that ssh gets
// to say itself what it waited for.
const sshConnectTimeout = 8 * time.Second

// dialSSH connects the way the docker command does: the docker command on the
// host copies between its standard streams and its engine. The ssh command is
// the user's, with its configuration, agent and known hosts; it may ask for
// nothing.
func (l *link) dialSSH() (net.Conn, error) {
	failure := func(result command.Result) error { return sshFailure(l.endpoint, l.address, result) }
	conn, err := l.startSSH(command.Cmd{Args: sshArgs(l.address)}, failure)
	if err != nil {
		return nil, err // and not a nil *sshConn
	}
	return conn, nil
}

// startSSH runs the ssh command with arguments. Failure explains how it ended when
// that was not well.
func (l *link) startSSH(c command.Cmd, failure func(command.Result) error) (*sshConn, error) {
	if !l.enter() {
		return nil, net.ErrClosed
	}
	c.Name, c.Install = "ssh", "install the OpenSSH client (on Debian: apt install openssh-client)"
	pipe, err := command.Start(l.life, c)
	if err != nil {
		l.running.Done()
		return nil, err
	}
	conn := &sshConn{Pipe: pipe, link: l, failure: failure, closed: make(chan struct{})}
	go conn.attend()
	return conn, nil
}

// sshOptions is what every ssh command begins with.
func sshOptions(a address) []string {
	args := []string{"-T", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3", "-o", fmt.Sprintf("ConnectTimeout=%d", int(sshConnectTimeout.Seconds()))}
	if a.user != "" {
		args = append(args, "-l", a.user)
	}
	if a.port != "" {
		args = append(args, "-p", a.port)
	}
	return args
}

func sshArgs(a address) []string {
	args := append(sshOptions(a), "--", a.host, "docker")
	if a.path != "" {
		// ssh joins the words and the shell of the host reads them.
		args = append(args, "-H", quoted("unix://"+a.path))
	}
	return append(args, "system", "dial-stdio")
}

// byHand is the command a person can try.
func (a address) byHand() string { return a.command("docker version") }

// tryShell is the hint for when commands do not run on the host.
func (a address) tryShell() string {
	return "try it by hand, it has to say a and nothing else: " + a.command("echo a")
}

// command is an ssh command that a person can type.
func (a address) command(remote string) string {
	words := []string{"ssh"}
	if a.port != "" {
		words = append(words, "-p", a.port)
	}
	host := a.host
	if a.user != "" {
		host = a.user + "@" + host
	}
	return strings.Join(append(words, host, remote), " ")
}

// sshConn is a connection through a running ssh command.
type sshConn struct {
	*command.Pipe
	link    *link
	failure func(command.Result) error
	closing sync.Once
	closed  chan struct{}
}

// attend stays with the command until it has ended.
func (c *sshConn) attend() {
	defer c.link.running.Done()
	select {
	case <-c.closed:
	case <-c.Done():
	}
	select {
	case <-c.closed:
		_ = c.Pipe.Close()
	default: // whoever still reads what the command left closes it
	}
}

// Close does not wait for the command, which may take its time and would hold
// up an answer; [Engine.Close] does.
func (c *sshConn) Close() error {
	c.closing.Do(func() { close(c.closed) })
	select {
	case <-c.Done():
		return c.Pipe.Close()
	default:
		return nil
	}
}

func (c *sshConn) Read(b []byte) (int, error) {
	n, err := c.Pipe.Read(b)
	return n, c.explain(err)
}

func (c *sshConn) Write(b []byte) (int, error) {
	n, err := c.Pipe.Write(b)
	return n, c.explain(err)
}

// explain replaces the end of the stream by what ssh said about it, if it
// failed. A stream that ends well stays io.EOF, as HTTP needs it.
func (c *sshConn) explain(err error) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.EPIPE) {
		return err
	}
	// The end of the output is the end of the command, or Close brings it about.
	result := c.Wait()
	if result.Exit == 0 || c.link.life.Err() != nil {
		return err
	}
	return c.failure(result)
}

// Exit statuses of ssh: its own failure, else that of the remote shell.
const (
	sshFailed      = 255
	notExecutable  = 126
	commandUnknown = 127
)

func sshFailure(e Endpoint, a address, result command.Result) *fault.Error {
	said := lastLine(result)
	switch {
	case result.Exit == sshFailed || result.Exit < 0:
		return fault.Newf(fault.HostUnreachable, "try it by hand: "+a.byHand(), "ssh cannot reach the host of %s: %s", e, said)
	case result.Exit == notExecutable || result.Exit == commandUnknown:
		return fault.Newf(fault.EngineUnavailable, "install the docker command on the host, on the PATH that ssh gives; try it by hand: "+a.byHand(),
			"the host of %s has no docker command: %s", e, said)
	case strings.Contains(said, "permission denied"):
		return fault.Newf(fault.EngineUnavailable, "on that host, "+groupRemedy, "no access to the Docker engine at %s: %s", e, said)
	}
	return fault.Newf(fault.EngineUnavailable, "start Docker on that host; try it by hand: "+a.byHand(),
		"no Docker engine at %s: %s", e, said)
}

// lastLine is where ssh says why it gave up: banners and warnings come before.
func lastLine(result command.Result) string {
	lines := strings.Split(strings.TrimSpace(string(result.Stderr)), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		return last
	}
	return result.FirstLine()
}

// SetDeadline, LocalAddr and RemoteAddr make it a net.Conn.
func (c *sshConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *sshConn) LocalAddr() net.Addr  { return sshAddr("local") }
func (c *sshConn) RemoteAddr() net.Addr { return sshAddr(c.link.address.String()) }

type sshAddr string

func (sshAddr) Network() string  { return "ssh" }
func (a sshAddr) String() string { return string(a) }
