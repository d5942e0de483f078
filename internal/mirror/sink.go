package mirror

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"homelab/internal/fault"
	"homelab/internal/tree"
)

// Place is where a copy goes.
type Place struct {
	Root *os.Root
	// Name is one in Root that is not there yet. For a folder it may be ".", if
	// Root is empty.
	Name string
	// Memory is the name of a file in Root. The copy is then what an earlier sink made
	// and kept: it is brought up to date, or begun anew. Empty: the place must be free.
	Memory string
	// Privileged keeps setuid and setgid of files, and their capabilities.
	Privileged bool
}

// Sink makes a copy of what a source sends. It trusts nobody: whatever comes, it
// makes nothing outside of its place, and nothing over what it has not made.
type Sink struct {
	conn   io.ReadWriteCloser
	in     frameReader
	out    frameWriter
	place  Place
	parent *os.File
	root   bool // it may give files away
	begun  bool
	open   []opened
	file   *filling
	tally  applied // of the pass
	serves bool
	failed error
	clones bool // are asked for
	holds  bool // is about to hear that it is
}

// opened is a folder that was entered.
type opened struct {
	fd     int
	folder int // that it is in
	name   string
}

// NewSink begins a copy. The stream is the sink's from then on.
func NewSink(conn io.ReadWriteCloser, p Place) (*Sink, error) {
	s := &Sink{conn: conn, place: p, root: os.Geteuid() == 0}
	if p.Name == "" || p.Name == ".." || strings.ContainsAny(p.Name, "/\x00") {
		return nil, fault.Newf(fault.InvalidArgument, "", "%q is not a name in %s", p.Name, p.Root.Name())
	}
	parent, err := p.Root.Open(".")
	if err != nil {
		return nil, applyFailed(p.Root.Name(), err)
	}
	s.parent = parent
	s.in.from = bufio.NewReaderSize(conn, 2*blockSize)
	s.out.to = bufio.NewWriter(conn)
	return s, nil
}

// Close closes the stream, and leaves what was copied. No pass may be under way.
func (s *Sink) Close() error { return errors.Join(s.conn.Close(), s.parent.Close()) }

// Sync waits until the copy is on the disk.
func (s *Sink) Sync() error {
	if err := tree.SyncAll(int(s.parent.Fd())); err != nil {
		return applyFailed(s.place.Name, err)
	}
	return nil
}

// Pass asks the source for a pass and applies it: see [Source.Pass].
func (s *Sink) Pass(ctx context.Context, final bool) (*Report, error) {
	return s.ask(ctx, &ask{Final: final, Clones: s.clones && !final})
}

// ask asks for something, unless that is nil, and applies what comes. The report is nil
// when the pass is held.
func (s *Sink) ask(ctx context.Context, what *ask) (*Report, error) {
	if s.failed != nil {
		return nil, s.failed
	}
	defer context.AfterFunc(ctx, func() { _ = s.conn.Close() })()
	var err error
	if s.place.Memory != "" && !s.begun {
		err = s.resume()
	}
	if err == nil && what != nil {
		err = s.out.say(frameAsk, what)
	}
	var report *Report
	if err == nil {
		report, err = s.pass()
	}
	if err != nil {
		s.failed = cmp.Or(ctx.Err(), cut(err))
		_ = s.conn.Close() // the failure says more
		return nil, s.failed
	}
	if report != nil {
		report.Stripped, report.Unowned = s.tally.Stripped, s.tally.Unowned
	}
	return report, nil
}

// Serve applies the passes that the source sends, until it closes the stream. What came
// of a live pass is on the disk when it has been applied: little is left to write at the
// end.
func (s *Sink) Serve(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { _ = s.conn.Close() })()
	s.serves = true
	for {
		_, err := s.pass()
		switch {
		case err == io.EOF:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			// It goes on sending until it hears of the failure.
			_, _ = io.Copy(io.Discard, s.in.from)
			return err
		}
	}
}

// pass applies a pass, and tells the source how that went. The error is io.EOF
// when there is none.
func (s *Sink) pass() (*Report, error) {
	s.tally = applied{}
	report, err := s.apply()
	if err == nil && report == nil {
		return nil, nil
	}
	if err == nil && s.serves && !report.Final {
		err = s.Sync()
	}
	if err == nil {
		err = s.out.say(frameApplied, s.tally)
	} else if err != io.EOF {
		s.abandon()
		_ = s.out.say(frameFailed, tellable(err)) // the failure says more than one of telling it
	}
	return report, err
}

// abandon closes what is open.
func (s *Sink) abandon() {
	if s.file != nil {
		_ = unix.Close(s.file.fd)
	}
	for _, folder := range s.open {
		_ = unix.Close(folder.fd)
	}
	s.file, s.open = nil, nil
}

// apply applies messages until one ends the pass.
func (s *Sink) apply() (*Report, error) {
	for any := false; ; any = true {
		kind, payload, err := s.in.next()
		if err == io.EOF && any {
			err = cut(err)
		}
		if err != nil {
			return nil, err
		}
		if !s.begun {
			if err := s.begin(kind, payload); err != nil {
				return nil, err
			}
			continue
		}
		switch {
		case kind == frameFailed:
			return nil, retell(payload)
		case kind == frameHeld && s.holds && len(s.open) == 0 && s.file == nil:
			return nil, nil
		case kind == frameDone:
			report := &Report{}
			if len(s.open) > 0 || s.file != nil || json.Unmarshal(payload, report) != nil {
				return nil, garbled("it ends a pass in its midst")
			}
			return report, nil
		default:
			if err := s.message(kind, &fields{rest: payload}); err != nil {
				return nil, err
			}
		}
	}
}

// begin checks who speaks, and that the place is free.
func (s *Sink) begin(kind frame, payload []byte) error {
	if err := s.greet(kind, payload); err != nil {
		return err
	}
	return s.free()
}

func (s *Sink) greet(kind frame, payload []byte) error {
	if kind != frameHello || string(payload) != hello {
		return garbled("it begins with %.40q", payload)
	}
	s.begun = true
	return nil
}

func (s *Sink) free() error {
	if s.place.Name != "." {
		if _, err := tree.Stat(int(s.parent.Fd()), s.place.Name); err != unix.ENOENT {
			if err == nil {
				return fault.Newf(fault.Conflict, placeHint, "%s is there already", s.path(s.place.Name))
			}
			return applyFailed(s.path(s.place.Name), err)
		}
		return nil
	}
	names, err := s.parent.Readdirnames(1)
	if err == io.EOF {
		return nil
	}
	if err == nil {
		return fault.Newf(fault.Conflict, "copy into an empty folder", "%s is not empty: %q is in it", s.parent.Name(), names[0])
	}
	return applyFailed(s.parent.Name(), err)
}

// path is an entry of the folder that is open, for people.
func (s *Sink) path(name string) string {
	path := s.parent.Name()
	for _, folder := range s.open {
		path += "/" + folder.name
	}
	return path + "/" + name
}
