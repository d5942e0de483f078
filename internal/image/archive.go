package image

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"path"
)

// What is kept of an archive is bounded, whatever is in it.
const (
	maxEntries  = 10_000
	maxText     = 4 << 20  // of one JSON entry
	maxKept     = 64 << 20 // of all JSON entries and names
	maxLinks    = 16       // from one entry to the next
	blockSize   = 512      // of tar
	blobs       = "blobs/sha256/"
	sparseField = "GNU.sparse."
)

// archive is what is known of a tar after reading it once.
type archive struct {
	entries map[string]entry // by clean name
	kept    int64            // bytes of names and texts
}

// entry is a file or a link of an archive.
type entry struct {
	at   int    // its place in the tar, counted from 1
	link string // name of the entry that a link leads to
	size int64
	sum  digest
	text []byte // of JSON that is small enough

	// A compressed entry has a second content.
	plainSize int64
	plainSum  digest
	err       error // why it could not be decompressed
}

// digest is a SHA-256 sum, written as sha256:HEX; the zero digest is none.
type digest string

func digestOf(h hash.Hash) digest { return digest("sha256:" + hex.EncodeToString(h.Sum(nil))) }

// readArchive reads a tar to its end and finds the image in it.
func readArchive(ctx context.Context, file io.Reader, compression Compression) (*Image, error) {
	var d decompressor
	defer d.Close()
	plain, err := d.open(file, compression)
	if err != nil {
		return nil, unreadable(err)
	}
	pipe := readAhead(ctx, plain)
	defer pipe.Close()
	source := &tail{source: pipe}
	a, err := scan(ctx, source)
	if err != nil {
		return nil, err
	}
	image, err := a.image()
	if err != nil {
		return nil, err
	}
	image.Compression = compression
	image.Bytes = source.count
	return image, nil
}

// image is the one the archive holds. Newer engines save both forms in one
// archive; the one that every engine can load counts.
func (a *archive) image() (*Image, error) {
	if _, ok := a.entries["manifest.json"]; ok {
		return a.docker()
	}
	if _, ok := a.entries["index.json"]; ok {
		return a.oci()
	}
	return nil, foreign("this is a tar archive, but not of an image: it has neither manifest.json nor index.json")
}

// find follows links.
func (a *archive) find(name string) (entry, bool) {
	name = clean(name)
	for range maxLinks {
		e, ok := a.entries[name]
		if !ok || e.link == "" {
			return e, ok
		}
		name = e.link
	}
	return entry{}, false
}

// parse reads a JSON entry.
func (a *archive) parse(name string, into any) (entry, error) {
	e, ok := a.find(name)
	switch {
	case !ok:
		return e, broken("%.200q is missing", name)
	case e.size > maxText:
		return e, broken("%.200q has %d bytes, more than the %d of any sound image", name, e.size, maxText)
	}
	if err := json.Unmarshal(e.text, into); err != nil {
		return e, broken("%.200q cannot be read: %.300s", name, err)
	}
	return e, nil
}

// clean is the name an entry has when it is unpacked: "./a", "/a" and "a" are
// the same. Nothing is ever unpacked, so ".." leads nowhere.
func clean(name string) string { return path.Clean("/" + name)[1:] }
