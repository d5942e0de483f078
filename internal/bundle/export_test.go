package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"os"
	"time"

	"homelab/internal/tree"
)

// Forger writes bundles that Write would not: whatever entries, with an index
// and a seal that fit them.
type Forger struct {
	Manifest Manifest
	Raw      []byte // in place of manifest.json
	Entries  []Forged
	Index    func([]byte) []byte // in place of the index
	Last     []Forged            // behind the index
	Tail     []byte              // in place of the end of the tar
}

// Forged is an entry.
type Forged struct {
	Path    string
	Kind    byte
	Link    string
	Content string
	Mode    uint32
	Size    int64 // when it is sparse
	Sparse  bool
	Xattr   string
	Header  []byte // in place of the one made of all that
	NoIndex bool
}

func (f Forged) header() *header {
	h := &header{path: f.Path, kind: kind(f.Kind), link: f.Link, mode: f.Mode, size: int64(len(f.Content)), mtime: moment{1, 2}}
	if f.Sparse {
		h.sparse, h.size, h.extents = true, f.Size, nil
	}
	if f.Xattr != "" {
		h.xattrs = []tree.Xattr{{Name: f.Xattr, Value: "value"}}
	}
	return h
}

func (f Forged) put(to *bytes.Buffer, created time.Time) []byte {
	h := f.header()
	switch f.Path {
	case manifestPath, indexPath, signaturePath:
		h.mtime = moment{created.Unix(), 0}
	}
	raw := f.Header
	if raw == nil {
		raw = h.encode()
	}
	to.Write(raw)
	to.WriteString(f.Content)
	to.Write(zeros[:padding(int64(len(f.Content)))])
	return newRecord(h, raw, sumOf([]byte(f.Content)))
}

// Tar is the plain tar.
func (f Forger) Tar() []byte {
	var tar bytes.Buffer
	text := f.Raw
	if text == nil {
		text, _ = f.Manifest.encode()
	}
	Forged{Path: manifestPath, Kind: '0', Mode: 0o644, Content: string(text)}.put(&tar, f.Manifest.Created)
	index := newIndexWriter(text)
	for _, e := range f.Entries {
		if line := e.put(&tar, f.Manifest.Created); !e.NoIndex {
			index.add(line)
		}
	}
	text = index.finish()
	if f.Index != nil {
		text = f.Index(text)
	}
	if text != nil {
		Forged{Path: indexPath, Kind: '0', Mode: 0o644, Content: string(text)}.put(&tar, f.Manifest.Created)
	}
	for _, e := range f.Last {
		e.put(&tar, f.Manifest.Created)
	}
	if f.Tail == nil {
		f.Tail = zeros[:]
	}
	tar.Write(f.Tail)
	return tar.Bytes()
}

// Pack compresses and seals a tar.
func Pack(tar []byte) []byte {
	var out bytes.Buffer
	s := &sealing{&out, sha256.New()}
	c, _ := newCompressor(s, 1)
	_, _ = c.Write(tar)
	_ = c.Close()
	out.Write(seal(s.sum))
	return out.Bytes()
}

// Reseal replaces the digest at the end.
func Reseal(data []byte) []byte {
	sum := sha256.New()
	sum.Write(data[:len(data)-sealSize])
	return append(bytes.Clone(data[:len(data)-sealSize]), seal(sum)...)
}

// Unpack is the tar of a bundle, as far as it can be read.
func Unpack(data []byte) []byte {
	d, _ := newDecompressor(newSealed(bytes.NewReader(data)))
	defer d.Close()
	tar, _ := io.ReadAll(d)
	return tar
}

const SealSize, FrameSize = sealSize, frameSize

// Parsed is what a header tells.
type Parsed struct {
	Path, Link string
	Kind       byte
	Mode       uint32
	UID, GID   uint32
	Time       time.Time
	Size       int64
	Sparse     bool
	Xattrs     map[string]string
}

// ParseHeader reads a header and says how long it is.
func ParseHeader(data []byte) (Parsed, int, error) {
	h, raw, err := readHeader(bytes.NewReader(data))
	if err != nil {
		return Parsed{}, 0, err
	}
	p := Parsed{h.path, h.link, byte(h.kind), h.mode, h.uid, h.gid, time.Unix(h.mtime.sec, h.mtime.nsec), h.size, h.sparse, map[string]string{}}
	for _, x := range h.xattrs {
		p.Xattrs[x.Name] = x.Value
	}
	return p, len(raw), nil
}

// EncodeHeader is the header of a file.
func EncodeHeader(p Parsed) []byte {
	h := &header{path: p.Path, link: p.Link, kind: kind(p.Kind), mode: p.Mode, uid: p.UID, gid: p.GID, size: p.Size, mtime: moment{p.Time.Unix(), int64(p.Time.Nanosecond())}}
	for name, value := range p.Xattrs {
		h.xattrs = append(h.xattrs, tree.Xattr{Name: name, Value: value})
	}
	return h.encode()
}

// Thin stores small holes until a bundle can tell of the rest.
func Thin(offsets []int64, length int64) (count int, stored int64) {
	var extents []tree.Extent
	for _, at := range offsets {
		extents = append(extents, tree.Extent{Offset: at, Length: length})
	}
	for _, e := range thin(extents) {
		count, stored = count+1, stored+e.Length
	}
	return count, stored
}

// FixChecksums makes those of a header right, so that more of it is looked at.
func FixChecksums(data []byte) {
	if len(data) < blockSize {
		return
	}
	checksum(data[:blockSize])
	if size, err := parseOctal(data[124:136]); err == nil && size >= 0 && size < maxRecords && data[156] == 'x' {
		if main := blockSize + int(size+padding(size)); len(data) >= main+blockSize {
			checksum(data[main : main+blockSize])
		}
	}
}

// CaptureLate captures a file of a folder when something has happened to it
// since the walk saw it.
func CaptureLate(folder *os.File, name string, meanwhile func()) error {
	stat, err := tree.Stat(int(folder.Fd()), name)
	if err != nil {
		return err
	}
	meanwhile()
	w := &writer{ctx: context.Background(), buffer: make([]byte, 512), content: sha256.New(), index: newIndexWriter(nil)}
	w.tar, _ = newCompressor(io.Discard, 1)
	defer w.tar.Close()
	return w.file(node{folder: int(folder.Fd()), name: name, path: "items/0/" + name, kind: file, stat: stat}, &header{path: "items/0/" + name, kind: file})
}
