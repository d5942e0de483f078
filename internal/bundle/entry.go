package bundle

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
)

// entry is an entry that is read.
type entry struct {
	*header
	raw  []byte
	fill fill // nil: it is verified only

	line []byte // of the index
	err  error
	done chan struct{} // closed when these two are there
}

// queue has the entries that are worked on, in their order. Small files are read, and
// then hashed and made beside each other.
type queue struct {
	working []*entry
	free    chan []byte // a buffer for each that may be
}

// take reads an entry.
func (r *Reader) take(ctx context.Context, e *entry) error {
	e.done = make(chan struct{})
	r.queue.working = append(r.queue.working, e)
	content := &content{ctx: ctx, r: r, left: e.stored()}
	if size := e.stored(); size > 0 && size <= bufferSize {
		data := r.buffer()
		_, err := io.ReadFull(content, data[:size])
		if err == nil {
			err = content.finish(e.header)
		}
		if err != nil {
			e.end(nil, err)
			r.queue.free <- data
			return err
		}
		go e.make(data, r.queue.free)
		return r.collect(len(r.queue.working) - cap(r.queue.free))
	}
	content.sum = sha256.New()
	defer content.wait()
	var err error
	if e.fill != nil {
		err = e.fill(content.next)
	}
	if err == nil {
		err = content.finish(e.header)
	}
	content.wait()
	e.end(content.sum.Sum(nil), err)
	return err
}

// buffer waits for one.
func (r *Reader) buffer() []byte {
	if r.queue.free == nil {
		n := 2 * workers()
		r.queue.free = make(chan []byte, n)
		for range n {
			r.queue.free <- make([]byte, bufferSize)
		}
	}
	return <-r.queue.free
}

// make hashes a file that was read, and makes it.
func (e *entry) make(buffer []byte, free chan<- []byte) {
	data := buffer[:e.stored()]
	sum := sumOf(data)
	var err error
	if e.fill != nil {
		err = e.fill(func(most int64) ([]byte, error) {
			part := data[:most]
			data = data[most:]
			return part, nil
		})
	}
	free <- buffer
	e.end(sum, err)
}

func (e *entry) end(content sum, err error) {
	if e.err = err; err == nil {
		e.line = newRecord(e.header, e.raw, content)
	}
	close(e.done)
}

// collect waits for the first so many, and notes what they are.
func (r *Reader) collect(n int) error {
	for ; n > 0; n-- {
		e := r.queue.working[0]
		<-e.done
		if e.err != nil {
			return e.err
		}
		r.queue.working = r.queue.working[1:]
		r.index.add(e.line)
		r.found.add(totalsOf(e.header))
	}
	return nil
}

// settle waits for all, and returns what failed first.
func (r *Reader) settle() error {
	err := r.collect(len(r.queue.working))
	for _, e := range r.queue.working {
		<-e.done
	}
	return err
}

// content is what is stored of a file.
type content struct {
	ctx  context.Context
	r    *Reader
	left int64
	sum  hash.Hash     // of what was read; nil: nobody asks
	busy chan struct{} // while it is worked on; may be nil
}

// Read hashes what it reads while the caller uses it: it is not to be changed before the
// next Read.
func (c *content) Read(p []byte) (int, error) {
	c.wait()
	if c.left == 0 {
		return 0, io.EOF
	}
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.tar.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	if c.sum != nil && n > 0 {
		busy := make(chan struct{})
		go func() {
			c.sum.Write(p[:n])
			close(busy)
		}()
		c.busy = busy
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && n == 0 {
		return 0, unreadable(err, fmt.Sprintf("in %.300q", c.r.last))
	}
	return n, nil
}

// next is for whoever makes the file.
func (c *content) next(most int64) ([]byte, error) {
	part := c.r.buf[:min(most, int64(len(c.r.buf)))]
	_, err := io.ReadFull(c, part)
	return part, err
}

func (c *content) wait() {
	if c.busy != nil {
		<-c.busy
		c.busy = nil
	}
}

// finish reads what nobody wanted, and the rest of the last block.
func (c *content) finish(h *header) error {
	for c.left > 0 {
		if _, err := c.Read(c.r.buf); err != nil {
			return err
		}
	}
	c.wait()
	rest := c.r.buf[:padding(h.stored())]
	if _, err := io.ReadFull(c.r.tar, rest); err != nil {
		return unreadable(err, fmt.Sprintf("in %.300q", h.path))
	}
	if !isZero(rest) {
		return corrupt("there is something behind the end of %.300q", h.path)
	}
	return nil
}
