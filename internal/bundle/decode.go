package bundle

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"

	"homelab/internal/tree"
)

// errEnd is the end of the tar: two blocks of zeros.
var errEnd = fmt.Errorf("the tar has ended")

// badHeader is why a header is refused.
func badHeader(format string, args ...any) error { return corrupt(format, args...) }

// readHeader reads a header, and returns it with its bytes. What is decoded is
// encoded again and must give these bytes. So there is one way to read a bundle,
// and a person's tar and this reader see the same.
func readHeader(in io.Reader) (*header, []byte, error) {
	raw, err := more(in, nil, blockSize)
	if err != nil {
		return nil, nil, err
	}
	if isZero(raw) {
		if raw, err = more(in, nil, blockSize); err == nil && !isZero(raw) {
			err = badHeader("the tar does not end as one of homelab")
		}
		if err != nil {
			return nil, nil, err
		}
		return nil, nil, errEnd
	}
	var records map[string]string
	if raw[156] == 'x' {
		if raw, records, err = readRecords(in, raw); err != nil {
			return nil, nil, err
		}
		if raw, err = more(in, raw, blockSize); err != nil {
			return nil, nil, err
		}
	}
	h, err := parseHeader(raw[len(raw)-blockSize:], records)
	if err != nil {
		return nil, nil, err
	}
	if h.sparse {
		if raw, err = h.readMap(in, raw); err != nil {
			return nil, nil, err
		}
	}
	if !bytes.Equal(h.encode(), raw) {
		return nil, nil, badHeader("the entry %.300q does not have the form that homelab writes", h.path)
	}
	return h, raw, nil
}

func readRecords(in io.Reader, raw []byte) ([]byte, map[string]string, error) {
	size, err := parseOctal(raw[124:136])
	if err != nil || size > maxRecords {
		return nil, nil, badHeader("an entry has an extended header of more than %d bytes", maxRecords)
	}
	if raw, err = more(in, raw, int(size+padding(size))); err != nil {
		return nil, nil, err
	}
	text := raw[blockSize : blockSize+size]
	records := map[string]string{}
	for len(text) > 0 {
		number, _, found := bytes.Cut(text[:min(len(text), 10)], []byte(" "))
		length, err := strconv.Atoi(string(number))
		if !found || err != nil || length <= len(number)+1 || length > len(text) {
			return nil, nil, badHeader("an entry has an extended header that cannot be read")
		}
		key, value, found := strings.Cut(string(text[len(number)+1:length-1]), "=")
		if !found {
			return nil, nil, badHeader("an entry has an extended header that cannot be read")
		}
		records[key] = value
		text = text[length:]
	}
	return raw, records, nil
}

// parseHeader takes from a block and its records what encode puts there. It
// need not look for what encode would not write.
func parseHeader(block []byte, records map[string]string) (*header, error) {
	h := &header{kind: kind(block[156]), path: text(block[:100]), link: text(block[157:257])}
	var mode, uid, gid int64
	for _, field := range []struct {
		into *int64
		at   []byte
	}{
		{&mode, block[100:108]}, {&uid, block[108:116]}, {&gid, block[116:124]},
		{&h.size, block[124:136]}, {&h.mtime.sec, block[136:148]},
	} {
		var err error
		if *field.into, err = parseOctal(field.at); err != nil {
			return nil, badHeader("the entry %.300q has a number that cannot be read", h.path)
		}
	}
	h.mode, h.uid, h.gid = uint32(mode), uint32(uid), uint32(gid)
	for key, value := range records {
		if err := h.take(key, value); err != nil {
			return nil, badHeader("the entry %.300q has %.100s in its extended header, which cannot be read", h.path, key)
		}
	}
	if h.kind == folder && strings.HasSuffix(h.path, "/") {
		h.path = h.path[:len(h.path)-1]
	}
	return h, h.check()
}

// take sets what a record says. Extended attributes get into the order of their
// names when the header is used.
func (h *header) take(key, value string) (err error) {
	switch key {
	case "path":
		h.path = value
	case "linkpath":
		h.link = value
	case "mtime":
		h.mtime, err = parseMoment(value)
	case "size":
		if !h.sparse {
			h.size, err = strconv.ParseInt(value, 10, 64)
		}
	case "uid", "gid":
		var id uint64
		id, err = strconv.ParseUint(value, 10, 32)
		if key == "uid" {
			h.uid = uint32(id)
		} else {
			h.gid = uint32(id)
		}
	case "GNU.sparse.name":
		h.path = value
	case "GNU.sparse.realsize":
		h.sparse = true
		h.size, err = strconv.ParseInt(value, 10, 64)
	case "GNU.sparse.major", "GNU.sparse.minor": // encode knows one version
	default:
		name, found := strings.CutPrefix(key, xattrRecord)
		if !found {
			return fmt.Errorf("unknown")
		}
		h.xattrs = append(h.xattrs, tree.Xattr{Name: xattrName.Replace(name), Value: value})
	}
	return err
}

// check refuses what no bundle holds, whoever wrote it.
func (h *header) check() error {
	switch h.kind {
	case file, hardlink, symlink, folder:
	case '3', '4', '6':
		return badHeader("%.300q is a device or a FIFO, which no bundle holds", h.path)
	default:
		return badHeader("%.300q is of the unknown type %q", h.path, byte(h.kind))
	}
	if err := checkPath(h.path); err != nil {
		return err
	}
	switch {
	case h.size < 0 || h.kind != file && h.size != 0:
		return badHeader("%.300q cannot have a size of %d bytes", h.path, h.size)
	case h.kind != file && h.sparse:
		return badHeader("%.300q is sparse and no file", h.path)
	case (h.link != "") != (h.kind == hardlink || h.kind == symlink) || strings.IndexByte(h.link, 0) >= 0 || len(h.link) > maxPath:
		return badHeader("%.300q has a target that it cannot have: %.300q", h.path, h.link)
	}
	for _, x := range h.xattrs {
		if !tree.IsCaptured(x.Name) || h.kind == symlink || h.kind == hardlink {
			return badHeader("%.300q has the attribute %.100q, which no bundle holds", h.path, x.Name)
		}
	}
	return nil
}

// checkPath refuses a path that is not one way down from where it is extracted.
func checkPath(path string) error {
	if len(path) > maxPath {
		return badHeader("the path %.300q… is longer than %d bytes", path, maxPath)
	}
	if strings.IndexByte(path, 0) >= 0 {
		return badHeader("the path %.300q holds a NUL", path)
	}
	depth := 0
	for name := range strings.SplitSeq(path, "/") {
		switch {
		case name == "" || name == "." || name == "..":
			return badHeader("the path %.300q leads elsewhere", path)
		case len(name) > tree.MaxName:
			return badHeader("the path %.300q… has a name of more than %d bytes", path, tree.MaxName)
		}
		depth++
	}
	if depth > maxDepth {
		return badHeader("the path %.300q… is deeper than %d folders", path, maxDepth)
	}
	return nil
}

// readMap reads the map of a sparse file, and appends its bytes to raw.
func (h *header) readMap(in io.Reader, raw []byte) ([]byte, error) {
	start, at := len(raw), len(raw)
	number := func() (int64, error) {
		for {
			if end := bytes.IndexByte(raw[at:], '\n'); end >= 0 {
				n, err := strconv.ParseInt(string(raw[at:at+end]), 10, 64)
				at += end + 1
				return n, err
			}
			if len(raw)-at > 20 {
				return 0, strconv.ErrSyntax
			}
			var err error
			if raw, err = more(in, raw, blockSize); err != nil {
				return 0, err
			}
		}
	}
	bad := badHeader("the sparse file %.300q has a map that cannot be read", h.path)
	count, err := number()
	if err != nil || count < 1 || count > maxExtents+1 {
		return raw, orCut(err, bad)
	}
	var end int64
	for i := range count {
		offset, err := number()
		if err != nil {
			return raw, orCut(err, bad)
		}
		length, err := number()
		if err != nil {
			return raw, orCut(err, bad)
		}
		e := tree.Extent{Offset: offset, Length: length}
		if offset < end || i > 0 && offset == end || length < 0 || length > h.size-offset || offset%blockSize != 0 && length > 0 || length%blockSize != 0 && e.End() != h.size {
			return raw, bad
		}
		if length > 0 {
			h.extents = append(h.extents, e)
		}
		end = e.End()
	}
	if len(raw)-start > (at-start)+blockSize {
		return raw, bad
	}
	return raw, nil
}

// orCut tells a map that ends too early from one that cannot be read.
func orCut(err, bad error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return err
	}
	return bad
}

// text is what stands in a field before its first NUL.
func text(field []byte) string {
	before, _, _ := bytes.Cut(field, []byte{0})
	return string(before)
}

func parseOctal(field []byte) (int64, error) { return strconv.ParseInt(text(field), 8, 64) }

func parseMoment(value string) (moment, error) {
	whole, fraction, _ := strings.Cut(value, ".")
	negative := strings.HasPrefix(whole, "-")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || len(fraction) > 9 {
		return moment{}, strconv.ErrSyntax
	}
	nsec, err := strconv.ParseUint((fraction + "000000000")[:9], 10, 32)
	if err != nil {
		return moment{}, err
	}
	if negative && nsec > 0 {
		return moment{sec - 1, 1e9 - int64(nsec)}, nil
	}
	return moment{sec, int64(nsec)}, nil
}
