package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"os"
	"time"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"homelab/internal/fault"
	"homelab/internal/hint"
	"homelab/internal/tree"
)

// Order says what a bundle is to hold.
type Order struct {
	ID      string
	Program string
	Created time.Time
	About   json.RawMessage
	Sources []Source

	Level      int             // of zstd, as its command counts; 0: 1
	Recipients []age.Recipient // who can read it; none: everybody
	Signer     ssh.Signer      // nil: nobody signs it
	Progress   func(Progress)  // called often, by one goroutine; may be nil
}

// Source is an item and where it is captured from.
type Source struct {
	Item
	Root *os.Root
	// At is the folder or file itself, a name in Root; empty or ".": Root.
	At string
}

// Written is what has been written.
type Written struct {
	Manifest Manifest
	Index    string    // SHA-256 of the index in hex: the bundle's whole content
	Size     int64     // of the bundle, in bytes
	Skipped  []Skipped // the first of them
}

// Write writes a bundle. The same tree and order give the same tar.
//
// It reads names and sizes twice, contents once. When something changes
// meanwhile it fails with [fault.Conflict]. Whatever it fails with, what it wrote
// is no bundle: no index ends it.
func Write(ctx context.Context, out io.Writer, o Order) (*Written, error) {
	w := &writer{ctx: ctx, order: o, buffer: make([]byte, bufferSize), content: sha256.New()}
	if err := w.check(); err != nil {
		return nil, err
	}
	if err := w.measure(); err != nil {
		return nil, err
	}
	if err := w.stack(out); err != nil {
		return nil, err
	}
	err := w.write()
	if closed := w.close(err == nil); closed != nil {
		err = closed // why it could not be written; then err is only that
	}
	if err != nil {
		return nil, err
	}
	return &Written{w.manifest, hex.EncodeToString(w.digest), w.size.n, w.index.skipped}, nil
}

type writer struct {
	ctx      context.Context
	order    Order
	manifest Manifest
	index    *indexWriter
	digest   sum // of the index

	tar     *compressor
	sealing *sealing       // compressed
	closer  io.WriteCloser // encrypting, or nil
	size    *counting      // what goes out

	content  hash.Hash
	buffer   []byte
	progress Progress
}

func (w *writer) check() error {
	o := &w.order
	w.manifest = Manifest{ID: o.ID, Created: o.Created.UTC(), Program: o.Program, About: o.About, Items: []Item{}}
	for _, s := range o.Sources {
		s.Totals = Totals{}
		s.Exclude = append([]string{}, s.Exclude...)
		w.manifest.Items = append(w.manifest.Items, s.Item)
	}
	switch {
	case len(o.Sources) > maxItems:
		return fault.Newf(fault.InvalidArgument, "make it several bundles", "%d items are more than the %d of a bundle", len(o.Sources), maxItems)
	case len(o.Recipients) == 0 && w.manifest.mustSeal():
		return fault.New(fault.Precondition, "an item of class secret goes into an encrypted bundle only", "name recipients: public keys of age or ssh")
	}
	return nil
}

// measure fills in the totals of the manifest.
func (w *writer) measure() error {
	for i := range w.manifest.Items {
		t := &w.manifest.Items[i].Totals
		err := w.walk(i, func(n node) error {
			t.Entries++
			if n.kind != file {
				return nil
			}
			h := header{size: n.stat.Size}
			if n.stat.Blocks*512 < n.stat.Size {
				fd, err := tree.Open(n.folder, n.name, unix.O_RDONLY)
				if err != nil {
					return captureFailed(n.path, err)
				}
				defer unix.Close(fd)
				if h.extents, h.sparse, err = extentsOf(fd, n.stat); err != nil {
					return captureFailed(n.path, err)
				}
			}
			t.Bytes += h.size
			t.Stored += h.stored()
			if h.size > maxTotal || t.Bytes > maxTotal {
				return fault.Newf(fault.Precondition, "exclude it", "%.300q is larger than any bundle can tell", n.path)
			}
			return nil
		}, func(Skipped) { t.Skipped++ })
		if err != nil {
			return err
		}
	}
	return nil
}

// walk goes through an item.
func (w *writer) walk(i int, visit func(node) error, skip func(Skipped)) error {
	source := w.order.Sources[i]
	walker := walker{ctx: w.ctx, visit: visit, skip: skip}
	if len(source.Exclude) > 0 {
		set, err := hint.Compile(source.Exclude)
		if err != nil {
			return fault.Newf(fault.InvalidArgument, "correct it in the registry", "exclude of item %q: %w", source.Name, err)
		}
		walker.exclude = set.Matcher()
	}
	at := source.At
	if at == "" {
		at = "."
	}
	return walker.walk(source.Root, at, itemPath(i))
}

// stack makes what the tar goes through.
func (w *writer) stack(out io.Writer) (err error) {
	w.size = &counting{out: out}
	var next io.Writer = w.size
	if len(w.order.Recipients) > 0 {
		if w.closer, err = age.Encrypt(next, w.order.Recipients...); err != nil {
			return outputFailed(err)
		}
		next = w.closer
	}
	w.sealing = &sealing{out: next, sum: sha256.New()}
	w.tar, err = newCompressor(w.sealing, max(w.order.Level, 1))
	return err
}

// close ends all layers. The outer ones get their end only with success.
func (w *writer) close(success bool) error {
	err := w.tar.Close()
	if err == nil && !success {
		return nil
	}
	if err == nil {
		_, err = w.sealing.out.Write(seal(w.sealing.sum))
	}
	if err == nil && w.closer != nil {
		err = w.closer.Close()
	}
	if err != nil {
		return outputFailed(err)
	}
	return nil
}

func (w *writer) write() error {
	text, err := w.manifest.encode()
	if err != nil {
		return err
	}
	w.index = newIndexWriter(text)
	if err := w.text(manifestPath, text); err != nil {
		return err
	}
	for i := range w.manifest.Items {
		if err := w.item(i); err != nil {
			return err
		}
	}
	text = w.index.finish()
	w.digest = sumOf(text)
	if err := w.text(indexPath, text); err != nil {
		return err
	}
	if w.order.Signer != nil {
		signature, err := sign(text, w.order.Signer)
		if err != nil {
			return err
		}
		if err := w.text(signaturePath, signature); err != nil {
			return err
		}
	}
	return w.put(zeros[:])
}

// item writes an item, and fails when it is not what was measured.
func (w *writer) item(i int) error {
	var t Totals
	err := w.walk(i, func(n node) error {
		t.Entries++
		h, err := w.entry(n)
		if err == nil && h.kind == file {
			t.Bytes += h.size
			t.Stored += h.stored()
		}
		return err
	}, func(s Skipped) {
		if t.Skipped++; len(w.index.skipped) < maxSkipped {
			w.index.skipped = append(w.index.skipped, s)
		}
	})
	if err == nil && t != w.manifest.Items[i].Totals {
		err = changed(itemPath(i))
	}
	return err
}

// entry writes a folder, a file or a link.
func (w *writer) entry(n node) (*header, error) {
	h := &header{
		path: n.path, kind: n.kind, link: n.link,
		mode: uint32(n.stat.Mode) & 0o7777, uid: n.stat.Uid, gid: n.stat.Gid,
		mtime: moment{n.stat.Mtim.Sec, n.stat.Mtim.Nsec},
	}
	var err error
	switch n.kind {
	case file:
		return h, w.file(n, h)
	case symlink:
		h.mode = 0o777
		h.link, err = tree.ReadLink(n.folder, n.name)
	case folder:
		h.xattrs, err = tree.Xattrs(n.open)
	}
	if err != nil {
		return nil, captureFailed(n.path, err)
	}
	raw := h.encode()
	if err := w.head(h, raw); err != nil {
		return nil, err
	}
	w.done(h, raw, nil)
	return h, nil
}

func (w *writer) file(n node, h *header) error {
	fd, err := tree.Open(n.folder, n.name, unix.O_RDONLY)
	if err != nil {
		return captureFailed(n.path, err)
	}
	defer unix.Close(fd)
	if err := unchanged(n, fd); err != nil {
		return err
	}
	h.size = n.stat.Size
	if h.extents, h.sparse, err = extentsOf(fd, n.stat); err == nil {
		h.xattrs, err = tree.Xattrs(fd)
	}
	if err != nil {
		return captureFailed(n.path, err)
	}
	raw := h.encode()
	if err := w.head(h, raw); err != nil {
		return err
	}
	w.content.Reset()
	for _, e := range h.data() {
		if err := w.copy(n.path, fd, e); err != nil {
			return err
		}
	}
	if err := w.put(zeros[:padding(h.stored())]); err != nil {
		return err
	}
	w.done(h, raw, w.content.Sum(nil))
	return unchanged(n, fd)
}

// copy writes what an extent of an open file holds.
func (w *writer) copy(path string, fd int, e tree.Extent) error {
	for at := e.Offset; at < e.End(); {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		part := w.buffer[:min(int64(len(w.buffer)), e.End()-at)]
		n, err := tree.ReadAt(fd, part, at)
		if err != nil {
			return captureFailed(path, err)
		}
		if n == 0 {
			return changed(path)
		}
		w.content.Write(part[:n])
		if err := w.put(part[:n]); err != nil {
			return err
		}
		w.progress.Stored += int64(n)
		w.tell()
		at += int64(n)
	}
	return nil
}

// head writes a header, if it is one that can be read.
func (w *writer) head(h *header, raw []byte) error {
	if err := h.check(); err != nil {
		return fault.Newf(fault.Precondition, "exclude it", "a bundle cannot hold it: %w", err)
	}
	if len(raw) > maxRecords {
		return fault.Newf(fault.Precondition, "exclude it", "%.300q has too many attributes or holes for a bundle", h.path)
	}
	return w.put(raw)
}

// done notes an entry in the index.
func (w *writer) done(h *header, raw []byte, content sum) {
	w.index.add(newRecord(h, raw, content))
	w.progress.Entries++
	w.tell()
}

func (w *writer) tell() {
	if w.order.Progress != nil {
		w.order.Progress(w.progress)
	}
}

// text writes a file of the bundle's own.
func (w *writer) text(path string, text []byte) error {
	h := textHeader(path, int64(len(text)), w.manifest.Created)
	for _, part := range [][]byte{h.encode(), text, zeros[:padding(h.size)]} {
		if err := w.put(part); err != nil {
			return err
		}
	}
	return nil
}

func textHeader(path string, size int64, created time.Time) *header {
	return &header{path: path, kind: file, mode: 0o644, size: size, mtime: moment{created.Unix(), 0}}
}

func (w *writer) put(data []byte) error {
	_, err := w.tar.Write(data)
	return err
}
