package state

import (
	"context"
	"io"

	"homelab/internal/swap"
	"homelab/registry"
)

// FillableSite is a [Site] that state can be brought to.
type FillableSite interface {
	Site
	// Fill opens a stream to who fills an item, which is there and an empty folder: a
	// [mirror.Sink] that serves until the stream is closed; then all of it is on the
	// disk. With privileged, files keep setuid, setgid and capabilities. ctx lasts until
	// then. An item that is not there is [fault.NotFound], one that is not empty
	// [fault.Conflict].
	Fill(ctx context.Context, item registry.StateItem, privileged bool) (io.ReadWriteCloser, error)
	// Room looks at the folder that an item is, and tells what its disk has left.
	Room(ctx context.Context, item registry.StateItem) (*swap.Found, error)
}
