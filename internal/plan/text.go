package plan

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// showPath is a path as JSON can show it: bytes that are not UTF-8 become
// U+FFFD. [pathBase64] has the bytes.
func showPath(path string) string { return strings.ToValidUTF8(path, "\uFFFD") }

// pathBase64 is the path's bytes, where showPath loses some; else empty.
func pathBase64(path string) string {
	if utf8.ValidString(path) {
		return ""
	}
	return base64.StdEncoding.EncodeToString([]byte(path))
}
