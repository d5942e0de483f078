// Package deploy puts what was built onto hosts, one service at a time: [Load] sends
// an image, as far as it is not there, a [Runner] switches versions and repairs what
// was broken off, [OnHost], [Logs] and [Prunable] look at what came of it. What is
// under way is in a [Journal], what was deployed in a [Ledger].
package deploy

import (
	"context"
	"io"
)

// Engine is the engine of one host, as far as images go. internal/engine/docker
// is the real one, deploytest has one in memory; both pass the suite there.
//
// Errors are faults: [fault.EngineUnavailable] and [fault.HostUnreachable] when
// there is no answer; when there is one, with [ErrRefused] among their causes, and
// [ErrNoSpace] besides when a disk is full.
type Engine interface {
	// Platform says what the engine runs and how it keeps images.
	Platform(ctx context.Context) (Platform, error)

	// Image finds the image that a name or an ID stands for; nil when there is
	// none.
	Image(ctx context.Context, ref string) (*HostImage, error)

	// Images lists all images, in no order.
	Images(ctx context.Context) ([]HostImage, error)

	// Load reads an archive to its end, and the engine's answer to its end. A
	// failure of the archive's reader comes back as it is. The engine takes an
	// archive whole or not at all, but a nil error is no proof: look for the
	// image. Names are those that the archive gives: with an archive that is not
	// taken they lead to nothing of it.
	Load(ctx context.Context, archive io.Reader, names ...string) error

	// Tag gives an image one more name, REPOSITORY:TAG. When another image had
	// it, the name moves.
	Tag(ctx context.Context, ref, name string) error

	// Untag takes a name of an image away, and the image with its last one: then it
	// is gone. What is no name of an image is no error, and changes nothing. It fails
	// with [ErrInUse], and [fault.Conflict], when a container that is there, running or
	// not, was made from that name, or uses the image and it is the last one.
	Untag(ctx context.Context, name string) (gone bool, err error)
}

// Platform is what an engine runs and how it keeps images.
type Platform struct {
	ID   string // of the engine; empty: it does not tell
	OS   string // as Go names it: linux
	Arch string // as Go names it: amd64, arm64
	// Containerd means that images are kept in the store of containerd, which
	// takes OCI layouts without the layers that it has unpacked. A graph driver
	// takes docker-archives so.
	Containerd bool
}

// HostImage is an image on a host.
type HostImage struct {
	// ID is the digest of the config with a graph driver, that of the manifest
	// with the store of containerd.
	ID      string
	Names   []string // REPOSITORY:TAG; may be empty
	DiffIDs []string // of the layers, bottom first
	OS      string
	Arch    string
	Size    int64 // bytes, as the engine counts them; layers that others have too among them
}
