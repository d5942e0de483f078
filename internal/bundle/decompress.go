package bundle

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// decompressor reads what a compressor wrote, and nothing else: each frame says
// how much is in it, no more than a compressor puts there, and has a checksum.
// So what is in a bundle cannot make it take more memory.
type decompressor struct {
	decoder *zstd.Decoder
	free    chan *frame
	pending chan chan *frame
	stop    chan struct{}

	current *frame
	rest    []byte // of it, not read yet
	err     error
}

func newDecompressor(in io.Reader) (*decompressor, error) {
	decoder, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(workers()),
		zstd.WithDecoderMaxWindow(frameSize), zstd.WithDecoderMaxMemory(frameSize))
	if err != nil {
		return nil, err
	}
	d := &decompressor{
		decoder: decoder, free: make(chan *frame, workers()+1), pending: make(chan chan *frame, workers()+1),
		stop: make(chan struct{}), current: &frame{},
	}
	for range workers() {
		d.free <- &frame{}
	}
	go d.split(bufio.NewReaderSize(in, bufferSize))
	return d, nil
}

// split reads frame by frame. The last one only has an error.
func (d *decompressor) split(in *bufio.Reader) {
	defer close(d.pending)
	for {
		var f *frame
		select {
		case <-d.stop:
			return
		case f = <-d.free:
		}
		result := make(chan *frame, 1)
		d.pending <- result // never waits: it has room for every frame
		if f.packed, f.err = readFrame(in, f.packed[:0]); f.err != nil {
			result <- f
			return
		}
		go func() {
			f.plain, f.err = d.decoder.DecodeAll(f.packed, f.plain[:0])
			result <- f
		}()
	}
}

func (d *decompressor) Read(p []byte) (int, error) {
	for len(d.rest) == 0 && d.err == nil {
		d.free <- d.current
		d.current = <-<-d.pending
		if d.rest, d.err = d.current.plain, d.current.err; d.err != nil {
			d.rest = nil
		}
	}
	if len(d.rest) == 0 {
		return 0, d.err
	}
	n := copy(p, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

// Close waits for a read that is under way, and for frames that are being
// decompressed.
func (d *decompressor) Close() {
	close(d.stop)
	for result := range d.pending {
		<-result
	}
	d.decoder.Close()
}

var errFrame = errors.New("it is not compressed as homelab does it")

// readFrame appends the next frame to packed: RFC 8878, 3.1.1.
func readFrame(in *bufio.Reader, packed []byte) ([]byte, error) {
	head, err := in.Peek(zstd.HeaderMaxSize)
	if len(head) == 0 || err != nil && err != io.EOF {
		return packed, err
	}
	var h zstd.Header
	if err := h.Decode(head); err != nil {
		return packed, fmt.Errorf("%w: %w", errFrame, err)
	}
	if h.Skippable || !h.HasFCS || h.FrameContentSize > frameSize || !h.HasCheckSum || h.DictionaryID != 0 {
		return packed, errFrame
	}
	if packed, err = more(in, packed, h.HeaderSize); err != nil {
		return packed, err
	}
	for last := false; !last; {
		if packed, err = more(in, packed, 3); err != nil {
			return packed, err
		}
		block := binary.LittleEndian.Uint32(append(packed[len(packed)-3:len(packed):len(packed)], 0))
		size := int(block >> 3)
		if block>>1&3 == 1 { // one byte, repeated
			size = 1
		}
		last = block&1 == 1
		if size > 128<<10 || len(packed) > 2*frameSize {
			return packed, errFrame
		}
		if packed, err = more(in, packed, size); err != nil {
			return packed, err
		}
	}
	return more(in, packed, 4) // the checksum
}

// more appends the next n bytes.
func more(in io.Reader, to []byte, n int) ([]byte, error) {
	at := len(to)
	to = append(to, make([]byte, n)...)
	_, err := io.ReadFull(in, to[at:])
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return to, err
}
