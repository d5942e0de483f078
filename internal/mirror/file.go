package mirror

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"

	"golang.org/x/sys/unix"

	"homelab/internal/fault"
	"homelab/internal/tree"
)

// file copies a file, or knows that there is nothing to copy.
func (e *entry) file() (*node, error) {
	now := stampOf(e.stat)
	id := inode{now.dev, now.ino}
	if first, ok := e.placed[id]; ok {
		return e.hardlink(first), nil
	}
	if e.old != nil && e.old.sure == e.trust.era && e.old.stamp == now {
		e.place(id, e.old.file)
		return e.old, nil
	}
	f, err := e.open()
	if err != nil {
		return nil, err
	}
	// What the sink has is brought up to date if it is this file, or one that
	// was replaced by it and that has no other name.
	if old := e.old; old != nil && (old.stamp.dev != f.before.dev || old.stamp.ino != f.before.ino) && old.file.names > 1 {
		e.remove()
	}
	f.node = e.old
	if f.node == nil {
		f.node, f.fresh = &node{name: e.source, file: &content{names: 1}}, true
	}
	e.place(id, f.node.file)
	f.node.stamp = f.before
	if e.held {
		f.clone()
	} else {
		f.send()
	}
	return f.node, nil
}

// place notes where a file is that has other names.
func (e *entry) place(id inode, c *content) {
	if e.stat.Nlink > 1 || c.names > 1 {
		e.placed[id] = placed{c, e.path}
	}
}

// filing is a file that is being copied.
type filing struct {
	*entry
	fd      int
	cloned  bool  // the descriptor is that of clones,
	base    int64 // and it is there
	before  stamp
	head    []byte
	extents []tree.Extent
	node    *node
	fresh   bool // the sink has none yet

	// Of the steps:
	opened bool // by the sink
	kept   []block
	bytes  int64 // of data
}

func (e *entry) open() (*filing, error) {
	fd, err := tree.Open(e.in.fd, e.source, unix.O_RDONLY)
	if err != nil {
		return nil, e.failed(err)
	}
	f := &filing{entry: e, fd: fd}
	if err := f.look(); err != nil {
		_ = unix.Close(fd) // nothing was written
		return nil, err
	}
	return f, nil
}

func (f *filing) look() error {
	// A write that runs since before the last sync may have set the times long
	// ago: seeking waits for it where reading does not.
	_, _ = unix.Seek(f.fd, 0, unix.SEEK_DATA) // it may find none
	stat, err := tree.StatOpen(f.fd)
	if err != nil {
		return f.failed(err)
	}
	f.before = stampOf(stat)
	if f.before.kind() != unix.S_IFREG {
		return errMoved
	}
	if f.final && f.before != stampOf(f.stat) {
		return changed(shown(f.path))
	}
	if f.before.size > maxSize {
		return fault.Newf(fault.Precondition, "exclude it", "%.300q is larger than any bundle can tell", shown(f.path))
	}
	extents, sparse, err := tree.Extents(f.fd, stat)
	if err != nil {
		return f.failed(err)
	}
	if f.extents = extents; !sparse && stat.Size > 0 {
		f.extents = []tree.Extent{{Length: stat.Size}}
	}
	xattrs, err := f.xattrs(f.fd)
	f.head = headOf(stat, xattrs).encode()
	return err
}

// send makes the steps of a file.
func (f *filing) send() {
	var most int64
	for _, e := range f.extents {
		most += e.Length/blockSize + 2
	}
	f.kept = make([]block, 0, min(most, (f.before.size+blockSize-1)/blockSize))
	had := f.node.file.blocks
	for index, parts := range dataBlocks(f.extents) {
		if f.ctx.Err() != nil {
			break
		}
		for len(had) > 0 && had[0].index < index {
			f.hole(had[0].index)
			had = had[1:]
		}
		b := &reading{filing: f, index: index, parts: parts}
		if len(had) > 0 && had[0].index == index {
			b.had, had = &had[0], had[1:]
		}
		f.put(&step{work: b.read, emit: b.emit, drop: b.drop})
	}
	for _, b := range had {
		f.hole(b.index)
	}
	f.put(&step{emit: f.finish, drop: f.close})
}

// close closes what is the file's own; nothing was written.
func (f *filing) close() {
	if !f.cloned {
		_ = unix.Close(f.fd)
	}
}

// hole makes a block a hole that held data; what is behind the end is cut off
// anyway.
func (f *filing) hole(index int64) {
	if at := index * blockSize; at < f.before.size {
		f.then(func() error { return f.punch(at, blockSize) })
	}
}

func (f *filing) punch(at, length int64) error {
	if err := f.begin(); err != nil {
		return err
	}
	return f.out.put(frameHole, appendInt(appendInt(nil, at), length))
}

// begin has the sink open the file.
func (f *filing) begin() error {
	if f.opened {
		return nil
	}
	f.opened = true
	kind := frameOpen
	if f.fresh {
		kind = frameCreate
	}
	return f.at(f.in, kind, []byte(f.name))
}

// finish compares what is open with what was opened, and ends the file.
func (f *filing) finish() error {
	defer f.close()
	same := true
	if !f.cloned {
		stat, err := tree.StatOpen(f.fd)
		if err != nil {
			return readFailed(shown(f.path), err)
		}
		same = stampOf(stat) == f.before
	}
	if !same && f.final {
		return changed(shown(f.path))
	}
	n, c := f.node, f.node.file
	sum := digestOf(f.head)
	if f.fresh || f.opened || sum != n.head || f.before.size != c.size {
		if err := f.begin(); err != nil {
			return err
		}
		if err := f.out.put(frameClose, appendInt(nil, f.before.size), f.head); err != nil {
			return err
		}
	}
	n.stamp, n.head, n.sure = f.before, sum, 0
	c.blocks, c.size = f.kept, f.before.size
	if same {
		n.sure = f.trust.sure(&f.before)
	} else {
		f.emitted.unsettled++
	}
	if n.sure == 0 {
		f.emitted.suspect += f.bytes
		f.rehearse()
	}
	f.emitted.files++
	f.emitted.read += f.bytes
	return nil
}

// reading is a block of a file that is read.
type reading struct {
	*filing
	index int64
	parts []tree.Extent
	had   *block // what the sink has there
	into  *[blockSize]byte
	sum   digest
	err   error
}

var hashes = sync.Pool{New: func() any { return sha256.New() }}

// read reads the block as far as it is there.
func (b *reading) read() {
	b.into = buffers.Get().(*[blockSize]byte)
	sum := hashes.Get().(hash.Hash)
	defer hashes.Put(sum)
	sum.Reset()
	var places []byte
	at := int64(0)
	for i := range b.parts {
		part := &b.parts[i]
		n, err := readFull(b.fd, b.into[at:at+part.Length], b.base+part.Offset)
		if err != nil {
			b.err = err
			return
		}
		part.Length = n // less when the file shrinks
		sum.Write(b.into[at : at+n])
		places = binary.BigEndian.AppendUint64(places, uint64(part.Offset))
		places = binary.BigEndian.AppendUint64(places, uint64(part.Length))
		at += n
	}
	sum.Write(places)
	var whole [sha256.Size]byte
	copy(b.sum[:], sum.Sum(whole[:0]))
}

func readFull(fd int, into []byte, offset int64) (n int64, err error) {
	for n < int64(len(into)) {
		more, err := tree.ReadAt(fd, into[n:], offset+n)
		if err != nil {
			return n, err
		}
		if more == 0 {
			break
		}
		n += int64(more)
	}
	return n, nil
}

// emit sends the block if the sink has another one.
func (b *reading) emit() error {
	defer b.drop()
	if b.err != nil {
		return readFailed(shown(b.path), b.err)
	}
	b.kept = append(b.kept, block{b.index, b.sum})
	for _, part := range b.parts {
		b.bytes += part.Length
	}
	if b.had != nil && b.had.sum == b.sum {
		return nil
	}
	if err := b.begin(); err != nil {
		return err
	}
	// Around the data the sink may have something else.
	from, end := b.index*blockSize, (b.index+1)*blockSize
	at := int64(0)
	for _, part := range b.parts {
		if !b.fresh && from < part.Offset {
			if err := b.punch(from, part.Offset-from); err != nil {
				return err
			}
		}
		if part.Length == 0 {
			break
		}
		if err := b.out.put(frameData, appendInt(nil, part.Offset), b.into[at:at+part.Length]); err != nil {
			return err
		}
		from, at = part.End(), at+part.Length
	}
	if !b.fresh && from < min(end, b.before.size) {
		return b.punch(from, end-from)
	}
	return nil
}

func (b *reading) drop() { buffers.Put(b.into) }
