package mirror

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"

	"homelab/internal/fault"
	"homelab/internal/tree"
)

// hello begins what a source sends.
const hello = "homelab-mirror 3"

// frame is a type of message. Those of a source act on the folder that was
// entered last; a name is one of an entry of that folder.
type frame byte

const (
	frameHello    frame = 1 + iota
	frameEnter          // name: a folder that is there
	frameFolder         // name: a new folder, and enters it
	frameLeave          // head: gives the folder what it has, and goes back to the one before
	frameRemove         // name: with everything below it
	frameSymlink        // name, head, target
	frameLink           // name, path of a file: another name of it
	frameCreate         // name: a new file, which the next three are about
	frameOpen           // name: a file that is there
	frameData           // offset, bytes
	frameHole           // offset, length
	frameClose          // size, head: ends the file
	frameDone           // report: ends the pass
	frameFailed         // failure, of either end
	frameAsk            // from the sink: for a pass
	frameApplied        // from the sink: has applied the pass
	frameRecall         // from the sink: a part of what an earlier source remembered; empty: that was all
	frameRecalled       // whether it holds
	frameRemember       // from the sink: for what the source remembers
	frameMemory         // a part of it; empty: that was all
	frameHeld           // begins a last pass that needs nothing of the tree any more
)

// maxFrame bounds what is read before it is looked at.
const maxFrame = maxRecords + 64<<10

// head is what an entry has besides its content.
type head struct {
	mode, uid, gid uint32
	sec, nsec      int64 // when it was changed last
	xattrs         []tree.Xattr
}

func (h *head) encode() []byte {
	to := make([]byte, 0, 64)
	for _, n := range []uint32{h.mode, h.uid, h.gid, uint32(h.nsec)} {
		to = binary.BigEndian.AppendUint32(to, n)
	}
	to = binary.BigEndian.AppendUint64(to, uint64(h.sec))
	to = binary.BigEndian.AppendUint32(to, uint32(len(h.xattrs)))
	for _, x := range h.xattrs {
		to = appendText(appendText(to, x.Name), x.Value)
	}
	return to
}

func appendText[T string | []byte](to []byte, text T) []byte {
	return append(binary.BigEndian.AppendUint32(to, uint32(len(text))), text...)
}

func appendInt(to []byte, n int64) []byte { return binary.BigEndian.AppendUint64(to, uint64(n)) }

// fields takes a payload apart. What does not fit leaves it bad.
type fields struct {
	rest []byte
	bad  bool
}

func (f *fields) take(n int) []byte {
	if n < 0 || n > len(f.rest) {
		f.bad, f.rest = true, nil
		return nil
	}
	taken := f.rest[:n]
	f.rest = f.rest[n:]
	return taken
}

func (f *fields) uint32() uint32 {
	if b := f.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (f *fields) int64() int64 {
	if b := f.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (f *fields) text() string { return string(f.take(int(f.uint32()))) }

func (f *fields) head() *head {
	h := &head{mode: f.uint32(), uid: f.uint32(), gid: f.uint32(), nsec: int64(f.uint32()), sec: f.int64()}
	for range f.uint32() {
		x := tree.Xattr{Name: f.text(), Value: f.text()}
		if f.bad {
			break
		}
		if last := len(h.xattrs) - 1; !tree.IsCaptured(x.Name) || last >= 0 && x.Name <= h.xattrs[last].Name {
			f.bad = true
		}
		h.xattrs = append(h.xattrs, x)
	}
	f.bad = f.bad || h.mode > 0o7777 || h.nsec >= 1e9
	return h
}

// done refuses what is missing, and what is too much.
func (f *fields) done() error {
	if f.bad || len(f.rest) > 0 {
		return garbled("a message of it cannot be understood")
	}
	return nil
}

// frameWriter writes messages.
type frameWriter struct {
	to   *bufio.Writer
	sent int64
}

func (w *frameWriter) put(kind frame, parts ...[]byte) error {
	var length int
	for _, part := range parts {
		length += len(part)
	}
	var start [5]byte
	start[0] = byte(kind)
	binary.BigEndian.PutUint32(start[1:], uint32(length))
	w.sent += int64(len(start) + length)
	_, err := w.to.Write(start[:])
	for _, part := range parts {
		if err == nil {
			_, err = w.to.Write(part)
		}
	}
	return cut(err)
}

// say writes a message of its own and sends all that was written.
func (w *frameWriter) say(kind frame, content any) error {
	text, err := json.Marshal(content)
	if err == nil {
		err = w.put(kind, text)
	}
	if err == nil {
		err = cut(w.to.Flush())
	}
	return err
}

// frameReader reads messages.
type frameReader struct {
	from *bufio.Reader
	buf  []byte
}

// next reads a message. Its payload is good until the next one. The error is
// io.EOF where none begins.
func (r *frameReader) next() (frame, []byte, error) {
	var start [5]byte
	if _, err := io.ReadFull(r.from, start[:]); err != nil {
		if err == io.EOF {
			return 0, nil, err
		}
		return 0, nil, cut(err)
	}
	length := binary.BigEndian.Uint32(start[1:])
	if length > maxFrame {
		return 0, nil, garbled("a message of it has %d bytes", length)
	}
	if int(length) > len(r.buf) {
		r.buf = make([]byte, max(int(length), blockSize+64))
	}
	payload := r.buf[:length]
	if _, err := io.ReadFull(r.from, payload); err != nil {
		return 0, nil, cut(err)
	}
	return frame(start[0]), payload, nil
}

// hear decodes a message of the other end that must be of one type; it may be a
// failure instead. The error is io.EOF where none begins.
func (r *frameReader) hear(kind frame, into any) error {
	got, payload, err := r.next()
	switch {
	case err != nil:
		return err
	case got == frameFailed:
		return retell(payload)
	case got != kind || json.Unmarshal(payload, into) != nil:
		return garbled("a message of it, of type %d, is not expected", got)
	}
	return nil
}

// retell is the failure that the other end told.
func retell(payload []byte) error {
	var t told
	if json.Unmarshal(payload, &t) != nil {
		return garbled("a failure of it cannot be understood")
	}
	return fault.New(t.Code, t.Message, t.Hint)
}

func tellable(err error) told {
	f := fault.Of(err)
	return told{f.Code, f.Message, f.Hint}
}

// cut is a stream that ended too early.
func cut(err error) error {
	var known *fault.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fault.New(fault.HostUnreachable, "the stream between tree and copy was cut", cutHint)
	}
	return fault.Newf(fault.HostUnreachable, cutHint, "the stream between tree and copy was cut: %w", err)
}
