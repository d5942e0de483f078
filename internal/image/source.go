package image

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
)

// ReadArchive reads what the script of a stream writes and says what is in it,
// as [Read] does of a file: Kind is [Stream], Size is how many bytes r gave.
//
// The errors are those of Read. When ctx ends, reads of r must end as well.
func ReadArchive(ctx context.Context, r io.Reader) (*Image, error) {
	counted := &counter{source: r}
	image, err := readStream(ctx, counted)
	switch {
	case err == nil:
		image.Kind, image.Size = Stream, counted.count
		return image, nil
	case ctx.Err() != nil:
		err = ctx.Err()
	}
	return nil, fmt.Errorf("what the script wrote: %w", err)
}

func readStream(ctx context.Context, r io.Reader) (*Image, error) {
	head, whole, err := peek(r)
	if err != nil {
		return nil, err
	}
	compression := compressionOf(head)
	switch {
	case len(head) == 0:
		return nil, broken("it wrote nothing")
	case compression == Uncompressed && !isTar(head):
		return nil, foreign("this is not an image: it starts with %q", head[:min(len(head), 8)])
	}
	return readArchive(ctx, whole, compression)
}

// peek reads the first block, or what there is of it, and gives a reader of
// everything.
func peek(r io.Reader) (head []byte, whole io.Reader, err error) {
	head = make([]byte, blockSize)
	n, err := io.ReadFull(r, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, nil, unreadable(err)
	}
	return head[:n], io.MultiReader(bytes.NewReader(head[:n]), r), nil
}

// counter counts what was read.
type counter struct {
	source io.Reader
	count  int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.source.Read(p)
	c.count += int64(n)
	return n, err
}

// copier copies an image from one archive into another.
type copier struct {
	*output
	source *source
	from   *tar.Reader
	inner  decompressor // of entries
	at     map[int]int  // positions of layers by the entry that has them
}

// copyArchive reads a source to its end, and writes what is wanted of it in the
// order in which it comes.
func (o *output) copyArchive(source *source) (err error) {
	head, whole, err := peek(source)
	if err != nil {
		return err
	}
	if file, ok := source.from.(io.Seeker); ok && compressionOf(head) == Uncompressed && len(o.wanted) < len(o.image.Layers) {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return unreadable(err)
		}
		end := &tail{source: source}
		return o.copyEntries(source, seeking{end, file}, end)
	}
	var outer decompressor
	defer outer.Close()
	plain, err := outer.open(whole, compressionOf(head))
	if err != nil {
		return unreadable(err)
	}
	pipe := readAhead(o.ctx, plain)
	defer func() {
		if err != nil {
			source.giveUp()
		}
		pipe.Close()
	}()
	end := &tail{source: pipe}
	return o.copyEntries(source, end, end)
}

// seeking lets archive/tar step over what is left out.
type seeking struct {
	io.Reader
	io.Seeker
}

// copyEntries copies what is wanted of a tar, of which end has seen the end.
func (o *output) copyEntries(source *source, from io.Reader, end *tail) error {
	c := &copier{output: o, source: source, from: tar.NewReader(from), at: map[int]int{}}
	defer c.inner.Close()
	for _, layer := range o.wanted {
		c.at[o.image.Layers[layer].Entry] = layer
	}
	for count := 1; ; count++ {
		header, err := c.from.Next()
		switch {
		case err == io.EOF:
			return end.end(o.buffer)
		case err != nil:
			return unreadable(err)
		case count > maxEntries:
			return broken("the archive has more than %d entries", maxEntries)
		}
		if err := c.entry(count, header); err != nil {
			return err
		}
	}
}

// entry copies what is wanted of an entry.
func (c *copier) entry(count int, header *tar.Header) error {
	if layer, ok := c.at[count]; ok {
		return c.layer(layer, header)
	}
	if c.config == 0 && header.Typeflag == tar.TypeReg && header.Size <= maxText {
		return c.maybeConfig(header)
	}
	return nil
}

// layer copies a layer, decompressed. What is no file is read as an empty one.
func (c *copier) layer(layer int, header *tar.Header) error {
	said := c.image.Layers[layer]
	err := c.writeLayer(layer, said.Size, func(w io.Writer) error {
		if said.Digest != said.DiffID {
			return c.unpack(w, header.Size)
		}
		_, err := io.CopyBuffer(w, c.from, c.buffer)
		return c.copied(err)
	})
	if err == errOtherLayer {
		return changed("layer %d is not %s any more", layer+1, said.DiffID)
	}
	return err
}

// unpack writes what the entry holds, of packed bytes.
func (c *copier) unpack(w io.Writer, packed int64) error {
	magic := make([]byte, min(packed, 4))
	if _, err := io.ReadFull(c.from, magic); err != nil {
		return unreadable(err)
	}
	plain, err := c.inner.open(io.MultiReader(bytes.NewReader(magic), c.from), compressionOf(magic))
	if err != nil {
		return unreadable(err)
	}
	_, err = copyPlain(c.ctx, &dropping{w, c.source}, plain, packed, c.buffer)
	return c.copied(err)
}

// dropping gives up a source when what it gives cannot be written: only then
// does a read-ahead of it end that waits for more.
type dropping struct {
	to     io.Writer
	source *source
}

func (d *dropping) Write(p []byte) (int, error) {
	n, err := d.to.Write(p)
	if err != nil {
		d.source.giveUp()
	}
	return n, err
}

// maybeConfig writes a small entry if it is the config, which has no other sign
// than its digest before the manifest is read.
func (c *copier) maybeConfig(header *tar.Header) error {
	text := make([]byte, header.Size)
	magic := text[:min(len(text), 4)]
	if _, err := io.ReadFull(c.from, magic); err != nil {
		return unreadable(err)
	}
	if !isJSON(magic) {
		return nil
	}
	if _, err := io.ReadFull(c.from, text[len(magic):]); err != nil {
		return unreadable(err)
	}
	if sumOf(text) != digest(c.image.Digest) {
		return nil
	}
	return c.writeConfig(text)
}
