package state

import (
	"context"
	"io"
)

// Content is what [Files.Put] reads, for those who implement it: it ends when ctx
// does, and remembers its own failure, which is not one of the store.
type Content struct {
	Size int64 // what was read so far
	Err  error // what it failed with

	ctx context.Context
	in  io.Reader
}

func NewContent(ctx context.Context, in io.Reader) *Content { return &Content{ctx: ctx, in: in} }

func (c *Content) Read(p []byte) (n int, err error) {
	if err = c.ctx.Err(); err == nil {
		n, err = c.in.Read(p)
	}
	c.Size += int64(n)
	if err != nil && err != io.EOF {
		c.Err = err
	}
	return n, err
}
