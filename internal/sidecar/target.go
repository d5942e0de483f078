package sidecar

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"

	"homelab/internal/fault"
	"homelab/internal/swap"
)

// Request is one thing that a target is asked for, by the name of the method of
// [swap.Target] that does it.
type Request struct {
	Do   string `json:"do"`
	ID   string `json:"id,omitempty"`
	Most int64  `json:"most,omitempty"` // of look and measure
	// Without is what is not measured.
	Without []string `json:"without,omitempty"`
}

// What a target can be asked for.
const (
	Look    = "look"
	Measure = "measure"
	Stage   = "stage"
	Swap    = "swap"
	Back    = "back"
	Discard = "discard"
	Commit  = "commit"
)

// Answer is what came of it.
type Answer struct {
	Name   string      `json:"name,omitempty"`  // of stage
	Found  *swap.Found `json:"found,omitempty"` // of look
	Amount swap.Amount `json:"amount,omitzero"` // of measure
	Failed *told       `json:"failed,omitempty"`
}

// told is a failure that the other end is told of.
type told struct {
	Code    fault.Code `json:"code"`
	Message string     `json:"message"`
	Hint    string     `json:"hint"`
}

func failure(err error) *told {
	if err == nil {
		return nil
	}
	f := fault.Of(err)
	return &told{f.Code, f.Message, f.Hint}
}

func (t *told) err() error {
	if t == nil {
		return nil
	}
	return fault.New(t.Code, t.Message, t.Hint)
}

// maxLine bounds requests and answers, each of which is a line.
const maxLine = 16 << 20

func lines(from io.Reader) *bufio.Scanner {
	s := bufio.NewScanner(from)
	s.Buffer(nil, maxLine)
	return s
}

func say(to io.Writer, value any) error {
	line, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = to.Write(append(line, '\n'))
	return err
}

// target opens what is swapped.
func (o Order) target(path string) (t *swap.Target, err error) {
	if o.Name == "" {
		t, err = swap.OpenFolder(path)
	} else {
		t, err = swap.Open(filepath.Join(path, filepath.Base(o.Name)))
	}
	if err == nil && o.Shown != "" {
		t.Show(o.Shown)
	}
	return t, err
}

// answer does what is asked for, one thing after the other, until the other end closes
// the stream: what is being done then ends between two of its steps. The first answer
// is to no request: it tells whether there is a target.
func (o Order) answer(ctx context.Context, stream io.ReadWriteCloser, path string) error {
	t, err := o.target(path)
	if err != nil {
		return errors.Join(say(stream, Answer{Failed: failure(err)}), stream.Close())
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	requests := make(chan Request)
	go func() {
		defer close(requests)
		defer stop()
		for heard := lines(stream); heard.Scan(); {
			var r Request
			if json.Unmarshal(heard.Bytes(), &r) != nil {
				return
			}
			select {
			case requests <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	err = say(stream, Answer{})
	for r := range requests {
		if err = say(stream, r.of(ctx, t)); err != nil {
			break
		}
	}
	return errors.Join(err, t.Close(), stream.Close())
}

// of asks a target.
func (r Request) of(ctx context.Context, t *swap.Target) (a Answer) {
	var err error
	switch r.Do {
	case Look:
		a.Found, err = t.Look(ctx, r.Most)
	case Measure:
		a.Amount, err = t.Measure(ctx, r.Most, r.Without)
	case Stage:
		var root *os.Root
		if root, a.Name, err = t.Stage(ctx, r.ID); err == nil {
			err = root.Close()
		}
	case Swap:
		err = t.Swap(ctx, r.ID)
	case Back:
		err = t.Back(ctx, r.ID)
	case Discard:
		err = t.Discard(ctx, r.ID)
	case Commit:
		err = t.Commit(ctx, r.ID)
	default:
		err = fault.Newf(fault.InvalidArgument, "use the same version of homelab at both ends", "a sidecar cannot %q", r.Do)
	}
	a.Failed = failure(err)
	return a
}

// Call is a stream to a sidecar that answers. After an error that is none of the target
// itself it is of no use any more: see [Call.Broken].
type Call struct {
	stream io.ReadWriteCloser
	heard  *bufio.Scanner
	broken bool
}

// NewCall waits until the sidecar has its target. The stream is the call's from then
// on, also after an error.
func NewCall(ctx context.Context, stream io.ReadWriteCloser) (*Call, error) {
	defer context.AfterFunc(ctx, func() { _ = stream.Close() })()
	c := &Call{stream: stream, heard: lines(stream)}
	if _, err := c.hear(ctx); err != nil {
		return nil, errors.Join(err, stream.Close())
	}
	return c, nil
}

// Ask asks for something, and waits until it is done, or ctx. Then it is as if the
// sidecar had been killed: what it was doing is to be gone on with.
func (c *Call) Ask(ctx context.Context, r Request) (*Answer, error) {
	defer context.AfterFunc(ctx, func() { _ = c.stream.Close() })()
	if err := say(c.stream, r); err != nil {
		return nil, c.cut(ctx, err)
	}
	return c.hear(ctx)
}

func (c *Call) hear(ctx context.Context) (*Answer, error) {
	if !c.heard.Scan() {
		return nil, c.cut(ctx, c.heard.Err())
	}
	a := &Answer{}
	if err := json.Unmarshal(c.heard.Bytes(), a); err != nil {
		return nil, c.cut(ctx, err)
	}
	return a, a.Failed.err()
}

// cut is a call that ended too early.
func (c *Call) cut(ctx context.Context, err error) error {
	c.broken = true
	var known *fault.Error
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &known):
		return err
	case err == nil:
		err = io.ErrUnexpectedEOF
	}
	return fault.Newf(fault.HostUnreachable, "call again", "the sidecar ended in the midst: %w", err)
}

// Broken says whether nothing can be asked any more.
func (c *Call) Broken() bool { return c.broken }

// Close ends the call, and the sidecar.
func (c *Call) Close() error { return c.stream.Close() }
