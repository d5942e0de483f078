package mirror

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"homelab/internal/fault"
	"homelab/internal/hint"
)

// Tree is what is copied.
type Tree struct {
	Root    *os.Root
	Name    string   // of a folder or file in Root; empty or ".": Root itself
	Exclude []string // what of it is left out, spelled like hints
}

// Source reads a tree and sends it.
type Source struct {
	conn    io.ReadWriteCloser
	in      frameReader
	out     frameWriter
	meter   meter
	trust   trust
	name    string
	parent  *os.File  // the folder that the tree is in
	without *hint.Set // nil: nothing
	what    string    // the tree is, with what is left out
	top     *node     // what the sink has; nil: nothing yet
	told    []byte    // of what an earlier source remembered
	failed  error
}

// NewSource begins a copy. The stream is the source's from then on: a pass that
// fails closes it.
func NewSource(conn io.ReadWriteCloser, t Tree) (*Source, error) {
	s := &Source{conn: conn, name: cmp.Or(t.Name, "."), trust: trust{clock: clock}}
	s.what = strings.Join(append([]string{s.name}, t.Exclude...), "\x00")
	if strings.Contains(s.name, "/") || s.name == ".." {
		return nil, fault.Newf(fault.InvalidArgument, "", "%q is not a name in %s", s.name, t.Root.Name())
	}
	if len(t.Exclude) > 0 {
		set, err := hint.Compile(t.Exclude)
		if err != nil {
			return nil, fault.Newf(fault.InvalidArgument, "correct it in the registry", "exclude: %w", err)
		}
		s.without = set
	}
	parent, err := t.Root.Open(".")
	if err != nil {
		return nil, readFailed(t.Root.Name(), err)
	}
	s.parent, s.meter.to = parent, conn
	s.in.from = bufio.NewReader(conn)
	s.out.to = bufio.NewWriterSize(&s.meter, 4*blockSize)
	return s, s.out.put(frameHello, []byte(hello))
}

// Close closes the stream. The sink keeps what it has. No pass may be under way.
func (s *Source) Close() error { return errors.Join(s.conn.Close(), s.parent.Close()) }

// Pass sends what has changed, and waits until the sink has applied it. After a
// failure the copy is of no use, and the source neither.
//
// With final, whatever changes meanwhile is a [fault.Conflict].
func (s *Source) Pass(ctx context.Context, final bool) (*Report, error) {
	return s.do(ctx, ask{Final: final})
}

func (s *Source) do(ctx context.Context, a ask) (*Report, error) {
	if s.failed != nil {
		return nil, s.failed
	}
	report, err := s.pass(ctx, a)
	s.failed = err
	return report, err
}

// Serve does what the sink asks for, until it closes the stream.
func (s *Source) Serve(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { _ = s.conn.Close() })()
	for {
		kind, payload, err := s.in.next()
		if err == io.EOF {
			return nil
		}
		if err == nil && kind == frameFailed {
			err = retell(payload)
		}
		if err == nil {
			err = s.answer(ctx, kind, payload)
		}
		if err != nil {
			return cmp.Or(ctx.Err(), err)
		}
	}
}

func (s *Source) pass(ctx context.Context, a ask) (*Report, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Whoever cancels, and a sink that fails, ends a write that waits.
	defer context.AfterFunc(ctx, func() { _ = s.conn.Close() })()
	answer := make(chan error, 1)
	var got applied
	go func() {
		err := cut(s.in.hear(frameApplied, &got))
		if err != nil {
			cancel(err)
		}
		answer <- err
	}()
	begun, sent, busy := time.Now(), s.out.sent, s.meter.busy
	p := &pass{Source: s, final: a.Final, placed: map[inode]placed{}}
	p.ctx, p.stop = context.WithCancel(ctx)
	defer p.stop()
	p.report = Report{Final: a.Final, Noted: []Skipped{}}
	if p.asked = a.Clones; p.asked {
		p.prepare()
	}
	err := p.run()
	if err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		p.report.Seconds = time.Since(begun).Seconds()
		p.report.Sent = s.out.sent - sent
		p.report.Send = (s.meter.busy - busy).Seconds()
		err = s.out.say(frameDone, &p.report)
	} else if ctx.Err() == nil {
		_ = s.out.say(frameFailed, tellable(err)) // this failure says more than one of telling it
	}
	stopped := context.Cause(ctx) // who canceled, or what the sink said
	if err != nil {
		_ = s.conn.Close() // the failure says more
	}
	waited := time.Now()
	theirs := <-answer
	if err = cmp.Or(stopped, err, theirs); err != nil {
		return nil, err
	}
	p.report.Stripped, p.report.Unowned = got.Stripped, got.Unowned
	p.report.Send += time.Since(waited).Seconds()
	p.report.Seconds = time.Since(begun).Seconds()
	return &p.report, nil
}

// meter is what the stream is written through.
type meter struct {
	to   io.Writer
	busy time.Duration
}

func (m *meter) Write(data []byte) (int, error) {
	begun := time.Now()
	n, err := m.to.Write(data)
	m.busy += time.Since(begun)
	return n, err
}
