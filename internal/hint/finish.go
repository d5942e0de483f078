package hint

func (b *builder) finish() *Set {
	b.splitCrowds()
	b.placeEnds(b.below, func(n *node) *span { return &n.below })
	b.placeEnds(b.exact, func(n *node) *span { return &n.exact })
	return b.Set
}

// splitCrowds leaves in node.globs what is to be tried one by one.
func (b *builder) splitCrowds() {
	indexed := make([]bool, len(b.globs))
	for i := range b.nodes {
		n := &b.nodes[i]
		if len(n.globs) <= crowd {
			continue
		}
		rest := n.globs[:0]
		for _, child := range n.globs {
			g := b.globs[child.glob]
			if !g.anchored() {
				rest = append(rest, child)
				continue
			}
			n.crowded = true
			if !indexed[child.glob] {
				indexed[child.glob] = true
				b.index.add(child.glob, g)
			}
		}
		n.globs = rest
	}
}

// placeEnds lists terminals node by node. They come in the order of the
// patterns, so each node's list is sorted and its duplicates are neighbours.
func (b *builder) placeEnds(terminals []terminal, of func(*node) *span) {
	last := make([]int32, len(b.nodes))
	unique := terminals[:0]
	for _, t := range terminals {
		if last[t.node] != t.pattern+1 {
			last[t.node] = t.pattern + 1
			of(&b.nodes[t.node]).to++
			unique = append(unique, t)
		}
	}
	next := int32(len(b.ends))
	for i := range b.nodes {
		s := of(&b.nodes[i])
		count := s.to
		s.from, s.to = next, next
		next += count
	}
	b.ends = append(b.ends, make([]int32, len(unique))...)
	for _, t := range unique {
		s := of(&b.nodes[t.node])
		b.ends[s.to] = t.pattern
		s.to++
	}
}
