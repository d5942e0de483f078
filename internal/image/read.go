package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"homelab/internal/fault"
)

// Read says what the file at path is and which image it holds. Its content
// decides, not its name; symbolic links to it are followed.
//
// A path that does not exist is [fault.NotFound]. A folder, a file that is no
// image, an archive of several images and one that is broken (cut short, a
// layer missing or not what its digest says, something behind the end) are
// [fault.Precondition]. When ctx ends the error wraps ctx.Err().
func Read(ctx context.Context, path string) (*Image, error) {
	image, err := read(ctx, path)
	switch {
	case err == nil:
		return image, nil
	case ctx.Err() != nil:
		// What it broke on the way is a consequence.
		err = ctx.Err()
	}
	return nil, fmt.Errorf("image %s: %w", filepath.Base(path), err)
}

func read(ctx context.Context, path string) (*Image, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault.Newf(fault.NotFound, "check the path; a path of the Nix store exists once it is built", "it does not exist")
	case err != nil:
		return nil, unreadable(err)
	case info.IsDir():
		return nil, foreign("this is a folder")
	case !info.Mode().IsRegular(): // opening a pipe would wait for its writer
		return nil, foreign("this is not a regular file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, unreadable(err)
	}
	defer file.Close()

	head := make([]byte, blockSize)
	n, err := io.ReadFull(file, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, unreadable(err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, unreadable(err)
	}
	image, err := identify(ctx, file, head[:n], info.Mode())
	if err != nil {
		return nil, err
	}
	image.Size = info.Size()
	return image, nil
}

// identify reads a file that starts with head.
func identify(ctx context.Context, file io.Reader, head []byte, mode fs.FileMode) (*Image, error) {
	compression := compressionOf(head)
	switch {
	case compression != Uncompressed, isTar(head):
		return readArchive(ctx, file, compression)
	case bytes.HasPrefix(head, []byte("#!")) && mode&0o111 != 0:
		return &Image{Kind: Stream, Layers: []Layer{}}, nil
	case isObject(head):
		return readNix2container(file)
	case len(head) == 0:
		return nil, foreign("the file is empty")
	}
	for _, other := range others {
		if bytes.HasPrefix(head, []byte(other.magic)) {
			return nil, foreign("this is %s", other.what)
		}
	}
	return nil, foreign("this is not an image: it starts with %q", head[:min(len(head), 8)])
}

// others are what a target is likely to build by mistake.
var others = []struct{ magic, what string }{
	{"#!", "a script that cannot be executed"},
	{"\x7fELF", "a program (ELF)"},
	{"\xfd7zXZ\x00", "a file compressed with xz"},
	{"BZh", "a file compressed with bzip2"},
	{"PK\x03\x04", "a zip archive"},
}

// isObject says whether JSON that starts with an object follows.
func isObject(head []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(head, " \t\r\n"), []byte("{"))
}
