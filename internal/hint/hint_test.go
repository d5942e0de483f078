package hint_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"homelab/internal/hint"
)

func TestCheck(t *testing.T) {
	for _, text := range []string{
		"a", ".", "./", "a/b/", "a}", "a]", "**", "{a,b}", "[!a]", `\!a`, `a\*`, "..a", "a..", "*..", "{,a}", strings.Repeat("{a,b}", 9),
	} {
		assert.NoError(t, hint.Check(text), "%q", text)
	}
	for text, problem := range map[string]string{
		"":                             "is empty",
		"/":                            "is absolute",
		"/a":                           "is absolute",
		"..":                           `has a ".." component`,
		"a/../b":                       `has a ".." component`,
		`a/\.\./b`:                     `has a ".." component`,
		"*/../b":                       `has a ".." component`,
		"{..,a}/b":                     `expands to "../b", which has a ".." component`,
		"a{/.,}./b":                    `expands to "a/../b"`,
		"{,a}/b":                       `expands to "/b", which is absolute`,
		"{,}":                          "expands to nothing",
		"{}":                           "expands to nothing",
		"!a":                           "there is no negation",
		"./!a":                         "there is no negation",
		"a\x00b":                       "NUL",
		"a[":                           `"[" without "]"`,
		"a[b/c]":                       `"/" between`,
		"[]":                           "empty class",
		"[^]":                          "empty class",
		`[a\]`:                         `"[" without "]"`,
		`[a\/]`:                        `"/" between`,
		"{a":                           `"{" without "}"`,
		"{a,{b}":                       `"{" without "}"`,
		"*}":                           `"}" without "{"`,
		`a\`:                           `ends in "\"`,
		`*\`:                           `ends in "\"`,
		`a\/b`:                         "needs no escape",
		`*\/b`:                         "needs no escape",
		strings.Repeat("{a,b}", 10):    "more than 1000",
		strings.Repeat("{", 2000):      `"{" without "}"`,
		strings.Repeat("a", 5000):      "5000 bytes",
		strings.Repeat("{*,a}/", 2000): "bytes long",
	} {
		assert.ErrorContains(t, hint.Check(text), problem, "%.40q", text)
	}
}

func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"a": "a", "./a": "a", "././a//b/./c/": "a/b/c", ".": ".", "./": ".", "./.": ".",
		"": "", "/": "/", "//": "/", "/a/": "/a", "/./a": "/a", ".a/..b": ".a/..b", "a/..": "a/..",
		"*/": "*", "{./a,b/}/": "{./a,b/}",
	} {
		assert.Equal(t, want, hint.Clean(text), text)
		assert.Equal(t, want, hint.Clean(want), "cleaning twice changes nothing")
	}
}

func TestLiteral(t *testing.T) {
	for _, test := range []struct {
		text, prefix string
		whole        bool
	}{
		{".", "", true},
		{"./a/b/", "a/b", true},
		{`a/\[b\]`, "a/[b]", true},
		{"a\xff", "a\xff", true},
		{"a/b*", "a", false},
		{"a/b/**", "a/b", false},
		{`a\*/b/c?`, "a*/b", false},
		{"a/{b/c,d}", "a", false},
		{"**/a", "", false},
		{"a/caf\xe9/b/*", "a", false},
		{"\ufffd/*", "", false},
		{`\./a/*`, "a", false},
	} {
		prefix, whole := hint.Literal(test.text)
		assert.Equal(t, test.prefix, prefix, test.text)
		assert.Equal(t, test.whole, whole, test.text)
	}
}
