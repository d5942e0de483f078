package hint

// Above returns the patterns that can match something strictly below path, if
// path were a folder, ascending; with those of [Matcher.Match] it is all that
// a changed link or submodule at path can touch. A pattern that matches path
// and everything below it is among the latter only.
func (s *Set) Above(path string) []int32 {
	m := s.Matcher()
	f, arrived := m.walk(path)
	if !arrived {
		return []int32{}
	}
	// Children come after their parents.
	alive, reached := make([]bool, len(s.nodes)), make([]bool, s.size)
	mark(alive, m.states[f.from:f.to])
	mark(alive, m.deeps[:f.deeps])
	for i := 1; i < len(s.nodes); i++ {
		n := &s.nodes[i]
		if !alive[n.parent] {
			continue
		}
		alive[i] = true
		mark(reached, s.list(n.below))
		mark(reached, s.list(n.exact))
	}
	above := []int32{}
	for i, is := range reached {
		if is {
			above = append(above, int32(i))
		}
	}
	return above
}

func mark(set []bool, indices []int32) {
	for _, i := range indices {
		set[i] = true
	}
}
