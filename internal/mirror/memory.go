package mirror

import (
	"crypto/sha256"
	"iter"

	"golang.org/x/sys/unix"

	"homelab/internal/tree"
)

// node is what the source remembers of an entry: what the sink has of it.
type node struct {
	name  string
	stamp stamp
	head  digest   // of what else it has; of a link also where it leads
	sure  era      // while this is the era, the same stamp means the same content
	file  *content // of a file; all its names share one
	below *[]*node // of a folder: its entries, by name
}

// content is what the sink has of a file. What is in no block is a hole.
type content struct {
	blocks []block
	size   int64
	names  int32 // how many nodes have it
}

// block is a block of a file that holds data.
type block struct {
	index int64
	sum   digest
}

// digest is the first half of a SHA-256.
type digest [16]byte

func digestOf(parts ...[]byte) (d digest) {
	sum := sha256.New()
	for _, part := range parts {
		sum.Write(part)
	}
	copy(d[:], sum.Sum(nil))
	return d
}

// stamp is what every write to a file changes.
type stamp struct {
	dev, ino     uint64
	size         int64
	msec, csec   int64
	mnsec, cnsec int32
	mode         uint32
}

func stampOf(s *unix.Stat_t) stamp {
	return stamp{uint64(s.Dev), s.Ino, s.Size, s.Mtim.Sec, s.Ctim.Sec, int32(s.Mtim.Nsec), int32(s.Ctim.Nsec), uint32(s.Mode)}
}

func (s *stamp) kind() uint32 { return s.mode & unix.S_IFMT }

func headOf(s *unix.Stat_t, xattrs []tree.Xattr) *head {
	return &head{uint32(s.Mode) & 0o7777, s.Uid, s.Gid, s.Mtim.Sec, s.Mtim.Nsec, xattrs}
}

// forget notes that names are gone.
func (n *node) forget() {
	if n.file != nil {
		n.file.names--
	}
	if n.below != nil {
		for _, in := range *n.below {
			in.forget()
		}
	}
}

// dataBlocks lists the blocks that hold data, and where in the file.
func dataBlocks(extents []tree.Extent) iter.Seq2[int64, []tree.Extent] {
	return func(yield func(int64, []tree.Extent) bool) {
		index, parts := int64(-1), []tree.Extent(nil)
		for _, e := range extents {
			for at := e.Offset; at < e.End(); {
				here := at / blockSize
				if here != index {
					if len(parts) > 0 && !yield(index, parts) {
						return
					}
					index, parts = here, nil
				}
				length := min(e.End(), (here+1)*blockSize) - at
				parts = append(parts, tree.Extent{Offset: at, Length: length})
				at += length
			}
		}
		if len(parts) > 0 {
			yield(index, parts)
		}
	}
}
