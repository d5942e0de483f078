package image

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"homelab/internal/fault"
)

// otherHint is for layers that do not come out as nix2container recorded them.
const otherHint = "the image was probably built by another version of nix2container, which lays out layers otherwise: load it with its copyToDockerDaemon, or build it with dockerTools.streamLayeredImage"

// assemble writes an image from the JSON of nix2container and what it names.
func (o *output) assemble(source *source) error {
	said, err := parseNix2container(source)
	if err != nil {
		return err
	}
	config, err := said.config()
	if err != nil {
		return err
	}
	// The config names every layer.
	if sumOf(config) != digest(o.image.Digest) || len(said.Layers) != len(o.image.Layers) {
		return changed("its config is not %s any more", o.image.Digest)
	}
	sizes := map[int]int64{} // to find one may take to decompress the layer
	o.layerSize = func(layer int) (size int64, err error) {
		size, ok := sizes[layer]
		if !ok {
			size, err = o.plainSize(said.Layers[layer])
			sizes[layer] = size
		}
		return size, err
	}
	if err := o.writeConfig(config); err != nil {
		return err
	}
	for i, layer := range said.Layers {
		if at, ok := o.wanted[layer.DiffID]; !ok || at != i {
			continue
		}
		if err := o.assembleLayer(i, layer); err != nil {
			return err
		}
	}
	return nil
}

// assembleLayer writes the layer at a position.
func (o *output) assembleLayer(i int, layer nix2containerLayer) error {
	if layer.Path == "" && layer.Paths == nil {
		return broken("layer %d, %s, has neither a file nor paths", i+1, layer.DiffID)
	}
	size, err := o.layerSize(i)
	if err != nil {
		return err
	}
	err = o.writeLayer(i, size, func(w io.Writer) error {
		if layer.Path == "" {
			return o.pack(w, layer.Paths)
		}
		return o.copyFile(w, layer.Path)
	})
	if err == errOtherLayer {
		return fault.Newf(fault.Precondition, otherHint, "layer %d comes out with another digest than its image records, %s", i+1, layer.DiffID)
	}
	return err
}

// plainSize is the uncompressed size of a layer in bytes. What nix2container
// records is that of the stored one, and not recorded for images it pulled.
func (o *output) plainSize(layer nix2containerLayer) (int64, error) {
	if layer.Path == "" {
		return layer.Size, nil
	}
	count := &counting{}
	if layer.Digest != layer.DiffID {
		err := o.copyFile(count, layer.Path)
		return count.size, err
	}
	info, err := os.Stat(layer.Path)
	if err != nil {
		return 0, missing(err)
	}
	return info.Size(), nil
}

// counting counts what is written to it.
type counting struct{ size int64 }

func (c *counting) Write(p []byte) (int, error) {
	c.size += int64(len(p))
	return len(p), nil
}

// copyFile writes what the tar at path holds, decompressed.
func (o *output) copyFile(w io.Writer, path string) error {
	file, err := openRegular(path)
	if err != nil {
		return err
	}
	defer file.Close()
	head, whole, err := peek(file)
	if err != nil {
		return err
	}
	var d decompressor
	defer d.Close()
	plain, err := d.open(whole, compressionOf(head))
	if err != nil {
		return unreadable(err)
	}
	_, err = copyPlain(o.ctx, w, plain, aheadSize, o.buffer)
	return o.copied(err)
}

// openRegular opens a file. Opening a pipe would wait for its writer.
func openRegular(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, missing(err)
	}
	if !info.Mode().IsRegular() {
		return nil, broken("%.300q is not a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, missing(err)
	}
	return file, nil
}

// missing explains why what nix2container's JSON names cannot be had.
func missing(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) && errors.Is(err, fs.ErrNotExist) {
		return fault.Newf(fault.Precondition, "build the image again: what it is made of was collected as garbage", "%.300q does not exist", path.Path)
	}
	return unreadable(err)
}
