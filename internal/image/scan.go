package image

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"path"
	"strings"
)

// scanner reads the entries of an archive.
type scanner struct {
	ctx     context.Context
	archive *archive
	tar     *tar.Reader
	inner   decompressor // of entries
	buffer  []byte
}

func scan(ctx context.Context, source *tail) (*archive, error) {
	s := &scanner{
		ctx:     ctx,
		archive: &archive{entries: map[string]entry{}},
		tar:     tar.NewReader(source),
		buffer:  make([]byte, aheadSize),
	}
	defer s.inner.Close()
	for count := 0; ; count++ {
		header, err := s.tar.Next()
		switch {
		case err == io.EOF:
			return s.archive, source.end(s.buffer)
		case count == 0 && errors.Is(err, tar.ErrHeader):
			return nil, foreign("this is no tar archive")
		case err != nil:
			return nil, unreadable(err)
		case count == maxEntries:
			return nil, broken("the archive has more than %d entries", maxEntries)
		}
		if err := s.add(count+1, header); err != nil {
			return nil, err
		}
	}
}

// add reads the entry at a place of the tar, counted from 1. A later one of the
// same name takes its place, as when the archive is unpacked.
func (s *scanner) add(at int, header *tar.Header) error {
	var e entry
	var err error
	switch header.Typeflag {
	case tar.TypeReg:
		e, err = s.file(header)
	case tar.TypeSymlink:
		if path.IsAbs(header.Linkname) {
			e.link = clean(header.Linkname)
		} else {
			e.link = clean(path.Join(path.Dir(header.Name), header.Linkname))
		}
	case tar.TypeLink:
		e.link = clean(header.Linkname)
	case tar.TypeGNUSparse:
		err = broken("%.200q is sparse", header.Name)
	default:
		return nil
	}
	if err != nil {
		return err
	}
	e.at = at
	name := clean(header.Name)
	if want, ok := strings.CutPrefix(name, blobs); ok && e.link == "" && e.sum != digest("sha256:"+want) {
		return broken("blob %.200q has the digest %s", name, e.sum)
	}
	s.archive.entries[name] = e
	return s.keep(len(name) + len(e.link))
}

// keep counts what is held in memory.
func (s *scanner) keep(bytes int) error {
	if s.archive.kept += int64(bytes); s.archive.kept > maxKept {
		return broken("the archive has more than %d bytes of names and JSON", maxKept)
	}
	return nil
}

// file hashes a file, keeps it when it may be JSON, and hashes what it holds
// when it is compressed.
func (s *scanner) file(header *tar.Header) (entry, error) {
	for field := range header.PAXRecords {
		// Its size is a claim: terabytes of holes cost nothing to write.
		if strings.HasPrefix(field, sparseField) {
			return entry{}, broken("%.200q is sparse", header.Name)
		}
	}
	e := entry{size: header.Size}
	raw := sha256.New()
	content := io.TeeReader(s.tar, raw)
	magic := make([]byte, min(e.size, 4))
	if _, err := io.ReadFull(content, magic); err != nil {
		return e, unreadable(err)
	}
	switch compression := compressionOf(magic); {
	case compression != Uncompressed:
		if err := s.unpack(&e, io.MultiReader(bytes.NewReader(magic), content), compression); err != nil {
			return e, err
		}
	case e.size <= maxText && isJSON(magic):
		if err := s.keep(int(e.size)); err != nil {
			return e, err
		}
		e.text = append(make([]byte, 0, e.size), magic...)
		e.text = e.text[:e.size]
		if _, err := io.ReadFull(content, e.text[len(magic):]); err != nil {
			return e, unreadable(err)
		}
	}
	if _, err := io.CopyBuffer(raw, s.tar, s.buffer); err != nil {
		return e, unreadable(err)
	}
	e.sum = digestOf(raw)
	return e, nil
}

// unpack hashes what a compressed entry holds. That it cannot be decompressed
// matters only if it turns out to be a layer.
func (s *scanner) unpack(e *entry, content io.Reader, compression Compression) error {
	plain, err := s.inner.open(content, compression)
	if err == nil {
		sum := sha256.New()
		e.plainSize, err = copyPlain(s.ctx, sum, plain, e.size, s.buffer)
		e.plainSum = digestOf(sum)
	}
	if err != nil {
		e.plainSum, e.err = "", err
	}
	return s.ctx.Err()
}

// copyPlain copies what is decompressed from packed bytes; much of it is
// decompressed in a goroutine of its own.
func copyPlain(ctx context.Context, to io.Writer, plain io.Reader, packed int64, buffer []byte) (int64, error) {
	if packed < aheadSize {
		return io.CopyBuffer(to, within{ctx, plain}, buffer)
	}
	pipe := readAhead(ctx, plain)
	defer pipe.Close()
	return io.CopyBuffer(to, pipe, buffer)
}

// within ends a read with its context: a few bytes can unpack to very many.
type within struct {
	ctx    context.Context
	source io.Reader
}

func (w within) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.source.Read(p)
}

func isJSON(head []byte) bool {
	return len(head) > 0 && strings.IndexByte("{[ \t\r\n", head[0]) >= 0
}
