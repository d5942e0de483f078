package hint

import (
	"fmt"
	"slices"
	"strings"
)

// maxNodes bounds the memory of a set, about 100 bytes a node.
const maxNodes = 1_000_000

// Set is a compiled list of patterns. It does not change and is safe for
// concurrent use.
type Set struct {
	size  int // number of patterns
	nodes []node
	names map[string]int32 // component to symbol
	globs []*glob
	index index
	named map[edge]int32 // a node and the symbol of a name, to a child
	// found does the same for the globs of crowded nodes.
	found map[edge]int32
	// ends lists the patterns that end at a node: see node.below and node.exact.
	ends []int32
}

type edge struct{ from, symbol int32 }

// node is a place in the trie. The root is node 0, so 0 stands for no child.
type node struct {
	parent   int32
	name     string // of the edge that leads here, when byName
	byName   bool
	hasNames bool
	crowded  bool        // has children in Set.found
	any      int32       // child for every name
	deep     int32       // child that stays alive over any number of names
	globs    []globChild // children to try one by one
	below    span        // patterns that match here and everywhere below
	exact    span        // patterns that match here
}

type globChild struct{ glob, child int32 }

// span is a part of Set.ends.
type span struct{ from, to int32 }

func (s span) empty() bool { return s.from == s.to }

// Compile compiles patterns. Everywhere else a pattern is its index in texts.
func Compile(texts []string) (*Set, error) {
	b := newBuilder(texts)
	for i, text := range texts {
		p, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("pattern %.100q %w", text, err)
		}
		for _, path := range p.paths {
			b.insert(path, p.literal, int32(i))
			if len(b.nodes) > maxNodes {
				return nil, fmt.Errorf("pattern %.100q: with it the patterns have more than %d different components", text, maxNodes)
			}
		}
	}
	return b.finish(), nil
}

func (s *Set) list(of span) []int32 { return s.ends[of.from:of.to] }

type builder struct {
	*Set
	globIDs map[string]int32
	below   []terminal
	exact   []terminal
}

type terminal struct{ node, pattern int32 }

func newBuilder(texts []string) *builder {
	components := 0
	for _, text := range texts {
		components += strings.Count(text, "/")
	}
	nodes := min(components/2+len(texts), maxNodes/10)
	return &builder{
		Set: &Set{
			size:  len(texts),
			nodes: make([]node, 1, nodes+1),
			names: make(map[string]int32, nodes/2),
			named: make(map[edge]int32, nodes),
			found: map[edge]int32{},
		},
		globIDs: map[string]int32{},
	}
}

func (b *builder) insert(path string, literal bool, pattern int32) {
	at, deep := int32(0), false
	for start := 0; start <= len(path); {
		end := componentEnd(path, start)
		part := path[start:end]
		start = end + 1
		named := literal || isName(part)
		if named && !literal {
			part = unescape(part)
		}
		switch {
		case part == "" || part == ".":
			continue
		case part == "**" && !named:
			deep = true
			continue
		case deep:
			at, deep = b.deepChild(at), false
		}
		if named {
			at = b.nameChild(at, part)
		} else {
			at = b.globChild(at, part)
		}
	}
	switch {
	case literal || deep:
		b.below = append(b.below, terminal{at, pattern})
	case at != 0:
		b.exact = append(b.exact, terminal{at, pattern})
	}
}

func (b *builder) nameChild(at int32, name string) int32 {
	symbol, known := b.names[name]
	if !known {
		symbol = int32(len(b.names))
		b.names[name] = symbol
	}
	key := edge{at, symbol}
	child, known := b.named[key]
	if !known {
		child = b.grow(node{parent: at, name: name, byName: true})
		b.named[key] = child
		b.nodes[at].hasNames = true
	}
	return child
}

func (b *builder) deepChild(at int32) int32 {
	if b.nodes[at].deep == 0 {
		child := b.grow(node{parent: at})
		b.nodes[at].deep = child
	}
	return b.nodes[at].deep
}

func (b *builder) globChild(at int32, part string) int32 {
	id, known := b.globIDs[part]
	if !known {
		id = int32(len(b.globs))
		b.globs = append(b.globs, newGlob(part))
		b.globIDs[part] = id
	}
	if b.globs[id].any() {
		if b.nodes[at].any == 0 {
			child := b.grow(node{parent: at})
			b.nodes[at].any = child
		}
		return b.nodes[at].any
	}
	siblings := b.nodes[at].globs
	if len(siblings) > crowd {
		if child, known := b.found[edge{at, id}]; known {
			return child
		}
	} else if i := slices.IndexFunc(siblings, func(c globChild) bool { return c.glob == id }); i >= 0 {
		return siblings[i].child
	}
	child := b.grow(node{parent: at})
	siblings = append(siblings, globChild{id, child})
	b.nodes[at].globs = siblings
	switch {
	case len(siblings) == crowd+1:
		for _, c := range siblings {
			b.found[edge{at, c.glob}] = c.child
		}
	case len(siblings) > crowd:
		b.found[edge{at, id}] = child
	}
	return child
}

func (b *builder) grow(n node) int32 {
	b.nodes = append(b.nodes, n)
	return int32(len(b.nodes) - 1)
}
