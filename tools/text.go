package tools

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxText bounds Result.Text in bytes, about a thousand tokens.
const MaxText = 4096

// Printable makes a string from outside fit to be shown on one line: a file
// name must not end the line, move the cursor or turn the text around.
func Printable(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case hidden(r):
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	return b.String()
}

func hidden(r rune) bool { return !unicode.IsGraphic(r) }

// Some joins the first names of a list and says how many more there are.
func Some(names []string, most int) string {
	shown := make([]string, 0, most)
	for _, name := range names[:min(len(names), most)] {
		shown = append(shown, Printable(name))
	}
	text := strings.Join(shown, ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// Plural counts things: 1 service, 2 services.
func Plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	if stem, ok := strings.CutSuffix(thing, "y"); ok {
		thing = stem + "ie"
	}
	if strings.HasSuffix(thing, "s") {
		thing += "e"
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// told are notes, warnings and what a person has to do, as they are printed.
func told(notes, warnings, todo []string) []string {
	all := slices.Clone(notes)
	for _, warning := range warnings {
		all = append(all, "warning: "+warning)
	}
	for _, what := range todo {
		all = append(all, "to do: "+what)
	}
	for i := range all {
		all[i] = Printable(all[i])
	}
	return all
}

// clip cuts a text that is too long after a whole line, where there is one.
func clip(text string) string {
	text = strings.TrimRight(text, "\n")
	if len(text) <= MaxText {
		return text
	}
	const more = "\n… cut"
	room := MaxText - len(more)
	cut := strings.LastIndexByte(text[:room], '\n')
	if cut < 0 {
		for cut = room; !utf8.RuneStart(text[cut]); cut-- {
		}
	}
	return text[:cut] + more
}

// lines builds a text line by line.
type lines struct{ strings.Builder }

func (l *lines) add(format string, args ...any) {
	fmt.Fprintf(&l.Builder, format+"\n", args...)
}

// unconfirmed says how to have done what was only previewed; empty: it was done.
func (l *lines) unconfirmed(id string) {
	if id != "" {
		l.add("Nothing was changed. To do this, call it again with confirm %q.", id)
	}
}
