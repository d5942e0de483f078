package state

import (
	"context"
	"errors"
	"io"
	"net"

	"homelab/internal/mirror"
	"homelab/internal/swap"
)

// InPlace is a target that is extracted where it is swapped from.
type InPlace struct{ *swap.Target }

func (InPlace) Work() string                          { return "" }
func (InPlace) Deliver(context.Context, string) error { return nil }

// Fill is part of [Target].
func (t InPlace) Fill(ctx context.Context, id string) (io.ReadWriteCloser, error) {
	root, name, err := t.Staged(id)
	if err != nil {
		return nil, err
	}
	mine, theirs := net.Pipe()
	sink, err := mirror.NewSink(theirs, mirror.Place{Root: root, Name: name, Privileged: true})
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	f := &filled{Conn: mine, over: make(chan struct{})}
	go func() {
		defer close(f.over)
		err := sink.Serve(ctx)
		f.failed = errors.Join(err, sink.Sync(), sink.Close(), root.Close())
	}()
	return f, nil
}

// filled is a stream to a goroutine that fills.
type filled struct {
	net.Conn
	over   chan struct{}
	failed error // once it is over
}

// Close waits until what came is on the disk.
func (f *filled) Close() error {
	err := f.Conn.Close()
	<-f.over
	return errors.Join(err, f.failed)
}
