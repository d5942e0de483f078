package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"homelab/internal/command"
	"homelab/internal/image"
)

// imageSize is how big the image that is read is; slack is what a layer may miss
// of its part.
const (
	imageSize = 1 << 30
	slack     = 1 << 20
	tarBlock  = 512 // a header is one, content is filled up to a whole one
)

// roots are where the files are from: programs, libraries and data, as they are
// in images. How well they compress decides what unpacking costs.
var roots = []string{"/usr/lib", "/usr/share", "/usr/bin"}

// images compares reading an image, all of its digests held against its bytes,
// with unpacking and hashing the archive.
func (r runner) images(dir string) ([]row, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	archive := filepath.Join(dir, "image.tar")
	if err := writeImage(archive); err != nil {
		return nil, err
	}
	r.rounds = 3 // each takes seconds
	var rows []row
	for _, by := range []struct{ name, suffix, level string }{{"gzip", ".gz", "-1"}, {"zstd", ".zst", "-3"}} {
		if err := r.ok(command.Cmd{Name: by.name, Args: []string{"-q", "-k", by.level, archive}}); err != nil {
			return nil, err
		}
		file := archive + by.suffix
		compared, err := r.pair(
			func() error { _, err := image.Read(r.ctx, file); return err },
			func() error {
				return r.ok(command.Cmd{Name: "sh", Args: []string{"-c", by.name + ` -dc "$1" | sha256sum`, "sh", file}})
			},
		)
		if err != nil {
			return nil, err
		}
		compared.what = "identity of an image of 1 GiB, " + by.name
		compared.ours, compared.theirs, compared.bound = "`image.Read`, digests verified", "`"+by.name+" -dc` to `sha256sum`", "≤ 1.25"
		rows = append(rows, compared)
	}
	return rows, nil
}

// writeImage writes a docker-archive with a layer of the files of each root.
func writeImage(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	err = writeArchive(tar.NewWriter(file), filepath.Dir(path))
	return errors.Join(err, file.Close())
}

func writeArchive(w *tar.Writer, dir string) error {
	var layers []string
	for i, root := range roots {
		layer := filepath.Join(dir, fmt.Sprintf("layer%d.tar", i))
		if err := writeLayer(layer, root, imageSize/int64(len(roots))); err != nil {
			return err
		}
		layers = append(layers, layer)
	}
	return packLayers(w, layers, "bench:latest", "{}")
}

// packLayers writes a docker-archive of layers, which it removes; runs is what its
// config says of containers.
func packLayers(w *tar.Writer, layers []string, name, runs string) error {
	var names, sums []string
	for _, layer := range layers {
		sum, err := addLayer(w, layer)
		if err != nil {
			return err
		}
		names, sums = append(names, strconv.Quote(filepath.Base(layer))), append(sums, strconv.Quote("sha256:"+sum))
	}
	config := fmt.Sprintf(`{"architecture":"`+runtime.GOARCH+`","os":"linux","config":%s,"rootfs":{"type":"layers","diff_ids":[%s]}}`, runs, strings.Join(sums, ","))
	manifest := fmt.Sprintf(`[{"Config":"config.json","RepoTags":[%q],"Layers":[%s]}]`, name, strings.Join(names, ","))
	for name, content := range map[string]string{"config.json": config, "manifest.json": manifest} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		if _, err := io.WriteString(w, content); err != nil {
			return err
		}
	}
	return w.Close()
}

// addLayer moves a layer into the archive and returns its digest.
func addLayer(w *tar.Writer, path string) (string, error) {
	sum := sha256.New()
	if err := addFile(w, io.MultiWriter(w, sum), path, filepath.Base(path)); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), os.Remove(path)
}

// addFile adds a file to a tar under a name; its content goes to out, which leads
// there.
func addFile(w *tar.Writer, out io.Writer, path, name string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	header, err := tar.FileInfoHeader(info, "")
	if err != nil {
		return err
	}
	header.Name = name
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(out, file)
	return err
}

// writeLayer writes a tar of the files below root, in order, up to a size: those
// that still fit, and from the beginning again when they are too few.
func writeLayer(path, root string, size int64) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	w := tar.NewWriter(file)
	err = fillLayer(w, top{root: root, size: size, most: anySize})
	return errors.Join(err, w.Close(), file.Close())
}

func fillLayer(w *tar.Writer, t top) error {
	for left := t.size; left > slack; {
		before := left
		var err error
		if left, err = addTree(w, t, left); err != nil {
			return err
		}
		if left == before {
			return fmt.Errorf("there are no files below %s to make an image of", t.root)
		}
	}
	return nil
}

// addTree adds the files of a layer that fit into left bytes, and returns what is
// left then.
func addTree(w *tar.Writer, t top, left int64) (int64, error) {
	err := filepath.WalkDir(t.root, func(path string, entry fs.DirEntry, err error) error {
		if left <= slack {
			return fs.SkipAll
		}
		if err != nil || !entry.Type().IsRegular() {
			return passOver(err)
		}
		info, err := entry.Info()
		if err != nil {
			return passOver(err)
		}
		size := tarBlock + (info.Size()+tarBlock-1)/tarBlock*tarBlock
		if size > left || info.Size() > t.most {
			return nil
		}
		// What is left is another number each time: engines take no name twice.
		if err := addFile(w, w, path, fmt.Sprintf("%d-%s", left, filepath.Base(path))); err != nil {
			return passOver(err)
		}
		left -= size
		return nil
	})
	return left, err
}

// passOver forgives what not everybody may read.
func passOver(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}
