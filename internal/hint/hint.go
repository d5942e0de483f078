// Package hint matches many paths against many path patterns at once.
//
// [Compile] puts the patterns into one trie on path components; a [Matcher]
// walks it. A pattern is relative to the root of the repository, with '/'
// between components, and is one of
//
//   - a literal: no *, ?, [ or { in it. It matches the path it names and
//     everything below. A backslash takes the meaning from the character after
//     it, so `app/\[id\]` is the folder "app/[id]". "." is the whole
//     repository.
//   - a glob, as github.com/bmatcuk/doublestar defines it: * and ? within a
//     component, ** as a component of its own for zero or more components,
//     [a-z] [!a] [^a], {a,b}. It must match the whole path, and does not take
//     what lies below a matching folder: write x*/** for that.
//
// Names are bytes. A byte that is not UTF-8 counts as one character for ?, *
// and classes, and as U+FFFD where a glob spells one; a literal matches bytes
// alone.
//
// Globs differ from doublestar.Match in these ways:
//
//   - a class never matches '/', as in doublestar.Glob, git and bash, and a
//     class that spells one is refused;
//   - where the rest of a pattern can match nothing at all it does so: "a*/**",
//     "a/**/**", "a/{**,b}", "a***" and "a*{,b}" match "a";
//   - braces are expanded before anything else, as in bash, so the ** in
//     "a/**{/b,}" is a component of its own;
//   - empty and "." components, which braces can leave behind, are dropped.
package hint

import (
	"strings"
	"unicode/utf8"
)

// meta are the bytes that make a pattern a glob.
const meta = "*?[{"

// Clean returns text without leading "./", trailing "/", empty and "."
// components; what stands for the whole repository becomes ".". An absolute
// path stays absolute.
func Clean(text string) string {
	if isClean(text) {
		return text
	}
	parts := strings.Split(text, "/")
	kept := parts[:0]
	for i, part := range parts {
		if (part != "" && part != ".") || (i == 0 && part == "") {
			kept = append(kept, part)
		}
	}
	switch {
	case len(kept) == 0:
		return "."
	case len(kept) == 1 && kept[0] == "":
		return "/"
	}
	return strings.Join(kept, "/")
}

func isClean(text string) bool {
	return text == "" || text == "." || text == "/" ||
		!strings.HasPrefix(text, "./") && !strings.HasSuffix(text, "/") && !strings.HasSuffix(text, "/.") &&
			!strings.Contains(text, "//") && !strings.Contains(text, "/./")
}

// Check says why text cannot be used as a pattern, and what to write instead;
// nil when it can.
func Check(text string) error {
	_, err := parse(text)
	return err
}

// Literal returns the folder or file that text names before its first glob
// component, unescaped, and whether that is all of it. Whatever the pattern
// matches is prefix itself or below it; an empty prefix is the root.
func Literal(text string) (prefix string, whole bool) {
	text = Clean(text)
	at := indexMeta(text)
	if at < 0 {
		return relative(unescape(text)), true
	}
	text = text[:max(0, strings.LastIndexByte(text[:at], '/'))]
	for start := 0; start < len(text); {
		end := componentEnd(text, start)
		if strings.ContainsRune(text[start:end], utf8.RuneError) {
			return relative(unescape(text[:max(0, start-1)])), false
		}
		start = end + 1
	}
	return relative(unescape(text)), false
}

// relative is a clean path with the root spelled as the empty string.
func relative(path string) string {
	if path = Clean(path); path == "." {
		return ""
	}
	return path
}

// indexMeta is the index of the first byte of meta that no backslash escapes,
// or -1.
func indexMeta(text string) int {
	if strings.IndexByte(text, '\\') < 0 {
		return strings.IndexAny(text, meta)
	}
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' {
			i++
		} else if strings.IndexByte(meta, text[i]) >= 0 {
			return i
		}
	}
	return -1
}

func unescape(text string) string {
	if strings.IndexByte(text, '\\') < 0 {
		return text
	}
	plain := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) {
			i++
		}
		plain = append(plain, text[i])
	}
	return string(plain)
}

// componentEnd is the index of the '/' that ends the component of path that
// starts at start, or the length of path.
func componentEnd(path string, start int) int {
	if n := strings.IndexByte(path[start:], '/'); n >= 0 {
		return start + n
	}
	return len(path)
}
