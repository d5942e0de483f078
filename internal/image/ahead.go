package image

import (
	"context"
	"io"
)

// Buffers of a read-ahead: small enough to stay in the cache of a core,
// together more than a decompressor writes at once.
const (
	aheadBuffers = 8
	aheadSize    = 256 << 10
)

// ahead reads from a source in a goroutine of its own, so that decompressing
// and hashing happen at the same time.
type ahead struct {
	full   chan chunk
	free   chan []byte
	cancel context.CancelFunc
	now    chunk
	rest   []byte // of now, not read yet
}

// chunk is what the source gave, and the error that came with it.
type chunk struct {
	data []byte
	err  error
}

// readAhead starts to read from source. Its owner must Close it: until then
// the source belongs to the goroutine.
func readAhead(ctx context.Context, source io.Reader) *ahead {
	ctx, cancel := context.WithCancel(ctx)
	a := &ahead{
		full:   make(chan chunk, aheadBuffers),
		free:   make(chan []byte, aheadBuffers),
		cancel: cancel,
	}
	for range aheadBuffers {
		a.free <- nil
	}
	go a.run(ctx, source)
	return a
}

func (a *ahead) run(ctx context.Context, source io.Reader) {
	defer close(a.full)
	for {
		select {
		case <-ctx.Done():
			a.full <- chunk{err: ctx.Err()}
			return
		case buffer := <-a.free:
			if buffer == nil {
				buffer = make([]byte, aheadSize)
			}
			n, err := fill(ctx, source, buffer[:aheadSize])
			a.full <- chunk{buffer[:n], err} // never waits: it has room for every buffer
			if err != nil {
				return
			}
		}
	}
}

// fill reads until the buffer is full. Unlike io.ReadFull it leaves the
// source's error as it is: an end within the buffer is an end.
func fill(ctx context.Context, source io.Reader, buffer []byte) (n int, err error) {
	for n < len(buffer) && err == nil {
		if err = ctx.Err(); err == nil {
			var more int
			more, err = source.Read(buffer[n:])
			n += more
		}
	}
	return n, err
}

// Read gives what the source gave.
func (a *ahead) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.now.err != nil {
			return 0, a.now.err
		}
		if a.now.data != nil {
			a.free <- a.now.data[:cap(a.now.data)]
		}
		a.now = <-a.full
		a.rest = a.now.data
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// Close ends the goroutine and waits for it.
func (a *ahead) Close() {
	a.cancel()
	for range a.full {
	}
}
