package hint_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"homelab/internal/hint"
)

func TestDir(t *testing.T) {
	m := compile(t, "a/b", "c/*/d", "e/**/f", "g/**", "h/x*", "i/j/{k,l/**}").Matcher()
	for dir, want := range map[string]hint.Reach{
		"": hint.Some, ".": hint.Some,
		"a": hint.Some, "a/b": hint.All, "a/b/c": hint.All, "a/c": hint.None,
		"c": hint.Some, "c/x": hint.Some, "c/x/d": hint.Some, "c/x/d/y": hint.None, "c/x/e": hint.None,
		"e": hint.Some, "e/x/y": hint.Some,
		"g": hint.All, "h/xy": hint.Some, "h/xy/z": hint.None, "h/y": hint.None,
		"i/j/k": hint.Some, "i/j/k/x": hint.None, "i/j/l": hint.All, "z": hint.None,
	} {
		assert.Equal(t, want, m.Dir(dir), "%q", dir)
	}
	assert.Equal(t, hint.All, compile(t, ".").Matcher().Dir(""))
	assert.Equal(t, hint.All, compile(t, "**").Matcher().Dir("."))
}

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
	m.Covers("a/b/x.nix")
	assert.Equal(t, []int32{1, 2, 5}, m.Unused(), "only Mark records")
	assert.True(t, m.Mark("a/b/x.nix"))
	assert.True(t, m.Mark("e/x"))
	assert.Equal(t, []int32{}, m.Unused())
}
