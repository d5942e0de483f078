package strictjson

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// cursor reads a document that encoding/json found well-formed, so it looks
// for the ends of values only, never for mistakes.
type cursor struct {
	data []byte
	at   int
}

// peek is the first byte of the next value.
func (c *cursor) peek() byte {
	for c.data[c.at] <= ' ' {
		c.at++
	}
	return c.data[c.at]
}

// open steps into a list or an object.
func (c *cursor) open() { c.at++ }

// next steps over the comma to the next item or key, or out of the list or
// object when closer is what follows.
func (c *cursor) next(closer byte) bool {
	b := c.peek()
	if b == closer {
		c.at++
		return false
	}
	if b == ',' {
		c.at++
		c.peek()
	}
	return true
}

// colon steps from a key to its value.
func (c *cursor) colon() {
	c.peek()
	c.at++
	c.peek()
}

// raw steps over the value at the cursor and returns it, with the depth of the
// lists and objects in it.
func (c *cursor) raw() (value []byte, depth int) {
	c.peek()
	start, open := c.at, 0
	for {
		switch c.data[c.at] {
		case '"':
			c.quoted()
		case '{', '[':
			open++
			depth = max(depth, open)
			c.at++
		case '}', ']':
			open--
			c.at++
		case ' ', '\t', '\r', '\n', ',', ':':
			c.at++
		default:
			c.literal()
		}
		if open == 0 {
			return c.data[start:c.at], depth
		}
	}
}

// literal steps over a number, true, false or null.
func (c *cursor) literal() []byte {
	start := c.at
	for c.at < len(c.data) {
		switch c.data[c.at] {
		case ',', ']', '}', ' ', '\t', '\r', '\n':
			return c.data[start:c.at]
		}
		c.at++
	}
	return c.data[start:c.at]
}

// quoted steps over a string and returns what is between the quotes, and
// whether escapes are in it.
func (c *cursor) quoted() (inner []byte, escaped bool) {
	start := c.at + 1
	end := start + bytes.IndexByte(c.data[start:], '"')
	if slash := bytes.IndexByte(c.data[start:end], '\\'); slash >= 0 {
		escaped = true
		for end = start + slash; c.data[end] != '"'; end++ {
			if c.data[end] == '\\' {
				end++
			}
		}
	}
	c.at = end + 1
	return c.data[start:end], escaped
}

// text steps over a string and returns its value, and whether that is valid
// Unicode: encoding/json replaces what is not, and then a path or a name
// silently stands for another.
func (c *cursor) text() (value []byte, valid bool) {
	inner, escaped := c.quoted()
	if !escaped {
		return inner, utf8.Valid(inner)
	}
	value, valid = unescape(inner)
	return value, valid && utf8.Valid(inner)
}

// unescape replaces the escapes of a string. A lone half of a surrogate pair
// becomes U+FFFD and makes it invalid.
func unescape(inner []byte) (value []byte, valid bool) {
	value, valid = make([]byte, 0, len(inner)), true
	for i := 0; i < len(inner); {
		if inner[i] != '\\' {
			value = append(value, inner[i])
			i++
			continue
		}
		if at := bytes.IndexByte([]byte("bfnrt"), inner[i+1]); at >= 0 {
			value = append(value, "\b\f\n\r\t"[at])
			i += 2
			continue
		}
		if inner[i+1] != 'u' {
			value = append(value, inner[i+1])
			i += 2
			continue
		}
		r := hex4(inner[i+2:])
		i += 6
		if utf16.IsSurrogate(r) {
			pair := rune(utf8.RuneError)
			if i+6 <= len(inner) && inner[i] == '\\' && inner[i+1] == 'u' {
				pair = utf16.DecodeRune(r, hex4(inner[i+2:]))
			}
			if r = pair; r == utf8.RuneError {
				valid = false
			} else {
				i += 6
			}
		}
		value = utf8.AppendRune(value, r)
	}
	return value, valid
}

func hex4(digits []byte) (r rune) {
	for _, c := range digits[:4] {
		switch {
		case c <= '9':
			c -= '0'
		default:
			c = c&^0x20 - 'A' + 10
		}
		r = r<<4 | rune(c)
	}
	return r
}
