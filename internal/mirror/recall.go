package mirror

import (
	"time"

	"homelab/internal/tree"
)

// A source that ends can tell its sink what it remembers, and the next source is told
// it again: so a copy that is kept is brought up to date like one within a process.
//
// What is believed without being read rests on clocks and on what was written to the
// disk. Neither outlives the kernel: a crash may leave data without its times. So a
// memory is of one boot, and its clock is the kernel's.

// memorise tells all that the source remembers; nil where nothing of it would hold.
func (s *Source) memorise() []byte {
	boot, up, err := tree.Boot()
	if err != nil || s.top == nil {
		return nil
	}
	_, steady := s.trust.clock()
	to := appendText(nil, boot)
	to = appendText(to, s.what)
	to = appendInt(to, int64(s.trust.lead+steady-up))
	m := &memoriser{to: to, era: s.trust.era, known: map[*content]int64{}}
	m.node(s.top)
	return m.to
}

// recall remembers what an earlier source did, and says whether it can.
func (s *Source) recall(memory []byte) bool {
	boot, up, err := tree.Boot()
	if err != nil || len(memory) == 0 || s.top != nil {
		return false
	}
	f := &fields{rest: memory}
	if f.text() != boot || f.text() != s.what {
		return false
	}
	_, steady := s.trust.clock()
	lead := time.Duration(f.int64()) + up - steady
	r := &recaller{fields: f}
	top := r.node(0)
	if f.done() != nil {
		return false
	}
	s.top, s.trust.era, s.trust.lead = top, firstEra, lead
	return true
}

// firstEra is that of what is recalled.
const firstEra era = 1

const (
	isLink   = iota // and all that is remembered by its head alone
	isFolder        // with its entries
	isFile          // with its content
	isName          // of a file before it
)

const isSure = 1 << 7

type memoriser struct {
	to    []byte
	era   era
	known map[*content]int64
}

func (m *memoriser) node(n *node) {
	m.to = appendText(m.to, n.name)
	for _, number := range n.stamp.numbers() {
		m.to = appendInt(m.to, number)
	}
	m.to = append(m.to, n.head[:]...)
	var sure byte
	if n.sure == m.era {
		sure = isSure
	}
	number, again := m.known[n.file]
	switch {
	case n.below != nil:
		m.to = appendInt(append(m.to, isFolder|sure), int64(len(*n.below)))
		for _, in := range *n.below {
			m.node(in)
		}
	case n.file == nil:
		m.to = append(m.to, isLink|sure)
	case again:
		m.to = appendInt(append(m.to, isName|sure), number)
	default:
		m.known[n.file] = int64(len(m.known))
		m.to = appendInt(append(m.to, isFile|sure), n.file.size)
		m.to = appendInt(m.to, int64(len(n.file.blocks)))
		for _, b := range n.file.blocks {
			m.to = append(appendInt(m.to, b.index), b.sum[:]...)
		}
	}
}

type recaller struct {
	*fields
	known []*content
}

func (r *recaller) node(depth int) *node {
	n := &node{name: r.text()}
	var numbers [8]int64
	for i := range numbers {
		numbers[i] = r.int64()
	}
	n.stamp = stampFrom(numbers)
	copy(n.head[:], r.take(len(n.head)))
	kind := byte(0)
	if b := r.take(1); b != nil {
		kind = b[0]
	}
	if kind&isSure != 0 {
		n.sure = firstEra
	}
	switch kind &^ isSure {
	case isFolder:
		r.bad = r.bad || depth > maxDepth
		below := []*node{}
		for count := r.int64(); count > 0 && !r.bad; count-- {
			below = append(below, r.node(depth+1))
		}
		n.below = &below
	case isFile:
		n.file = &content{size: r.int64(), names: 1}
		count := r.int64()
		for ; count > 0 && !r.bad; count-- {
			b := block{index: r.int64()}
			copy(b.sum[:], r.take(len(b.sum)))
			n.file.blocks = append(n.file.blocks, b)
		}
		r.known = append(r.known, n.file)
	case isName:
		number := r.int64()
		if number < 0 || number >= int64(len(r.known)) {
			r.bad = true
			return n
		}
		n.file = r.known[number]
		n.file.names++
	}
	return n
}

func (s *stamp) numbers() [8]int64 {
	return [8]int64{int64(s.dev), int64(s.ino), s.size, s.msec, s.csec, int64(s.mnsec), int64(s.cnsec), int64(s.mode)}
}

func stampFrom(n [8]int64) stamp {
	return stamp{uint64(n[0]), uint64(n[1]), n[2], n[3], n[4], int32(n[5]), int32(n[6]), uint32(n[7])}
}
