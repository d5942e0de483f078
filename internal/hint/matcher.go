package hint

import "slices"

// Matcher matches paths against a [Set]. It remembers where the last path led,
// so a path costs only the components that differ from it: sorted paths cost
// about one each. It is not safe for concurrent use; make one per walk.
type Matcher struct {
	set    *Set
	path   string
	frames []frame
	states []int32 // alive nodes; each frame has its own range
	deeps  []int32 // alive ** nodes; a frame has those before its end
	wholes []int32 // nodes whose node.below matches; likewise
	isDeep []bool  // node: is it in deeps
	hits   []int32
	result []int32
	usage  usage
}

// frame is the state behind the first end bytes of Matcher.path.
type frame struct {
	end      int
	from, to int // range of states
	deeps    int // end in deeps
	wholes   int // end in wholes
}

// Matcher returns a new matcher.
func (s *Set) Matcher() *Matcher {
	m := &Matcher{set: s, isDeep: make([]bool, len(s.nodes))}
	m.enter(0)
	m.push(0, 0)
	return m
}

// Match returns the patterns that match path, ascending. The slice is valid
// until the next call.
func (m *Matcher) Match(path string) []int32 {
	f, arrived := m.walk(path)
	m.result = m.result[:0]
	sources := 0
	add := func(ends span) {
		if !ends.empty() {
			m.result = append(m.result, m.set.list(ends)...)
			sources++
		}
	}
	for _, n := range m.wholes[:f.wholes] {
		add(m.set.nodes[n].below)
	}
	if arrived {
		for _, n := range m.states[f.from:f.to] {
			add(m.set.nodes[n].exact)
		}
	}
	if sources > 1 {
		slices.Sort(m.result)
		m.result = slices.Compact(m.result)
	}
	return m.result
}

// walk goes to path, or as far as something is alive. It reports whether it
// arrived.
func (m *Matcher) walk(path string) (frame, bool) {
	m.rewind(path)
	m.path = path
	for {
		f := m.frames[len(m.frames)-1]
		start := f.end
		for start < len(path) && path[start] == '/' {
			start++
		}
		switch {
		case start == len(path):
			return f, true
		case f.from == f.to && f.deeps == 0:
			return f, false
		}
		m.step(f, start, componentEnd(path, start))
	}
}

// rewind drops the frames that do not lead to path.
func (m *Matcher) rewind(path string) {
	top := len(m.frames) - 1
	for top > 0 && !leadsTo(m.path[:m.frames[top].end], path) {
		top--
	}
	f := m.frames[top]
	m.frames = m.frames[:top+1]
	m.states = m.states[:f.to]
	for _, n := range m.deeps[f.deeps:] {
		m.isDeep[n] = false
	}
	m.deeps = m.deeps[:f.deeps]
	m.wholes = m.wholes[:f.wholes]
	m.usage.wholes = min(m.usage.wholes, f.wholes)
}

func leadsTo(dir, path string) bool {
	return len(path) >= len(dir) && path[:len(dir)] == dir && (len(path) == len(dir) || path[len(dir)] == '/')
}
