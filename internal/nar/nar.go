// Package nar hashes files and folders as Nix does: by the Nix archive of them.
//
// The archive knows names, contents, symbolic links and the executable bit, and
// nothing else, so that equal hashes mean equal trees. The format is figure 5.2
// of Dolstra's thesis, "The Purely Functional Software Deployment Model".
package nar

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// File is a file, a symbolic link or an empty folder of a tree.
type File struct {
	Path       string // in the tree, with slashes; empty: the tree is this file
	Executable bool
	Link       bool                          // its content is its target
	Folder     bool                          // empty unless others lead through it; it has no content
	Size       int64                         // of its content, in bytes
	Open       func() (io.ReadCloser, error) // its content
}

// Hash is the hash of a tree as Nix writes it: sha256-… in base64. Folders
// with something in them need no File; no path leads through a file. A content
// that does not have its size is an error.
func Hash(files []File) (string, error) {
	sum := sha256.New()
	w := writer{sum, func(f *File) error { return f.copyTo(sum) }}
	if err := w.tree(files); err != nil {
		return "", err
	}
	return "sha256-" + base64.StdEncoding.EncodeToString(sum.Sum(nil)), nil
}

// Size is the size of the archive of a tree in bytes, as Nix knows it of a store
// path. No content is read.
func Size(files []File) int64 {
	var size counter
	w := writer{&size, func(f *File) error {
		size += counter(f.Size)
		return nil
	}}
	_ = w.tree(files) // counting does not fail
	return int64(size)
}

// counter counts the bytes that are written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

func (f *File) copyTo(out io.Writer) error {
	content, err := f.Open()
	if err != nil {
		return err
	}
	defer content.Close()
	n, err := io.Copy(out, io.LimitReader(content, f.Size+1))
	if err == nil && n != f.Size {
		err = fmt.Errorf("%q changed while it was read: it had %d bytes", f.Path, f.Size)
	}
	return err
}

// node is a file, or a folder.
type node struct {
	file    *File
	entries map[string]*node
}

func treeOf(files []File) *node {
	root := &node{}
	for i := range files {
		at := root
		for name := range strings.SplitSeq(files[i].Path, "/") {
			if name == "" {
				continue
			}
			if at.entries == nil {
				at.entries = map[string]*node{}
			}
			if at.entries[name] == nil {
				at.entries[name] = &node{}
			}
			at = at.entries[name]
		}
		at.file = &files[i]
	}
	return root
}

// writer writes an archive; body writes the content of a file in it.
type writer struct {
	out  io.Writer
	body func(*File) error
}

func (w writer) tree(files []File) error {
	w.text("nix-archive-1")
	return w.node(treeOf(files))
}

// text is a string: its length in 8 bytes, the lowest first, the bytes, and
// zeros up to a multiple of 8.
func (w writer) text(texts ...string) {
	for _, text := range texts {
		w.length(int64(len(text)))
		_, _ = io.WriteString(w.out, text) // neither hashing nor counting fails
		w.pad(int64(len(text)))
	}
}

func (w writer) length(n int64) {
	_, _ = w.out.Write(binary.LittleEndian.AppendUint64(nil, uint64(n)))
}

func (w writer) pad(n int64) {
	_, _ = w.out.Write(make([]byte, (8-n%8)%8))
}

func (w writer) node(n *node) error {
	w.text("(", "type")
	defer w.text(")")
	if n.file == nil || n.file.Folder {
		w.text("directory")
		for _, name := range slices.Sorted(maps.Keys(n.entries)) {
			w.text("entry", "(", "name", name, "node")
			if err := w.node(n.entries[name]); err != nil {
				return err
			}
			w.text(")")
		}
		return nil
	}
	switch {
	case n.file.Link:
		w.text("symlink", "target")
	case n.file.Executable:
		w.text("regular", "executable", "", "contents")
	default:
		w.text("regular", "contents")
	}
	w.length(n.file.Size)
	defer w.pad(n.file.Size)
	return w.body(n.file)
}
