package hint_test

import (
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"homelab/internal/hint"
)

// reference is the documented meaning of a pattern in the plainest code:
// braces first, ** by recursion, a component by doublestar.
func reference(text, path string) bool {
	if prefix, whole := hint.Literal(text); whole {
		return isAtOrBelow(path, prefix)
	}
	names := strings.Split(path, "/")
	for _, glob := range braceFree(text) {
		parts := slices.DeleteFunc(strings.Split(glob, "/"), func(part string) bool {
			return part == "" || part == "." || part == `\.`
		})
		if len(parts) > 0 && matchParts(parts, names) {
			return true
		}
	}
	return false
}

func matchParts(parts, names []string) bool {
	switch {
	case len(parts) == 0:
		return len(names) == 0
	case parts[0] == "**":
		return matchParts(parts[1:], names) || len(names) > 0 && matchParts(parts, names[1:])
	case len(names) == 0:
		return false
	}
	part := parts[0]
	for strings.Contains(part, "***") {
		part = strings.ReplaceAll(part, "***", "**")
	}
	return doublestar.MatchUnvalidated(part, names[0]) && matchParts(parts[1:], names[1:])
}

// braceFree replaces the first braces of glob by each of their alternatives,
// and so on.
func braceFree(glob string) []string {
	var cuts []int // the opening brace, the commas, the closing brace
	depth, inClass := 0, false
	for i := 0; i < len(glob); i++ {
		switch c := glob[i]; {
		case c == '\\':
			i++
		case inClass:
			inClass = c != ']'
		case c == '[':
			inClass = true
		case c == '{':
			if depth++; depth == 1 {
				cuts = []int{i}
			}
		case c == ',' && depth == 1:
			cuts = append(cuts, i)
		case c == '}':
			if depth--; depth > 0 {
				continue
			}
			cuts = append(cuts, i)
			var all []string
			for k := range len(cuts) - 1 {
				all = append(all, braceFree(glob[:cuts[0]]+glob[cuts[k]+1:cuts[k+1]]+glob[i+1:])...)
			}
			return all
		}
	}
	return []string{glob}
}
