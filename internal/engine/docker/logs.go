package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"homelab/internal/deploy"
)

// Logs is part of [deploy.Containers]. It reads containers of ours alone: others
// may have a terminal, whose output comes in another form.
func (e *Engine) Logs(ctx context.Context, id string, t deploy.Tail, w io.Writer) error {
	c, err := e.inspectOwn(ctx, "docker logs", id)
	if err != nil {
		return err
	}
	return e.logs(ctx, c, t, w)
}

func (e *Engine) logs(ctx context.Context, c *container.InspectResponse, t deploy.Tail, w io.Writer) error {
	options := container.LogsOptions{ShowStdout: true, ShowStderr: true, Tail: fmt.Sprint(max(t.Lines, 0)), Timestamps: t.Timestamps}
	if !t.Since.IsZero() {
		options.Since = t.Since.Format(time.RFC3339Nano)
	}
	answer, err := e.api.ContainerLogs(ctx, c.ID, options)
	if err != nil {
		return e.explain(ctx, "docker logs", err)
	}
	defer answer.Close()
	p := &printed{to: w, stamped: t.Timestamps}
	err = p.copy(answer, secretsOf(c.Config))
	if err == nil || p.failed != nil {
		return p.failed
	}
	return e.host.Explain(ctx, err)
}

// printed is what a container prints: lines of two streams, whole and in order.
type printed struct {
	to      io.Writer
	stamped bool
	last    *stream // whose line was not ended
	failed  error   // why the writer takes no more
}

// copy reads both streams to their end.
func (p *printed) copy(from io.Reader, secrets [][]byte) error {
	out, errs := p.stream(secrets), p.stream(secrets)
	if _, err := stdcopy.StdCopy(out, errs, from); err != nil {
		return err
	}
	return errors.Join(out.end(), errs.end())
}

// maxLine is how many bytes of a line are waited for before it is passed on in pieces.
const maxLine = 64 << 10

// stream is one of the two. Each Write is one message of the log, which is a line or
// a piece of a long one, with its time in front when times were asked for.
type stream struct {
	*printed
	veil veil
	line bytes.Buffer // the one that is not over, or what is left of it
	time []byte       // of its first message
	// begun means that a piece of the line was passed on.
	begun bool
}

func (p *printed) stream(secrets [][]byte) *stream {
	s := &stream{printed: p}
	s.veil = veil{to: &s.line, secrets: secrets}
	return s
}

func (s *stream) Write(message []byte) (int, error) {
	text := message
	if s.stamped {
		var stamp []byte
		stamp, text, _ = bytes.Cut(message, []byte(" "))
		if !s.begun && s.line.Len() == 0 && len(s.veil.rest) == 0 {
			s.time = append(bytes.Clone(stamp), ' ')
		}
	}
	if _, err := s.veil.Write(text); err != nil {
		return 0, err
	}
	for at := bytes.IndexByte(s.line.Bytes(), '\n'); at >= 0; at = bytes.IndexByte(s.line.Bytes(), '\n') {
		if err := s.pass(at + 1); err != nil {
			return 0, err
		}
	}
	if s.line.Len() > maxLine {
		return len(message), s.pass(s.line.Len())
	}
	return len(message), nil
}

// end passes on a last line that has no end.
func (s *stream) end() error {
	if err := s.veil.flush(); err != nil || s.line.Len() == 0 {
		return err
	}
	return s.pass(s.line.Len())
}

// pass passes on the first bytes of the line.
func (s *stream) pass(n int) error {
	var out []byte
	if s.last != nil && s.last != s {
		out = append(out, '\n')
	}
	if !s.begun {
		out = append(out, s.time...)
	}
	out = append(out, s.line.Next(n)...)
	s.last, s.begun = s, true
	if bytes.HasSuffix(out, []byte("\n")) {
		s.last, s.begun = nil, false
	}
	_, err := s.to.Write(out)
	s.failed = errors.Join(s.failed, err)
	return err
}
