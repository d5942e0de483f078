package sftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/pkg/sftp"

	"homelab/internal/command"
	"homelab/internal/fault"
)

const (
	connectTimeout = 10 * time.Second
	// grace is how long something that was canceled may take to tidy up.
	grace = 5 * time.Second
)

// link is a connection: an ssh command and an SFTP client that talk to each other.
type link struct {
	*sftp.Client
	pipe *command.Pipe
}

// connect starts ssh, which may ask for nothing. The connection outlives ctx.
func (s *Server) connect(ctx context.Context) (*link, error) {
	args := []string{"-T", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3",
		"-o", fmt.Sprintf("ConnectTimeout=%d", int(connectTimeout.Seconds()))}
	if s.at.User != "" {
		args = append(args, "-l", s.at.User)
	}
	if s.at.Port != "" {
		args = append(args, "-p", s.at.Port)
	}
	pipe, err := command.Start(context.WithoutCancel(ctx), command.Cmd{
		Name: "ssh", Args: append(args, "-s", "--", s.at.Host, "sftp"),
		Install: "install the OpenSSH client (on Debian: apt install openssh-client)",
	})
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = pipe.Close() })()
	client, err := sftp.NewClientPipe(pipe, input{pipe})
	l := &link{client, pipe}
	if err != nil {
		err = s.explain(ctx, l, err)
		_ = pipe.Close() // it has been said why
		return nil, err
	}
	return l, nil
}

// input is the standard input of the command: closing it ends a command that is well.
type input struct{ pipe *command.Pipe }

func (i input) Write(p []byte) (int, error) { return i.pipe.Write(p) }
func (i input) Close() error                { return i.pipe.CloseWrite() }

func (l *link) alive() bool {
	select {
	case <-l.pipe.Done():
		return false
	default:
		return true
	}
}

func (l *link) close() {
	_ = l.pipe.Close()   // what was to be kept is known to be
	_ = l.Client.Close() // waits for its goroutine
}

// guard cuts the connection when ctx is done and release is not called soon after.
func (l *link) guard(ctx context.Context) (release func()) {
	released := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-released:
		case <-time.After(grace):
			_ = l.pipe.Close()
		}
	})
	return func() {
		close(released)
		stop()
	}
}

func (s *Server) taken(name string) error {
	return fault.Newf(fault.Conflict, "nothing is written over what is kept: call again for a new one", "%s has %s already", s.Name(), name)
}

// missing explains why a file could not be had.
func (s *Server) missing(ctx context.Context, l *link, name string, err error) error {
	if errors.Is(err, io.EOF) || !isMissing(err) {
		return s.explain(ctx, l, err)
	}
	return fault.Newf(fault.NotFound, "see what is there with state_list", "%s has no %s", s.Name(), name)
}

// isFull asks whether the disk is full: SFTP tells only that something failed.
func (s *Server) isFull(l *link, err error) bool {
	var status *sftp.StatusError
	if !errors.As(err, &status) {
		return false
	}
	disk, err := l.StatVFS(s.at.Path)
	return err == nil && disk.Bavail*disk.Frsize < 1<<20
}

func (s *Server) explain(ctx context.Context, l *link, err error) error {
	var known *fault.Error
	var status *sftp.StatusError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &known), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case isMissing(err):
		return fault.Newf(fault.Precondition, "mount what belongs there, or make the folder", "there is no %s: %w", s.Name(), err)
	case isDenied(err):
		return fault.Newf(fault.Denied, "give that user the right to write there", "%s cannot be used: %w", s.Name(), err)
	case errors.As(err, &status):
		return fault.Newf(fault.Precondition, "check the disk of that host and the permissions there", "%s cannot be used: %w", s.Name(), err)
	}
	return s.lost(l, err)
}

// lost explains the end of a connection by what ssh said.
func (s *Server) lost(l *link, err error) error {
	select {
	case <-l.pipe.Done():
	case <-time.After(grace):
		_ = l.pipe.Close()
		return fault.Newf(fault.HostUnreachable, s.byHand(), "%s does not speak SFTP: %w", s.Name(), err)
	}
	result := l.pipe.Wait()
	said := lastLine(result)
	switch {
	case strings.Contains(said, "Permission denied"), strings.Contains(said, "Too many authentication failures"):
		return fault.Newf(fault.Denied, "give the user of homelab a key that is taken there; "+s.byHand(), "ssh is not let in by %s: %s", s.Name(), said)
	case strings.Contains(said, "Host key verification failed"):
		return fault.Newf(fault.Denied, "compare the key of the host with what it should be, then "+s.byHand(), "ssh does not trust the host of %s: %s", s.Name(), said)
	case strings.Contains(said, "subsystem request failed"):
		return fault.Newf(fault.Precondition, "switch on SFTP on that host", "%s has no SFTP: %s", s.Name(), said)
	}
	return fault.Newf(fault.HostUnreachable, s.byHand(), "the connection to %s is lost: %s", s.Name(), said)
}

func (s *Server) byHand() string {
	host := s.at.Host
	if s.at.User != "" {
		host = s.at.User + "@" + host
	}
	if s.at.Port != "" {
		host = "-P " + s.at.Port + " " + host
	}
	return "try it by hand: sftp " + host
}

// lastLine is where ssh says why it gave up: banners and warnings come before.
func lastLine(result command.Result) string {
	lines := strings.Split(strings.TrimSpace(string(result.Stderr)), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		return last
	}
	return result.FirstLine()
}

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
func isDenied(err error) bool  { return errors.Is(err, fs.ErrPermission) }
