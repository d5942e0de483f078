package hint

// usage records, node by node, what a walk has met.
type usage struct {
	below, exact []bool
	wholes       int // so many of Matcher.wholes are recorded already
}

// Mark records which patterns match path, for [Matcher.Unused], and reports
// whether any does. It lists none, so it costs little more than the walk to
// path, however many match. Give it files, links and submodules: a folder would
// count as a match of the globs that match nothing but the folder.
func (m *Matcher) Mark(path string) bool {
	u := &m.usage
	if u.below == nil {
		u.below = make([]bool, len(m.set.nodes))
		u.exact = make([]bool, len(m.set.nodes))
	}
	f, arrived := m.walk(path)
	for _, n := range m.wholes[u.wholes:f.wholes] {
		u.below[n] = true
	}
	u.wholes = f.wholes
	covered := f.wholes > 0
	if arrived {
		for _, n := range m.states[f.from:f.to] {
			if !m.set.nodes[n].exact.empty() {
				u.exact[n] = true
				covered = true
			}
		}
	}
	return covered
}

// Unused returns the patterns that matched no marked path, ascending. A
// pattern with braces is unused when none of its expansions matched.
func (m *Matcher) Unused() []int32 {
	used := make([]bool, m.set.size)
	for i := range m.set.nodes {
		n := &m.set.nodes[i]
		if m.usage.below != nil && m.usage.below[i] {
			mark(used, m.set.list(n.below))
		}
		if m.usage.exact != nil && m.usage.exact[i] {
			mark(used, m.set.list(n.exact))
		}
	}
	unused := []int32{}
	for i, is := range used {
		if !is {
			unused = append(unused, int32(i))
		}
	}
	return unused
}
