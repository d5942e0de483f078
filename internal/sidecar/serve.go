// Package sidecar is what runs beside a service, in a container of ours on its host,
// and reads, writes or swaps its state there.
package sidecar

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"

	"homelab/internal/fault"
	"homelab/internal/mirror"
)

// Item is where the container has what is read or written: a folder or a file.
const Item = "/item"

// Order is what a sidecar is to do.
type Order struct {
	// Write has it fill a folder that is empty; else it reads.
	Write bool `json:"write,omitempty"`
	// Privileged keeps setuid and setgid of files that it writes, and their capabilities.
	Privileged bool     `json:"privileged,omitempty"`
	Exclude    []string `json:"exclude,omitempty"` // what is not read

	// Swap has it answer what a [swap.Target] is asked for: see [Call].
	Swap bool `json:"swap,omitempty"`
	// Staged has it fill what was staged of a target by that id.
	Staged string `json:"staged,omitempty"`
	// Name is what the target has in [Item], or is to have; empty: it is Item itself.
	Name  string `json:"name,omitempty"`
	Shown string `json:"shown,omitempty"` // the path of the target on the host
}

// Args are the arguments of the program.
func (o Order) Args() ([]string, error) {
	text, err := json.Marshal(o)
	return []string{string(text)}, err
}

// Run does what the arguments say, with what the container has.
func Run(ctx context.Context, args []string, stream io.ReadWriteCloser) error {
	const usage = "homelab starts it in containers; it is of no use by hand"
	var o Order
	if len(args) != 1 {
		return fault.New(fault.InvalidArgument, "one argument is needed: an order", usage)
	}
	if err := json.Unmarshal([]byte(args[0]), &o); err != nil {
		return fault.Newf(fault.InvalidArgument, usage, "%.100q is no order: %w", args[0], err)
	}
	return o.Serve(ctx, stream, Item)
}

// Serve does it with a folder, or a file that is read: it serves a [mirror.Source], a
// [mirror.Sink] or a [swap.Target] until the other end closes the stream.
func (o Order) Serve(ctx context.Context, stream io.ReadWriteCloser, path string) error {
	if o.Swap {
		return o.answer(ctx, stream, path)
	}
	serve := o.read
	if o.Write {
		serve = o.fill
	}
	root, name, err := o.open(path)
	if err != nil {
		return errors.Join(err, stream.Close())
	}
	err = serve(ctx, stream, root, name)
	return errors.Join(err, root.Close())
}

// open opens what is read or filled.
func (o Order) open(path string) (root *os.Root, name string, err error) {
	if o.Staged != "" {
		t, err := o.target(path)
		if err != nil {
			return nil, "", err
		}
		root, name, err = t.Staged(o.Staged)
		return root, name, errors.Join(err, t.Close())
	}
	// Of a folder itself: what it is in may be on another disk, and that one is synced.
	folder, name := path, "."
	if info, err := os.Stat(path); err == nil && !o.Write && !info.IsDir() {
		folder, name = filepath.Dir(path), filepath.Base(path)
	}
	root, err = os.OpenRoot(folder)
	return root, name, err
}

func (o Order) read(ctx context.Context, stream io.ReadWriteCloser, root *os.Root, name string) error {
	source, err := mirror.NewSource(stream, mirror.Tree{Root: root, Name: name, Exclude: o.Exclude})
	if err != nil {
		return errors.Join(err, stream.Close())
	}
	err = source.Serve(ctx)
	return errors.Join(err, source.Close())
}

// fill waits until what came is on the disk.
func (o Order) fill(ctx context.Context, stream io.ReadWriteCloser, root *os.Root, name string) error {
	sink, err := mirror.NewSink(stream, mirror.Place{Root: root, Name: name, Privileged: o.Privileged})
	if err != nil {
		return errors.Join(err, stream.Close())
	}
	err = sink.Serve(ctx)
	return errors.Join(err, sink.Sync(), sink.Close())
}
