package hint_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// What a folder is to the patterns: those that match it, those that match all
// that is below it, and those that can match something there.
func TestReach(t *testing.T) {
	set := compile(t, "a/b", "c/*/d", "e/**/f", "g/**", "h/x*", "i/j/{k,l/**}")
	m := set.Matcher()
	for _, test := range []struct {
		dir               string
		here, below, some []int32
	}{
		{"", nil, nil, []int32{0, 1, 2, 3, 4, 5}},
		{"a", nil, nil, []int32{0}},
		{"a/b", []int32{0}, []int32{0}, nil},
		{"a/b/c", []int32{0}, []int32{0}, nil},
		{"a/c", nil, nil, nil},
		{"c", nil, nil, []int32{1}},
		{"c/x", nil, nil, []int32{1}},
		{"c/x/d", []int32{1}, nil, nil},
		{"c/x/d/y", nil, nil, nil},
		{"c/x/e", nil, nil, nil},
		{"e", nil, nil, []int32{2}},
		{"e/x/y", nil, nil, []int32{2}},
		{"g", []int32{3}, []int32{3}, nil},
		{"h/xy", []int32{4}, nil, nil},
		{"h/xy/z", nil, nil, nil},
		{"h/y", nil, nil, nil},
		{"i/j/k", []int32{5}, nil, nil},
		{"i/j/k/x", nil, nil, nil},
		{"i/j/l", []int32{5}, []int32{5}, nil},
		{"z", nil, nil, nil},
	} {
		assert.ElementsMatch(t, test.here, m.Match(test.dir), "%q", test.dir)
		assert.ElementsMatch(t, test.below, m.Match(below(test.dir)), "all below %q", test.dir)
		assert.ElementsMatch(t, test.some, set.Above(test.dir), "something below %q", test.dir)
	}
	for _, everything := range []string{".", "**"} {
		assert.Equal(t, []int32{0}, compile(t, everything).Matcher().Match(""), everything)
		assert.Equal(t, []int32{}, compile(t, everything).Above(""), everything)
	}
}

// below is a path in dir that no pattern of a test spells.
func below(dir string) string { return strings.TrimPrefix(dir+"/~/~", "/") }

func TestAbove(t *testing.T) {
	set := compile(t, "a", "a/b/c", "a/*.nix", "a/**", "**/x", "*/b", "b/c", "a/b*/**", "{a/q,z}")
	assert.Equal(t, []int32{1, 2, 4, 5, 7, 8}, set.Above("a"))
	assert.Equal(t, []int32{1, 4}, set.Above("a/b"))
	assert.Equal(t, []int32{4}, set.Above("a/b/c"))
	assert.Equal(t, []int32{4, 5, 6}, set.Above("b"))
	assert.Equal(t, []int32{4, 5}, set.Above("z"))
	assert.Equal(t, []int32{}, compile(t, "a/b").Above("c"))
}

func TestUnused(t *testing.T) {
	m := compile(t, "a", "a/b", "**/*.nix", "{c,d}/*", "a", "e/*", "a/**").Matcher()
	assert.Equal(t, []int32{0, 1, 2, 3, 4, 5, 6}, m.Unused())
	assert.True(t, m.Mark("a/x"))
	assert.Equal(t, []int32{1, 2, 3, 5}, m.Unused())
	assert.False(t, m.Mark("c"))
	assert.False(t, m.Mark("q/r"))
	assert.True(t, m.Mark("d/x"))
	assert.Equal(t, []int32{1, 2, 5}, m.Unused())
	m.Match("e/x")
	m.Match("a/b/x.nix")
	assert.Equal(t, []int32{1, 2, 5}, m.Unused(), "only Mark records")
	assert.True(t, m.Mark("a/b/x.nix"))
	assert.True(t, m.Mark("e/x"))
	assert.Equal(t, []int32{}, m.Unused())
}
