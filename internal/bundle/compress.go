package bundle

import (
	"io"
	"runtime"

	"github.com/klauspost/compress/zstd"
)

// frameSize is how much is compressed at a time. Frames know nothing of each
// other, so that all processors work.
const frameSize = 2 << 20

// compressor writes zstd frames, in the order of what is written to it.
type compressor struct {
	encoder *zstd.Encoder
	free    chan *frame      // it bounds how many are on their way
	pending chan chan *frame // in order
	current *frame
	done    chan error // of the goroutine that writes
	failed  chan struct{}
}

type frame struct {
	plain, packed []byte
	err           error // of decompressing
}

// workers is how many frames are worked on at once.
func workers() int { return min(runtime.GOMAXPROCS(0), 8) }

func newCompressor(out io.Writer, level int) (*compressor, error) {
	encoder, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)),
		zstd.WithEncoderConcurrency(workers()))
	if err != nil {
		return nil, err
	}
	c := &compressor{
		encoder: encoder, free: make(chan *frame, workers()+1), pending: make(chan chan *frame, workers()+1),
		current: &frame{}, done: make(chan error, 1), failed: make(chan struct{}),
	}
	for range workers() {
		c.free <- &frame{}
	}
	go c.deliver(out)
	return c, nil
}

// deliver writes frames as they are due. After an error it drops them.
func (c *compressor) deliver(out io.Writer) {
	var err error
	for next := range c.pending {
		f := <-next
		if err == nil {
			if _, err = out.Write(f.packed); err != nil {
				close(c.failed)
			}
		}
		c.free <- f
	}
	c.done <- err
}

// Write keeps a copy. When what it kept before could not be written it takes no
// more; Close tells why.
func (c *compressor) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), frameSize-len(c.current.plain))
		c.current.plain = append(c.current.plain, rest[:n]...)
		if rest = rest[n:]; len(c.current.plain) == frameSize {
			c.flush()
		}
	}
	select {
	case <-c.failed:
		return 0, io.ErrClosedPipe
	default:
		return len(p), nil
	}
}

func (c *compressor) flush() {
	result, f := make(chan *frame, 1), c.current
	c.pending <- result
	go func() {
		f.packed = c.encoder.EncodeAll(f.plain, f.packed[:0])
		result <- f
	}()
	c.current = <-c.free
	c.current.plain = c.current.plain[:0]
}

// Close compresses the rest, waits until all is written, and returns why it
// could not be.
func (c *compressor) Close() error {
	if len(c.current.plain) > 0 {
		c.flush()
	}
	close(c.pending)
	return <-c.done
}
