package hint

import (
	"strings"
	"unicode/utf8"
)

// glob is one component of a pattern, with something in it that a map of
// names cannot answer. Its literal ends are cut off: comparing them decides
// most names.
type glob struct {
	head, tail string
	atoms      []atom
}

type kind uint8

const (
	star  kind = iota // any run of characters
	one               // any character
	plain             // text, as it is
	class             // one character out of ranges
)

type atom struct {
	kind   kind
	text   string
	ranges []runeRange
	negate bool
}

type runeRange struct{ lo, hi rune }

// isName reports whether part matches one name only, the unescaped part
// itself. U+FFFD stands for any byte that is not UTF-8, so it needs a glob.
func isName(part string) bool {
	return indexMeta(part) < 0 && !strings.ContainsRune(part, utf8.RuneError)
}

// newGlob compiles a component without braces whose syntax is checked.
func newGlob(part string) *glob {
	g := &glob{}
	var text []byte
	flush := func() {
		if len(text) > 0 {
			g.atoms = append(g.atoms, atom{kind: plain, text: string(text)})
			text = text[:0]
		}
	}
	for i := 0; i < len(part); {
		switch part[i] {
		case '*':
			flush()
			if n := len(g.atoms); n == 0 || g.atoms[n-1].kind != star {
				g.atoms = append(g.atoms, atom{kind: star})
			}
			i++
			continue
		case '?':
			flush()
			g.atoms = append(g.atoms, atom{kind: one})
			i++
			continue
		case '[':
			flush()
			end, _ := skipClass(part, i)
			g.atoms = append(g.atoms, newClass(part[i+1:end-1]))
			i = end
			continue
		case '\\':
			i++
		}
		r, n := utf8.DecodeRuneInString(part[i:])
		if r == utf8.RuneError {
			flush()
			g.atoms = append(g.atoms, atom{kind: class, ranges: []runeRange{{r, r}}})
		} else {
			text = append(text, part[i:i+n]...)
		}
		i += n
	}
	flush()
	g.cutEnds()
	return g
}

func (g *glob) cutEnds() {
	if g.atoms[0].kind == plain {
		g.head, g.atoms = g.atoms[0].text, g.atoms[1:]
	}
	if last := len(g.atoms) - 1; last >= 0 && g.atoms[last].kind == plain {
		g.tail, g.atoms = g.atoms[last].text, g.atoms[:last]
	}
}

// any reports whether g matches every name.
func (g *glob) any() bool {
	return g.head == "" && g.tail == "" && len(g.atoms) == 1 && g.atoms[0].kind == star
}

// newClass reads what stands between the brackets the way doublestar does.
func newClass(text string) atom {
	a := atom{kind: class}
	if text[0] == '!' || text[0] == '^' {
		a.negate = true
		text = text[1:]
	}
	next := func() rune {
		r, n := utf8.DecodeRuneInString(text)
		text = text[n:]
		return r
	}
	const none = utf8.MaxRune
	last := rune(none)
	for text != "" {
		r := next()
		if r == '-' && last != none && text != "" {
			if text[0] == '\\' {
				next()
			}
			a.ranges = append(a.ranges, runeRange{last, next()})
			last = none
			continue
		}
		if r == '\\' {
			r = next()
		}
		a.ranges = append(a.ranges, runeRange{r, r})
		last = r
	}
	return a
}

// width is how many bytes at the start of name the atom takes, 0 for none.
func (a *atom) width(name string) int {
	if a.kind == plain {
		if strings.HasPrefix(name, a.text) {
			return len(a.text)
		}
		return 0
	}
	r, n := utf8.DecodeRuneInString(name)
	if a.kind == one {
		return n
	}
	for _, in := range a.ranges {
		if in.lo <= r && r <= in.hi {
			if a.negate {
				return 0
			}
			return n
		}
	}
	if a.negate {
		return n
	}
	return 0
}

// match takes time at most len(name) × len(pattern): only the last star that
// was met can have to give way.
func (g *glob) match(name string) bool {
	if len(name) < len(g.head)+len(g.tail) || !strings.HasPrefix(name, g.head) || !strings.HasSuffix(name, g.tail) {
		return false
	}
	name = name[len(g.head) : len(name)-len(g.tail)]
	at, retry, from := 0, -1, 0
	for pos := 0; pos < len(name); {
		if at < len(g.atoms) {
			if g.atoms[at].kind == star {
				at++
				if at == len(g.atoms) {
					return true
				}
				retry, from = at, pos
				continue
			}
			if n := g.atoms[at].width(name[pos:]); n > 0 {
				at++
				pos += n
				continue
			}
		}
		if retry < 0 {
			return false
		}
		if next := &g.atoms[retry]; next.kind == plain {
			n := strings.Index(name[from+1:], next.text)
			if n < 0 {
				return false
			}
			from += 1 + n
		} else {
			_, n := utf8.DecodeRuneInString(name[from:])
			from += n
		}
		at, pos = retry, from
	}
	for at < len(g.atoms) && g.atoms[at].kind == star {
		at++
	}
	return at == len(g.atoms)
}
