package main

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"homelab/internal/command"
	"homelab/internal/image"
)

// imageSize is that of the one layer of the image that is read, in bytes.
const imageSize = 1 << 30

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

// writeImage writes a docker-archive whose layer is half noise, half text.
func writeImage(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	err = writeArchive(tar.NewWriter(file))
	return errors.Join(err, file.Close())
}

func writeArchive(w *tar.Writer) error {
	noise := rand.NewChaCha8([32]byte{})
	block := make([]byte, 1<<20)
	hash := sha256.New()
	if err := w.WriteHeader(&tar.Header{Name: "layer.tar", Mode: 0o644, Size: imageSize, Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	for range imageSize / len(block) {
		half := len(block) / 2
		if _, err := noise.Read(block[:half]); err != nil {
			return err
		}
		for i := half; i < len(block); i++ {
			block[i] = "a line of text\n"[i%15]
		}
		if _, err := io.MultiWriter(w, hash).Write(block); err != nil {
			return err
		}
	}
	config := fmt.Sprintf(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%x"]}}`, hash.Sum(nil))
	for name, content := range map[string]string{
		"config.json":   config,
		"manifest.json": `[{"Config":"config.json","RepoTags":["bench:latest"],"Layers":["layer.tar"]}]`,
	} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		if _, err := io.WriteString(w, content); err != nil {
			return err
		}
	}
	return w.Close()
}
