package gitrepo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"golang.org/x/sys/unix"

	"homelab/internal/plan"
)

// index is a parsed index file, versions 2 to 4, with its cache tree. The
// format is described in gitformat-index(5).
//
// go-git reads indexes too, but neither the cache tree, which spares walking
// the base, nor the stat data in the form a scan needs.
type index struct {
	stamp     fileStamp
	entries   []indexEntry // stage 0, sorted; without intent-to-add
	intents   []string     // paths added with git add -N
	unmerged  []string     // paths with conflict stages, once each
	besides   []plan.Entry // both of these, with the kind of the first stage
	cacheTree *cacheTree   // nil when the index has none

	attributes bool // it has a .gitattributes file
	hidden     bool // some entry is assume-unchanged or skip-worktree
	ruled      bool // some .gitignore file is skip-worktree: where it is not on disk git reads it from here

	listOnce sync.Once
	list     []plan.Entry
}

// indexEntry is one tracked path with the stat data it had when git last
// looked. The numbers are the low 32 bits, as the file has them.
type indexEntry struct {
	leaf
	ctime, mtime         [2]uint32 // seconds, nanoseconds
	ino, uid, gid, size  uint32
	assumeValid, skipped bool
}

// cacheTree remembers the tree objects that parts of the index correspond to.
type cacheTree struct {
	name     string
	count    int // entries below; negative: not valid
	hash     plumbing.Hash
	children []*cacheTree
}

// errForeignIndex says that only the git command understands the index.
type errForeignIndex string

func (e errForeignIndex) Error() string { return "the index " + string(e) }

// maxIndex is the size in bytes above which the git command is asked instead.
const maxIndex = 1 << 30

func readIndex(path string) (*index, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); errors.Is(err, os.ErrNotExist) {
		return &index{}, nil // nothing was ever added
	} else if err != nil {
		return nil, &pathError{"stat", path, err}
	}
	if st.Size > maxIndex {
		return nil, errForeignIndex("is too large")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	ix, err := parseIndex(raw)
	if err != nil {
		return nil, err
	}
	ix.stamp = stampOf(&st)
	return ix, nil
}

const (
	indexHeader  = 12
	entryFixed   = 62 // bytes before the path, without extended flags
	hashSize     = 20
	flagAssume   = 0x8000
	flagExtended = 0x4000
	flagStage    = 0x3000
	extSkip      = 0x4000 // of the extended flags
	extIntent    = 0x2000
)

var errCorruptIndex = errors.New("the index is corrupt")

func parseIndex(raw []byte) (*index, error) {
	if len(raw) < indexHeader+hashSize || string(raw[:4]) != "DIRC" {
		return nil, errCorruptIndex
	}
	version := binary.BigEndian.Uint32(raw[4:])
	count := int(binary.BigEndian.Uint32(raw[8:]))
	if version < 2 || version > 4 {
		return nil, errForeignIndex(fmt.Sprintf("has version %d", version))
	}
	body := raw[:len(raw)-hashSize]
	if count > len(body)/entryFixed {
		return nil, errCorruptIndex
	}
	p := &indexParser{raw: body, at: indexHeader, version: version}
	if version < 4 {
		p.text = string(body) // paths are cut out of this one string
	}
	p.index.entries = make([]indexEntry, 0, count)
	for range count {
		if err := p.entry(); err != nil {
			return nil, err
		}
	}
	if err := p.extensions(); err != nil {
		return nil, err
	}
	return &p.index, nil
}

type indexParser struct {
	raw     []byte
	text    string
	at      int
	version uint32
	last    string // previous path, which version 4 builds on
	index   index
}

func (p *indexParser) entry() error {
	if p.at+entryFixed > len(p.raw) {
		return errCorruptIndex
	}
	start, raw := p.at, p.raw[p.at:]
	word := func(i int) uint32 { return binary.BigEndian.Uint32(raw[4*i:]) }
	e := indexEntry{
		ctime: [2]uint32{word(0), word(1)}, mtime: [2]uint32{word(2), word(3)},
		ino: word(5), uid: word(7), gid: word(8), size: word(9),
	}
	e.mode = filemode.FileMode(word(6))
	copy(e.hash[:], raw[40:60])
	flags := binary.BigEndian.Uint16(raw[60:])
	p.at += entryFixed
	extended := uint16(0)
	if flags&flagExtended != 0 {
		if p.at+2 > len(p.raw) {
			return errCorruptIndex
		}
		extended = binary.BigEndian.Uint16(p.raw[p.at:])
		p.at += 2
	}
	if e.mode == filemode.Dir {
		return errForeignIndex("is sparse")
	}
	if err := p.path(start, &e); err != nil {
		return err
	}
	e.mode = canonical(e.mode)
	e.assumeValid, e.skipped = flags&flagAssume != 0, extended&extSkip != 0
	switch ix := &p.index; {
	case flags&flagStage != 0:
		if n := len(ix.unmerged); n == 0 || ix.unmerged[n-1] != e.path {
			ix.unmerged = append(ix.unmerged, e.path)
			ix.besides = append(ix.besides, entryOf(e.path, e.mode))
		}
	case extended&extIntent != 0 && (e.assumeValid || e.skipped):
		// Git takes it for an empty file, whatever is there: no diff with the index
		// says so.
		return errForeignIndex("adds by intent what is taken for unchanged")
	case extended&extIntent != 0:
		ix.intents = append(ix.intents, e.path)
		ix.besides = append(ix.besides, entryOf(e.path, e.mode))
	default:
		ix.entries = append(ix.entries, e)
	}
	if strings.HasSuffix(e.path, ".gitattributes") {
		p.index.attributes = true
	}
	p.index.hidden = p.index.hidden || e.assumeValid || e.skipped
	p.index.ruled = p.index.ruled || e.skipped && filepath.Base(e.path) == ".gitignore"
	return nil
}

// path reads the name of the entry that began at start. Up to version 3 it is
// followed by one to eight NULs; in version 4 it is the previous one with its
// end replaced.
func (p *indexParser) path(start int, e *indexEntry) error {
	if p.version == 4 {
		strip, n := offsetVarint(p.raw[p.at:])
		if n == 0 || strip > len(p.last) {
			return errCorruptIndex
		}
		p.at += n
		end := bytes.IndexByte(p.raw[p.at:], 0)
		if end < 0 {
			return errCorruptIndex
		}
		e.path = p.last[:len(p.last)-strip] + string(p.raw[p.at:p.at+end])
		p.last = e.path
		p.at += end + 1
		return nil
	}
	end := bytes.IndexByte(p.raw[p.at:], 0)
	if end < 0 {
		return errCorruptIndex
	}
	e.path = p.text[p.at : p.at+end]
	p.at += end
	p.at = start + (p.at-start+8)/8*8
	if p.at > len(p.raw) {
		return errCorruptIndex
	}
	return nil
}

// offsetVarint reads the variable-width integer of version 4 and of packs; n is
// 0 when it is malformed.
func offsetVarint(raw []byte) (value, n int) {
	for i, b := range raw {
		if i > 4 {
			return 0, 0
		}
		if i > 0 {
			value++
		}
		value = value<<7 | int(b&0x7f)
		if b&0x80 == 0 {
			return value, i + 1
		}
	}
	return 0, 0
}

func (p *indexParser) extensions() error {
	for p.at < len(p.raw) {
		if p.at+8 > len(p.raw) {
			return errCorruptIndex
		}
		name := string(p.raw[p.at : p.at+4])
		size := int(binary.BigEndian.Uint32(p.raw[p.at+4:]))
		p.at += 8
		if size > len(p.raw)-p.at {
			return errCorruptIndex
		}
		data := p.raw[p.at : p.at+size]
		p.at += size
		switch {
		case name == "TREE":
			tree, rest := parseCacheTree(data)
			if tree == nil || len(rest) > 0 {
				return errCorruptIndex
			}
			p.index.cacheTree = tree
		case name == "link":
			return errForeignIndex("is split")
		case name[0] < 'A' || name[0] > 'Z':
			return errForeignIndex("needs the extension " + name)
		}
	}
	return nil
}

// parseCacheTree reads one node and its children: name NUL, entry count, space,
// number of children, newline, and the hash when the count is not negative.
func parseCacheTree(data []byte) (*cacheTree, []byte) {
	name, rest, ok := bytes.Cut(data, []byte{0})
	if !ok {
		return nil, nil
	}
	line, rest, ok := bytes.Cut(rest, []byte{'\n'})
	first, second, two := strings.Cut(string(line), " ")
	count, err := strconv.Atoi(first)
	children, err2 := strconv.Atoi(second)
	if !ok || !two || err != nil || err2 != nil || children < 0 || children > len(rest) {
		return nil, nil
	}
	node := &cacheTree{name: string(name), count: count}
	if count >= 0 {
		if len(rest) < hashSize {
			return nil, nil
		}
		copy(node.hash[:], rest)
		rest = rest[hashSize:]
	}
	for range children {
		var child *cacheTree
		if child, rest = parseCacheTree(rest); child == nil {
			return nil, nil
		}
		node.children = append(node.children, child)
	}
	return node, rest
}

// child is the node of a subfolder, or nil.
func (c *cacheTree) child(name string) *cacheTree {
	if c == nil {
		return nil
	}
	for _, child := range c.children {
		if child.name == name {
			return child
		}
	}
	return nil
}

// below is the end of the run of entries that start with prefix, which begins
// at lo.
func below(entries []indexEntry, lo, hi int, prefix string) int {
	return lo + sort.Search(hi-lo, func(i int) bool {
		return !strings.HasPrefix(entries[lo+i].path, prefix)
	})
}

// find is the entry of a path, or nil.
func (ix *index) find(path string) *indexEntry {
	at, found := sort.Find(len(ix.entries), func(i int) int { return strings.Compare(path, ix.entries[i].path) })
	if !found {
		return nil
	}
	return &ix.entries[at]
}
