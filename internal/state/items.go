package state

import (
	"path"
	"slices"
	"strings"

	"homelab/internal/bundle"
	"homelab/internal/quiesce"
	"homelab/registry"
)

// Reserved begins the names of what homelab itself puts into the folders of a service.
const Reserved = ".homelab-"

// Captured are the items of a state that go into a bundle, with what of them is left
// out, and those that do not: recomputable ones never do, secret ones only into an
// encrypted bundle. An item in another one is captured by itself, or not.
func Captured(s *registry.State, encrypted bool) (captured, left []registry.StateItem) {
	captured, left = []registry.StateItem{}, []registry.StateItem{}
	for _, item := range s.Items {
		if item.Class == "recomputable" || item.Class == bundle.ClassSecret && !encrypted {
			left = append(left, item)
			continue
		}
		item.Exclude = slices.Concat([]string{Reserved + "*/**"}, quiesce.NewMethod(s.Quiesce).Exclude, item.Exclude)
		for _, inner := range s.Items {
			if below, is := strings.CutPrefix(inner.Path, strings.TrimSuffix(item.Path, "/")+"/"); is && item.Path != "" {
				item.Exclude = append(item.Exclude, literal(path.Clean(below)))
			}
		}
		captured = append(captured, item)
	}
	return captured, left
}

// literal spells a path as a hint that means nothing else.
func literal(name string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `{`, `\{`).Replace(name)
}
