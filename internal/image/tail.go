package image

import (
	"bytes"
	"io"
	"strconv"
)

// tail remembers the end of what was read. To archive/tar, and to an engine, an
// archive that is cut between two entries is complete; only the two blocks of
// zeros that end it tell.
type tail struct {
	source io.Reader
	count  int64
	last   [2 * blockSize]byte
}

func (t *tail) Read(p []byte) (int, error) {
	n, err := t.source.Read(p)
	t.count += int64(n)
	if n >= len(t.last) {
		copy(t.last[:], p[n-len(t.last):n])
	} else if n > 0 {
		copy(t.last[:], t.last[n:])
		copy(t.last[len(t.last)-n:], p[:n])
	}
	return n, err
}

// end checks that the archive was ended, and reads the padding behind it: what
// the archive is compressed with has a checksum at its end.
func (t *tail) end(buffer []byte) error {
	zeros := make([]byte, len(buffer))
	if t.count < int64(len(t.last)) || !bytes.Equal(t.last[:], zeros[:len(t.last)]) {
		return broken("the archive is cut short")
	}
	for {
		at := t.count
		n, err := t.Read(buffer)
		if !bytes.Equal(buffer[:n], zeros[:n]) {
			return broken("there is something behind the end of the archive, at byte %d", at)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return unreadable(err)
		}
	}
}

// isTar says whether a block can be the first of a tar: it has the magic of
// ustar, or the checksum that every tar has.
func isTar(block []byte) bool {
	if len(block) < blockSize {
		return false
	}
	if bytes.HasPrefix(block[257:], []byte("ustar")) {
		return true
	}
	const from, to = 148, 156 // the checksum, which counts as spaces
	field := bytes.Trim(block[from:to], " \x00")
	want, err := strconv.ParseInt(string(field), 8, 64)
	if err != nil {
		return false
	}
	sum := int64(to-from) * ' '
	for i, b := range block {
		if i < from || i >= to {
			sum += int64(b)
		}
	}
	return sum == want
}
