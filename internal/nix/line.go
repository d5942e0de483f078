package nix

import "bytes"

const (
	maxLine = 32 << 10
	endLine = 200 // what comes after the text of a log line: id and type
)

// line collects a line of events in bounded memory: of a longer one its start
// and its end.
type line struct {
	start, end []byte
}

func (l *line) add(part []byte) {
	room := min(maxLine-len(l.start), len(part))
	l.start = append(l.start, part[:room]...)
	part = part[room:]
	if len(part) > endLine {
		l.end, part = l.end[:0], part[len(part)-endLine:]
	}
	l.end = append(l.end, part...)
	if over := len(l.end) - endLine; over > 0 {
		l.end = append(l.end[:0], l.end[over:]...)
	}
}

// take returns the line and forgets it. The builder that prints a megabyte
// without a newline makes a log event of a megabyte; the middle of its text is
// left out. The slice is valid until the next add.
func (l *line) take() []byte {
	text := l.start
	if len(l.end) > 0 {
		text = join(l.start, l.end)
	}
	l.start, l.end = l.start[:0], l.end[:0]
	return text
}

// join makes an event of the start and the end of one that has a single text;
// of anything else, just the start.
func join(start, end []byte) []byte {
	const opening, closing = `"fields":["`, `"],"id":`
	open, shut := bytes.Index(start, []byte(opening)), bytes.LastIndex(end, []byte(closing))
	if open < 0 || shut < 0 {
		return start
	}
	text := whole(start[open+len(opening):])
	return bytes.Join([][]byte{start[:open+len(opening)], text, []byte("…"), end[shut:]}, nil)
}

// whole leaves out an escape sequence of JSON that is cut at the end of text.
func whole(text []byte) []byte {
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		length := 2
		if i+1 < len(text) && text[i+1] == 'u' {
			length = 6
		}
		if i+length > len(text) {
			return text[:i]
		}
		i += length - 1
	}
	return text
}
