package hint

// name is the component that is being stepped over. What it matches is looked
// up once, and the index only when a node needs it.
type name struct {
	text   string
	symbol int32
	known  bool // symbol is set: the name occurs in a pattern
	found  bool // Matcher.hits is set
}

// step pushes the frame behind the component m.path[start:end].
func (m *Matcher) step(f frame, start, end int) {
	c := name{text: m.path[start:end]}
	c.symbol, c.known = m.set.names[c.text]
	from := len(m.states)
	for _, n := range m.states[f.from:f.to] {
		m.advance(n, &c)
	}
	for _, n := range m.deeps[:f.deeps] {
		m.advance(n, &c)
	}
	m.push(end, from)
}

// advance enters the children of the node at that c leads to.
func (m *Matcher) advance(at int32, c *name) {
	n := &m.set.nodes[at]
	if n.hasNames && c.known {
		if child, ok := m.set.named[edge{at, c.symbol}]; ok {
			m.enter(child)
		}
	}
	if n.any != 0 {
		m.enter(n.any)
	}
	for _, g := range n.globs {
		if m.set.globs[g.glob].match(c.text) {
			m.enter(g.child)
		}
	}
	if !n.crowded {
		return
	}
	if !c.found {
		m.hits = m.set.index.find(m.set.globs, c.text, m.hits[:0])
		c.found = true
	}
	for _, id := range m.hits {
		if child, ok := m.set.found[edge{at, id}]; ok {
			m.enter(child)
		}
	}
}

// enter brings a node to life, and with it the ** below it, which may match
// no component. A node has one parent and is entered at most once in a step.
func (m *Matcher) enter(at int32) {
	n := &m.set.nodes[at]
	if !n.below.empty() {
		m.wholes = append(m.wholes, at)
	}
	if n.hasChildren() || !n.exact.empty() {
		m.states = append(m.states, at)
	}
	if n.deep != 0 && !m.isDeep[n.deep] {
		m.isDeep[n.deep] = true
		m.deeps = append(m.deeps, n.deep)
	}
}

func (n *node) hasChildren() bool {
	return n.hasNames || n.any != 0 || n.crowded || len(n.globs) > 0
}

func (m *Matcher) push(end, from int) {
	m.frames = append(m.frames, frame{end: end, from: from, to: len(m.states), deeps: len(m.deeps), wholes: len(m.wholes)})
}
