package gitrepo

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"sort"

	"github.com/go-git/go-git/v5/plumbing"
)

// packedTree is the tree of a commit that is in a pack as a whole, not as a
// delta; false when it is not found that way. go-git would read every index of
// every pack first: for the one object that each question needs, HEAD's commit,
// that takes longer than all else. See gitformat-pack(5).
func packedTree(commonDir string, commit plumbing.Hash) (plumbing.Hash, bool) {
	indexes, err := filepath.Glob(filepath.Join(escapeMeta(commonDir), "objects", "pack", "*.idx"))
	if err != nil {
		return plumbing.ZeroHash, false
	}
	for _, index := range indexes {
		if offset, ok := packOffset(index, commit); ok {
			return treeAt(index[:len(index)-len("idx")]+"pack", offset)
		}
	}
	return plumbing.ZeroHash, false
}

// escapeMeta keeps a folder's name from being taken for a pattern.
func escapeMeta(path string) string {
	var out bytes.Buffer
	for i := range len(path) {
		if bytes.IndexByte([]byte(`*?[\`), path[i]) >= 0 {
			out.WriteByte('\\')
		}
		out.WriteByte(path[i])
	}
	return out.String()
}

const (
	packHeader = 8 // magic number and version
	packFanout = 256 * 4
	packLarge  = 1 << 31 // the offset is in another table
)

// packOffset looks an object up in a pack index of version 2.
func packOffset(index string, id plumbing.Hash) (int64, bool) {
	file, err := os.Open(index)
	if err != nil {
		return 0, false
	}
	defer file.Close()
	head := make([]byte, packHeader+packFanout)
	if _, err := file.ReadAt(head, 0); err != nil || string(head[:packHeader]) != "\xfftOc\x00\x00\x00\x02" {
		return 0, false
	}
	fanout := func(i int) int64 {
		if i < 0 {
			return 0
		}
		return int64(binary.BigEndian.Uint32(head[packHeader+4*i:]))
	}
	lo, hi, count := fanout(int(id[0])-1), fanout(int(id[0])), fanout(255)
	if lo >= hi || hi > count {
		return 0, false
	}
	names := make([]byte, (hi-lo)*hashSize)
	if _, err := file.ReadAt(names, int64(len(head))+lo*hashSize); err != nil {
		return 0, false
	}
	at, found := sort.Find(int(hi-lo), func(i int) int {
		return bytes.Compare(id[:], names[i*hashSize:(i+1)*hashSize])
	})
	if !found {
		return 0, false
	}
	var word [4]byte
	const checksum = 4
	if _, err := file.ReadAt(word[:], int64(len(head))+count*(hashSize+checksum)+(lo+int64(at))*4); err != nil {
		return 0, false
	}
	offset := binary.BigEndian.Uint32(word[:])
	return int64(offset), offset < packLarge
}

// treeAt reads the tree of the commit at an offset of a pack.
func treeAt(pack string, offset int64) (plumbing.Hash, bool) {
	file, err := os.Open(pack)
	if err != nil {
		return plumbing.ZeroHash, false
	}
	defer file.Close()
	const most = 1 << 20
	reader := bufio.NewReaderSize(io.NewSectionReader(file, offset, most), 1024)
	first, err := reader.ReadByte()
	if err != nil || plumbing.ObjectType(first>>4&7) != plumbing.CommitObject {
		return plumbing.ZeroHash, false
	}
	for more := first; more&0x80 != 0; {
		if more, err = reader.ReadByte(); err != nil {
			return plumbing.ZeroHash, false
		}
	}
	inflated, err := zlib.NewReader(reader)
	if err != nil {
		return plumbing.ZeroHash, false
	}
	line := make([]byte, len("tree ")+2*hashSize)
	_, err = io.ReadFull(inflated, line)
	id, ok := bytes.CutPrefix(line, []byte("tree "))
	if err != nil || !ok || !plumbing.IsHash(string(id)) {
		return plumbing.ZeroHash, false
	}
	return plumbing.NewHash(string(id)), true
}
