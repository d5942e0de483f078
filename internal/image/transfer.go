package image

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
)

// Transfer writes an image for an engine, whole or without layers that the
// engine has.
//
// The source is read once, in bounded memory and with no temporary files.
// Everything is held against Image while it is written, but for what Unverified leaves
// to the engine: what tells an engine
// that the archive is whole (manifest.json, index.json) comes last, after the
// source was read to its end, so that an engine refuses what was broken off.
type Transfer struct {
	// Image is what [Read] said of the file, or [ReadArchive] of what the script
	// of a stream writes.
	Image *Image
	// Names are REPOSITORY:TAG, at least one: the names the image gets, whatever
	// the source says.
	Names []string
	// Omit says which layers to leave out, by position, bottom first; nil leaves
	// out none. The manifest names them all the same. A layer that the image has
	// at several positions is left out when it is at all of them.
	Omit func(layer int) bool
	// Unverified leaves it to the engine to hold the layers of an archive against
	// their digests, as engines do with what they load. What is assembled is verified
	// all the same.
	Unverified bool
	// Open gives the bytes that Image was read from, from the start. Its context
	// ends when the transfer fails or is canceled, and then reads must end. Close
	// is called once, after the last read. Its error is an error of the transfer
	// if the bytes ended of themselves, as when a script failed.
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// OpenFile is [Transfer.Open] for a file.
func OpenFile(path string) func(ctx context.Context) (io.ReadCloser, error) {
	return func(context.Context) (io.ReadCloser, error) {
		file, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(path), unreadable(err))
		}
		return file, nil
	}
}

// WriteDocker writes a docker-archive, as `docker load` reads it: for engines
// with a graph driver. Such an engine looks for a layer's file only if it does
// not have the layer, on the same layers below it. Layers are uncompressed.
//
// A source that is not what Image says is [fault.Conflict]; one that is broken,
// and layers of nix2container that come out otherwise, are [fault.Precondition];
// names that an engine does not take are [fault.InvalidArgument]. An error of w
// is wrapped as it is. When ctx ends the error wraps ctx.Err().
func (t Transfer) WriteDocker(ctx context.Context, w io.Writer) error {
	return t.write(ctx, w, new(dockerForm))
}

// WriteOCI writes an OCI image layout in a tar, for engines that keep images in
// containerd: they refuse a docker-archive in which a layer is missing. Layers
// are uncompressed. It returns the digest of the manifest, which is the image's
// ID there. The errors are those of [Transfer.WriteDocker].
//
// Such an engine does not refuse an image for want of layers: it gives it its
// names, and tells only in the stream of its answer that it cannot be unpacked. A
// layer may be left out when the engine has the blob with its diff ID, so one that
// it got uncompressed. When it has the layer otherwise and unpacked it, on the same
// layers below, the image runs, but inspecting it gives no layers and no platform.
func (t Transfer) WriteOCI(ctx context.Context, w io.Writer) (manifest string, err error) {
	form := &ociForm{}
	if err := t.write(ctx, w, form); err != nil {
		return "", err
	}
	return string(form.manifest), nil
}

// Size is how many bytes of layers will be written, for a progress: what else
// there is in the archive is small. Of compressed layers in nix2container's JSON
// it counts what they have compressed, if it is known.
func (t Transfer) Size() int64 {
	var size int64
	for _, i := range t.wanted() {
		size += t.Image.Layers[i].Size
	}
	return size
}

// wanted is the first position of each layer that is to be written.
func (t Transfer) wanted() map[digest]int {
	first := map[digest]int{}
	for i, layer := range t.Image.Layers {
		if _, ok := first[digest(layer.DiffID)]; !ok && (t.Omit == nil || !t.Omit(i)) {
			first[digest(layer.DiffID)] = i
		}
	}
	return first
}

func (t Transfer) write(ctx context.Context, w io.Writer, form form) error {
	if t.Image.Digest == "" {
		return errors.New("image: what a script writes must be read with ReadArchive before it is transferred")
	}
	names, err := parseNames(t.Names)
	if err != nil {
		return err
	}
	sink := &sink{ctx: ctx, to: w}
	buffered := bufio.NewWriterSize(sink, 64<<10)
	out := &output{
		ctx: ctx, form: form, image: t.Image, names: names, wanted: t.wanted(),
		sink: sink, tar: tar.NewWriter(buffered), buffer: make([]byte, aheadSize),
		unverified: t.Unverified && t.Image.Kind != Nix2container,
	}
	if err = t.send(ctx, out); err == nil {
		err = buffered.Flush()
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		// What it broke on the way is a consequence.
		err = ctx.Err()
	case sink.err != nil:
		err = sink.err
	}
	return fmt.Errorf("image %s: %w", t.Names[0], err)
}

// send writes the whole archive.
func (t Transfer) send(ctx context.Context, out *output) error {
	if err := out.form.begin(out); err != nil {
		return err
	}
	if err := t.sendContent(ctx, out); err != nil {
		return err
	}
	if err := out.complete(); err != nil {
		return err
	}
	if err := out.form.end(out); err != nil {
		return err
	}
	return out.tar.Close()
}

// sendContent writes config and layers.
func (t Transfer) sendContent(ctx context.Context, out *output) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	opened, err := t.Open(ctx)
	if err != nil {
		return err
	}
	source := &source{from: opened, cancel: cancel}
	if t.Image.Kind == Nix2container {
		err = out.assemble(source)
	} else {
		err = out.copyArchive(source)
	}
	ended := source.ended.Load()
	if closed := opened.Close(); closed != nil && ended {
		return closed
	}
	return err
}

// source is what a transfer reads.
type source struct {
	from   io.Reader
	cancel context.CancelFunc
	ended  atomic.Bool // of itself
	given  atomic.Bool // up
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.from.Read(p)
	if err != nil && !s.given.Load() {
		s.ended.Store(true)
	}
	return n, err
}

// giveUp ends a read that may be under way.
func (s *source) giveUp() {
	s.given.Store(true)
	s.cancel()
}

// sink is where the archive goes. It remembers why it could not be written.
type sink struct {
	ctx context.Context
	to  io.Writer
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := s.to.Write(p)
	if err != nil {
		s.err = fmt.Errorf("it cannot be written: %w", err)
	}
	return n, err
}

// output is an archive that is being written.
type output struct {
	ctx    context.Context
	form   form
	image  *Image
	names  []imageName
	wanted map[digest]int // positions of layers that are not written yet
	config int64          // size of the config; 0 until it is written
	sink   *sink
	tar    *tar.Writer
	buffer []byte

	unverified bool // layers are not held against their digests
	// layerSize is the uncompressed size of the layer at a position, in bytes;
	// when nil it is in image.
	layerSize func(layer int) (int64, error)
}

// sizeOf is the uncompressed size of the layer at a position.
func (o *output) sizeOf(layer int) (int64, error) {
	if o.layerSize != nil {
		return o.layerSize(layer)
	}
	return o.image.Layers[layer].Size, nil
}

// header begins a file of size bytes.
func (o *output) header(name string, size int64) error {
	return o.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644})
}

// file writes a small file.
func (o *output) file(name string, content []byte) error {
	if err := o.header(name, int64(len(content))); err != nil {
		return err
	}
	_, err := o.tar.Write(content)
	return err
}

// writeConfig writes the config of the image.
func (o *output) writeConfig(config []byte) error {
	o.config = int64(len(config))
	return o.file(o.form.config(digest(o.image.Digest)), config)
}

// writeLayer writes the layer at a position, of size bytes that produce writes,
// and verifies it, unless that is left to the engine.
func (o *output) writeLayer(layer int, size int64, produce func(io.Writer) error) error {
	id := digest(o.image.Layers[layer].DiffID)
	if err := o.header(o.form.layer(id), size); err != nil {
		return err
	}
	var count counting
	sum := sha256.New()
	to := io.MultiWriter(o.tar, &count)
	if !o.unverified {
		to = io.MultiWriter(o.tar, sum)
	}
	switch err := produce(to); {
	case errors.Is(err, tar.ErrWriteTooLong):
	case err != nil:
		return err
	case o.unverified && count.size == size, digestOf(sum) == id:
		delete(o.wanted, id)
		return nil
	}
	return errOtherLayer
}

// errOtherLayer says that a layer came out with other bytes than its digest.
var errOtherLayer = errors.New("the layer has another digest")

// complete says whether everything was in the source.
func (o *output) complete() error {
	switch {
	case o.config == 0:
		return changed("its config, %s, is not in it", o.image.Digest)
	case len(o.wanted) > 0:
		missing := len(o.image.Layers)
		for _, i := range o.wanted {
			missing = min(missing, i)
		}
		return changed("layer %d, %s, is not in it", missing+1, o.image.Layers[missing].DiffID)
	}
	return nil
}

// copied tells why a copy into the archive ended: an error of the source is
// explained, one of the archive is left to those who know it.
func (o *output) copied(err error) error {
	if err == nil || o.sink.err != nil || errors.Is(err, tar.ErrWriteTooLong) {
		return err
	}
	return unreadable(err)
}
