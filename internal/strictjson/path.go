package strictjson

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Path is where a value is in a document, spelled as a JSON path (RFC 9535).
type Path string

// Root is the path of the whole document.
const Root Path = "$"

// Key is the path of the value under key in the object at p.
func (p Path) Key(key string) Path {
	if plain(key) {
		return p + "." + Path(key)
	}
	return p + "[" + Path(Excerpt(key)) + "]"
}

// Index is the path of item i of the list at p.
func (p Path) Index(i int) Path {
	return p + "[" + Path(strconv.Itoa(i)) + "]"
}

// plain says whether key needs no quotes after a dot.
func plain(key string) bool {
	for i := 0; i < len(key); i++ {
		c := key[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return key != "" && len(key) <= excerptLength
}

// excerptLength is how many characters of a value are shown.
const excerptLength = 120

// Excerpt is v as JSON for a message: on one line, cut at 120 characters.
func Excerpt(v any) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return ""
	}
	return excerptOf(b.Bytes())
}

// excerptOf is [Excerpt] of a value that is JSON already. It reads no more of
// it than it shows.
func excerptOf(raw []byte) string {
	raw = bytes.TrimSpace(raw)
	var b strings.Builder
	quoted, escaped, count := false, false, 0
	for i := 0; i < len(raw); {
		r, size := utf8.DecodeRune(raw[i:])
		if !quoted && unicode.IsSpace(r) {
			i += size
			continue
		}
		if count == excerptLength-1 && i+size < len(raw) {
			b.WriteString("…")
			break
		}
		b.WriteRune(r)
		count++
		i += size
		if r == '"' && !escaped {
			quoted = !quoted
		}
		escaped = r == '\\' && !escaped
	}
	return b.String()
}
