package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// checkSyntax finds the first place where data stops being JSON. Nothing can
// be said about what follows it, nor of what is missing before.
func checkSyntax(data []byte) (problem Problem, wrong bool) {
	if json.Valid(data) {
		return Problem{}, false
	}
	at, message, fix := explainSyntax(data)
	before := data[:at]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
	return Problem{
		Path:    string(Root),
		Message: fmt.Sprintf("not JSON at line %d, column %d: %s", line, column, message),
		Fix:     fix,
	}, true
}

// explainSyntax says at which byte the mistake is, and guesses what it is.
func explainSyntax(data []byte) (at int, message, fix string) {
	var syntax *json.SyntaxError
	err := json.Unmarshal(data, new(json.RawMessage))
	if !errors.As(err, &syntax) {
		return 0, err.Error(), ""
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return 0, "there is nothing", "write one JSON value"
	}
	if strings.HasPrefix(err.Error(), "unexpected end") {
		return len(data), "the text ends too early", "close what is open: a bracket, a brace or a quote is missing"
	}
	// The offset counts the offending byte.
	at = min(max(int(syntax.Offset)-1, 0), len(data)-1)
	before := bytes.TrimRight(data[:at], " \t\r\n")
	switch c := data[at]; {
	case at == 0 && bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return at, "a byte order mark", "save the file as UTF-8 without one"
	case json.Valid(data[:at]):
		return at, "text after the end of the value", "remove it: there is one JSON value only"
	case c == '/' || c == '#':
		return at, err.Error(), "remove the comment: JSON has none"
	case c == '\'':
		return at, err.Error(), `write strings in double quotes (")`
	case (c == '}' || c == ']') && bytes.HasSuffix(before, []byte(",")):
		return at, fmt.Sprintf("a comma before %q", c), "remove the comma"
	case c == '"' && len(before) > 0 && before[len(before)-1] != ',':
		return at, err.Error(), "write a comma or a colon before it"
	}
	return at, err.Error(), ""
}
