package plan

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"unsafe"

	"homelab/internal/hint"
	"homelab/registry"
)

// hintIndex matches paths against every hint of a registry at once. A text that
// many services share is one pattern.
type hintIndex struct {
	set      *hint.Set
	names    []string  // of the services, sorted; owners refer to them
	texts    []string  // patterns
	owners   [][]owner // by pattern
	hints    []ownHint // everything that was written as a hint, for staleness
	linked   bool      // some hint leads through a symbolic link
	warnings []Warning
}

// ownHint is one hint as it was written, with the patterns that stand for it:
// itself, and what it leads to through symbolic links.
type ownHint struct {
	service  int // index of the service; global for a global hint
	global   int // index of the global hint, or -1
	text     string
	patterns []int32
	beyond   bool // it leads into a submodule, whose files are not listed
}

// owner says whose hint a pattern is.
type owner struct {
	hint    int32 // index in hints; -1 for an exclusion
	service int32
}

const global = -1

// newHintIndex compiles the registry's hints for a state of the files, through
// whose symbolic links they are followed.
func newHintIndex(ctx context.Context, v *view, entries []Entry) (*hintIndex, error) {
	ix := &hintIndex{names: v.names}
	b := &hintBuilder{hintIndex: ix, ctx: ctx, view: v, byText: map[string]int32{}, links: map[string]bool{}, submodules: map[string]bool{}}
	for _, entry := range entries {
		switch entry.Kind {
		case Link:
			b.links[entry.Path] = true
		case Submodule:
			b.submodules[entry.Path] = true
		}
	}
	for g, globalHint := range v.registry().GlobalHints {
		b.add(ownHint{service: global, global: g, text: globalHint.Path})
	}
	for i, name := range v.names {
		service := v.registry().Services[name]
		for _, text := range service.Hints {
			b.add(ownHint{service: i, global: -1, text: text})
		}
		for _, text := range service.Exclude {
			at := b.pattern(hint.Clean(text))
			ix.owners[at] = append(ix.owners[at], owner{-1, int32(i)})
		}
	}
	var err error
	ix.set, err = hint.Compile(ix.texts)
	return ix, err
}

// prepared is what can be said of a registry and a list of tracked files before
// any change is looked at.
type prepared struct {
	registry *registry.Registry
	entries  []Entry
	index    *hintIndex
	idle     []int32 // patterns that match none of the entries, ascending
}

// prepared compiles the registry's hints, or remembers them from the last
// question, when that was about the same registry and the same list.
func (p *Planner) prepared(ctx context.Context, v *view, entries []Entry) (*prepared, error) {
	p.mu.Lock()
	last := p.last
	p.mu.Unlock()
	if last != nil && last.registry == v.registry() && len(last.entries) == len(entries) && unsafe.SliceData(last.entries) == unsafe.SliceData(entries) {
		return last, nil
	}
	index, err := newHintIndex(ctx, v, entries)
	if err != nil {
		return nil, err
	}
	m := index.set.Matcher()
	for _, entry := range entries {
		m.Mark(entry.Path)
	}
	fresh := &prepared{v.registry(), entries, index, m.Unused()}
	if !index.linked { // a link can be retargeted while the list stays
		p.mu.Lock()
		p.last = fresh
		p.mu.Unlock()
	}
	return fresh, nil
}

type hintBuilder struct {
	*hintIndex
	ctx    context.Context
	view   *view
	byText map[string]int32
	links  map[string]bool // tracked symbolic links
	warned map[string]bool

	submodules map[string]bool
}

func (b *hintBuilder) add(h ownHint) {
	id := int32(len(b.hints))
	for _, text := range b.throughLinks(hint.Clean(h.text), h) {
		at := b.pattern(text)
		h.patterns = append(h.patterns, at)
		h.beyond = h.beyond || firstOf(b.submodules, text) != ""
		b.owners[at] = append(b.owners[at], owner{id, int32(h.service)})
	}
	b.hints = append(b.hints, h)
}

func (b *hintBuilder) pattern(text string) int32 {
	at, ok := b.byText[text]
	if !ok {
		at = int32(len(b.texts))
		b.byText[text] = at
		b.texts = append(b.texts, text)
		b.owners = append(b.owners, nil)
	}
	return at
}

// maxLinks is how many symbolic links in a row are followed, as in Linux.
const maxLinks = 40

// throughLinks is the pattern, and what it means where its literal beginning
// names a symbolic link: the link itself and its target both count.
func (b *hintBuilder) throughLinks(text string, h ownHint) []string {
	texts := []string{text}
	if len(b.links) == 0 {
		return texts
	}
	for hop := 0; hop < maxLinks; hop++ {
		link, rest := b.firstLink(texts[len(texts)-1])
		if link == "" {
			return texts
		}
		b.linked = true
		target, err := b.view.snapshot.ReadLink(b.ctx, link)
		if err != nil {
			return texts // gone meanwhile: the link's own change says it
		}
		resolved := path.Join(path.Dir(link), target)
		if path.IsAbs(target) || resolved == ".." || strings.HasPrefix(resolved, "../") {
			b.outside(h, link, target)
			return texts
		}
		next := escapeGlob(resolved)
		if resolved == "." {
			next = ""
		}
		next = hint.Clean(strings.Trim(next+"/"+rest, "/"))
		if slices.Contains(texts, next) {
			return texts
		}
		texts = append(texts, link, next)
	}
	return texts
}

// firstLink is the first symbolic link on the literal way of a pattern, with
// what follows it.
func (b *hintBuilder) firstLink(text string) (link, rest string) {
	if link = firstOf(b.links, text); link == "" {
		return "", ""
	}
	return link, afterComponents(text, strings.Count(link, "/")+1)
}

// firstOf is the first of the paths on the literal way of a pattern; "" when
// there is none.
func firstOf(paths map[string]bool, text string) string {
	if len(paths) == 0 {
		return ""
	}
	prefix, _ := hint.Literal(text)
	at := 0
	for at < len(prefix) {
		end := len(prefix)
		if i := strings.IndexByte(prefix[at:], '/'); i >= 0 {
			end = at + i
		}
		if paths[prefix[:end]] {
			return prefix[:end]
		}
		at = end + 1
	}
	return ""
}

// afterComponents is text without its first n components.
func afterComponents(text string, n int) string {
	for range n {
		_, text, _ = strings.Cut(text, "/")
	}
	return text
}

func escapeGlob(literal string) string {
	if !strings.ContainsAny(literal, `*?[{\`) {
		return literal
	}
	var out strings.Builder
	for i := range len(literal) {
		if strings.IndexByte(`*?[{\`, literal[i]) >= 0 {
			out.WriteByte('\\')
		}
		out.WriteByte(literal[i])
	}
	return out.String()
}

func (b *hintBuilder) outside(h ownHint, link, target string) {
	if b.warned == nil {
		b.warned = map[string]bool{}
	}
	if b.warned[link] {
		return
	}
	b.warned[link] = true
	b.warnings = append(b.warnings, Warning{"hintOutsideRepository",
		fmt.Sprintf("the hint %.100q leads out of the repository: %s links to %s, where changes are not seen", h.text, link, target),
		"move what it links to into the repository, or drop the hint"})
}

// patternsAt lists the patterns that a changed path touches. A link, a submodule
// or a nested repository stands for all that is seen through it. The slice is
// valid until the next call of the matcher.
func (ix *hintIndex) patternsAt(m *hint.Matcher, c Change) []int32 {
	name := strings.TrimSuffix(c.Path, "/")
	if name == "." {
		name = ""
	}
	if !c.opaque() {
		return m.Match(name)
	}
	found := slices.Concat(m.Match(name), ix.set.Above(name))
	slices.Sort(found)
	return slices.Compact(found)
}

// opaque says that files below the path are not told one by one.
func (c Change) opaque() bool {
	return c.Old == Link || c.New == Link || c.Old == Submodule || c.New == Submodule || c.Status == Unreadable
}

// unmatched lists the hints none of whose patterns match anything: they are idle,
// and no change was marked for them, nor seen through something opaque.
func (ix *hintIndex) unmatched(idle []int32, changes *hint.Matcher, through map[int32]bool) []ownHint {
	unused := make([]bool, len(ix.texts))
	for _, at := range changes.Unused() {
		_, isIdle := slices.BinarySearch(idle, at)
		unused[at] = isIdle && !through[at]
	}
	var out []ownHint
	for _, h := range ix.hints {
		if !h.beyond && !slices.ContainsFunc(h.patterns, func(at int32) bool { return !unused[at] }) {
			out = append(out, h)
		}
	}
	return out
}
