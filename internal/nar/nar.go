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
	"hash"
	"maps"
	"slices"
	"strings"
)

// File is a file, a symbolic link or an empty folder of a tree.
type File struct {
	Path       string // in the tree, with slashes; empty: the tree is this file
	Executable bool
	Link       bool                   // Read gives its target
	Folder     bool                   // empty unless others lead through it; Read is not called
	Read       func() ([]byte, error) // its content
}

// Hash is the hash of a tree as Nix writes it: sha256-… in base64. Folders
// with something in them need no File; no path leads through a file.
func Hash(files []File) (string, error) {
	w := writer{sha256.New()}
	w.text("nix-archive-1")
	if err := w.node(treeOf(files)); err != nil {
		return "", err
	}
	return "sha256-" + base64.StdEncoding.EncodeToString(w.sum.Sum(nil)), nil
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

type writer struct{ sum hash.Hash }

// text is a string: its length in 8 bytes, the lowest first, the bytes, and
// zeros up to a multiple of 8.
func (w writer) text(texts ...string) {
	for _, text := range texts {
		w.bytes([]byte(text))
	}
}

func (w writer) bytes(b []byte) {
	var word [8]byte
	binary.LittleEndian.PutUint64(word[:], uint64(len(b)))
	w.sum.Write(word[:])
	w.sum.Write(b)
	if over := len(b) % 8; over > 0 {
		w.sum.Write(make([]byte, 8-over))
	}
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
	content, err := n.file.Read()
	if err != nil {
		return err
	}
	switch {
	case n.file.Link:
		w.text("symlink", "target")
	case n.file.Executable:
		w.text("regular", "executable", "", "contents")
	default:
		w.text("regular", "contents")
	}
	w.bytes(content)
	return nil
}
