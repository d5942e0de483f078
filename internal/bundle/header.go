package bundle

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"homelab/internal/tree"
)

// kind is the type of an entry, as tar spells it.
type kind byte

const (
	file     kind = '0'
	hardlink kind = '1'
	symlink  kind = '2'
	folder   kind = '5'
)

func (k kind) String() string {
	return map[kind]string{file: "file", hardlink: "hardlink", symlink: "symlink", folder: "folder"}[k]
}

// header is what a bundle says of an entry before its content.
type header struct {
	path     string // without a slash at its end
	kind     kind
	mode     uint32 // permissions, with setuid, setgid and sticky
	uid, gid uint32
	mtime    moment
	link     string // of a symbolic link its target; of a hard link the path of an entry before it
	size     int64  // of a file, with its holes
	sparse   bool
	extents  []tree.Extent // of a sparse file: what is stored of it
	xattrs   []tree.Xattr  // by name
}

// moment is a time as file systems have it: seconds since 1970, and what is to
// be added to them.
type moment struct {
	sec  int64
	nsec int64
}

// stored is how many bytes of content follow the header.
func (h *header) stored() int64 {
	if !h.sparse {
		return h.size
	}
	var n int64
	for _, e := range h.extents {
		n += e.Length
	}
	return n
}

// data lists what is stored of a file.
func (h *header) data() []tree.Extent {
	if !h.sparse {
		return []tree.Extent{{Length: h.size}}
	}
	return h.extents
}

const (
	blockSize   = 512
	xattrRecord = "SCHILY.xattr."
	sparseName  = "GNUSparseFile.0"
)

// encode is the header as it stands in the tar: in the PAX format of POSIX, and
// for a sparse file with the map of it in GNU's format 1.0. A header has one
// encoding; the reader takes no other.
func (h *header) encode() []byte {
	var blocks []byte
	if records := h.records(); len(records) > 0 {
		blocks = ustar("PaxHeader", 0o644, 'x', int64(len(records)))
		blocks = pad(append(blocks, records...))
	}
	var sparseMap []byte
	if h.sparse {
		sparseMap = h.encodeMap()
	}
	name := h.name()
	if h.sparse {
		name = sparseName
	}
	main := ustar(plain(name), h.mode, byte(h.kind), h.body())
	octal(main[108:116], int64(h.uid))
	octal(main[116:124], int64(h.gid))
	octal(main[136:148], max(h.mtime.sec, 0))
	copy(main[157:257], plain(h.link))
	checksum(main)
	return append(append(blocks, main...), sparseMap...)
}

// name is the path as tar has it.
func (h *header) name() string {
	if h.kind == folder {
		return h.path + "/"
	}
	return h.path
}

// records is the extended header: what does not fit into the plain one.
func (h *header) records() []byte {
	all := map[string]string{}
	if h.sparse {
		all["GNU.sparse.major"], all["GNU.sparse.minor"] = "1", "0"
		all["GNU.sparse.name"] = h.path
		all["GNU.sparse.realsize"] = strconv.FormatInt(h.size, 10)
	} else if name := h.name(); plain(name) != name {
		all["path"] = name
	}
	if plain(h.link) != h.link {
		all["linkpath"] = h.link
	}
	for name, id := range map[string]uint32{"uid": h.uid, "gid": h.gid} {
		if !fits(int64(id), 8) {
			all[name] = strconv.FormatUint(uint64(id), 10)
		}
	}
	if !fits(h.body(), 12) {
		all["size"] = strconv.FormatInt(h.body(), 10)
	}
	if h.mtime.nsec != 0 || !fits(h.mtime.sec, 12) {
		all["mtime"] = h.mtime.String()
	}
	for _, x := range h.xattrs {
		all[xattrRecord+xattrKey.Replace(x.Name)] = x.Value
	}
	keys := make([]string, 0, len(all))
	for key := range all {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	var records []byte
	for _, key := range keys {
		records = append(records, paxRecord(key, all[key])...)
	}
	return records
}

// A '=' ends the key of a record, so GNU tar spells those of a name otherwise.
var (
	xattrKey  = strings.NewReplacer("%", "%25", "=", "%3D")
	xattrName = strings.NewReplacer("%25", "%", "%3D", "=")
)

// paxRecord is "LENGTH KEY=VALUE\n"; the length counts itself.
func paxRecord(key, value string) string {
	rest := " " + key + "=" + value + "\n"
	length := len(rest)
	for {
		text := strconv.Itoa(length) + rest
		if len(text) == length {
			return text
		}
		length = len(text)
	}
}

func (m moment) String() string {
	sec, nsec, sign := m.sec, m.nsec, ""
	if sec < 0 {
		sign, sec = "-", -sec
		if nsec > 0 {
			sec, nsec = sec-1, 1e9-nsec
		}
	}
	text := fmt.Sprintf("%s%d", sign, sec)
	if nsec > 0 {
		text += "." + strings.TrimRight(fmt.Sprintf("%09d", nsec), "0")
	}
	return text
}

// encodeMap is how many extents there are, and the offset and length of each,
// a number a line. A hole at the end is an extent of no length behind it.
func (h *header) encodeMap() []byte {
	extents := h.extents
	if len(extents) == 0 || extents[len(extents)-1].End() < h.size {
		extents = append(slices.Clip(extents), tree.Extent{Offset: h.size})
	}
	text := strconv.AppendInt(nil, int64(len(extents)), 10)
	text = append(text, '\n')
	for _, e := range extents {
		text = append(strconv.AppendInt(text, e.Offset, 10), '\n')
		text = append(strconv.AppendInt(text, e.Length, 10), '\n')
	}
	return pad(text)
}

// body is the size of the entry as tar knows it: its content with the map.
func (h *header) body() int64 {
	if !h.sparse {
		return h.size
	}
	return int64(len(h.encodeMap())) + h.stored()
}

// ustar is a header block. It has its checksum unless fields are added.
func ustar(name string, mode uint32, typeflag byte, size int64) []byte {
	block := make([]byte, blockSize)
	copy(block[:100], name)
	octal(block[100:108], int64(mode))
	octal(block[108:116], 0)
	octal(block[116:124], 0)
	octal(block[124:136], size)
	octal(block[136:148], 0)
	block[156] = typeflag
	copy(block[257:], "ustar\x0000")
	octal(block[329:337], 0)
	octal(block[337:345], 0)
	checksum(block)
	return block
}

// checksum is the sum of all bytes, those of the field itself taken as spaces.
func checksum(block []byte) {
	copy(block[148:156], "        ")
	var sum int64
	for _, b := range block {
		sum += int64(b)
	}
	copy(block[148:156], fmt.Sprintf("%06o\x00 ", sum))
}

// octal fills a field; what does not fit is 0, and told in a record.
func octal(field []byte, n int64) {
	if !fits(n, len(field)) {
		n = 0
	}
	copy(field, fmt.Sprintf("%0*o", len(field)-1, n))
}

func fits(n int64, field int) bool { return n >= 0 && n < 1<<(3*(field-1)) }

// plain is text as the plain header can have it; if that is not all of it, there
// is a record as well.
func plain(text string) string {
	short := []byte(text[:min(len(text), 100)])
	for i, b := range short {
		if b >= 0x80 || b == 0 {
			short[i] = '_'
		}
	}
	return string(short)
}

// pad fills up the last block.
func pad(data []byte) []byte {
	return append(data, make([]byte, padding(int64(len(data))))...)
}

func padding(n int64) int64 { return -n & (blockSize - 1) }

var zeros [2 * blockSize]byte

func isZero(block []byte) bool { return bytes.Equal(block, zeros[:len(block)]) }

// compare orders paths as they are in a bundle: a folder right before what is
// in it.
func compare(a, b string) int {
	for i := 0; i < len(a) && i < len(b); i++ {
		if a[i] != b[i] {
			switch {
			case a[i] == '/':
				return -1
			case b[i] == '/':
				return 1
			}
			return cmp.Compare(a[i], b[i])
		}
	}
	return cmp.Compare(len(a), len(b))
}
