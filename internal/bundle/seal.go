package bundle

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"
)

// The compressed data ends with its own digest, in a frame that zstd skips: a
// decoder passes over some bits, and no bit may change unnoticed.
const (
	sealMagic = 0x184D2A5A
	sealSize  = 8 + sha256.Size
)

var errSeal = errors.New("it does not end with its digest")

// seal is the frame for what has been hashed.
func seal(h hash.Hash) []byte {
	frame := binary.LittleEndian.AppendUint32(nil, sealMagic)
	frame = binary.LittleEndian.AppendUint32(frame, sha256.Size)
	return h.Sum(frame)
}

// sealing hashes what it passes on.
type sealing struct {
	out io.Writer
	sum hash.Hash
}

func (s *sealing) Write(p []byte) (int, error) {
	n, err := s.out.Write(p)
	s.sum.Write(p[:n])
	return n, err
}

// counting counts what it passes on.
type counting struct {
	out io.Writer
	n   int64
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.out.Write(p)
	c.n += int64(n)
	return n, err
}

// sealed reads what is before the seal, and at the end compares it.
type sealed struct {
	in       io.Reader
	sum      hash.Hash
	buffer   []byte
	from, to int   // what of the buffer was read and not yet given
	err      error // of in
}

func newSealed(in io.Reader) *sealed {
	return &sealed{in: in, sum: sha256.New(), buffer: make([]byte, bufferSize)}
}

// Read holds back what may be the seal.
func (s *sealed) Read(p []byte) (int, error) {
	if s.to-s.from <= sealSize && s.err == nil {
		s.to, s.from = copy(s.buffer, s.buffer[s.from:s.to]), 0
		for s.to <= sealSize && s.err == nil {
			var n int
			n, s.err = s.in.Read(s.buffer[s.to:])
			s.to += n
		}
	}
	if n := copy(p, s.buffer[s.from:max(s.from, s.to-sealSize)]); n > 0 {
		s.sum.Write(p[:n])
		s.from += n
		return n, nil
	}
	if s.err == io.EOF && string(s.buffer[s.from:s.to]) != string(seal(s.sum)) {
		return 0, errSeal
	}
	return 0, s.err
}
