package hint_test

import (
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/hint"
)

// FuzzMatch checks every question a set and its matcher can answer against
// each other and against doublestar. Patterns and paths are separated by NUL,
// the one byte neither can have.
func FuzzMatch(f *testing.F) {
	for _, seed := range [][2]string{
		{"a\x00a/**\x00**/b", "a\x00a/b\x00a/b/c\x00b"},
		{"**/a/**/a/**/a\x00a/*/a", "a/a/a\x00a/b/a/b/a\x00a/a"},
		{"{,x}\x00a{,b}/c\x00{a/**,b}/c", "x\x00a/c\x00ab/c\x00a/q/c"},
		{"a*{,b}\x00a***\x00a/**/**\x00a**{/b,}", "a\x00ab\x00a/b\x00a/x/b"},
		{"[^a]*\x00[a-\\]]x\x00[!-~]\x00a[^b]c", "bc\x00]x\x00-\x00a/c"},
		{"caf\xe9/*\x00?\xff\x00*\xfe*\x00\xe9", "caf\xe8/a\x00\xff\xfe\x00\xe9/a\x00é"},
		{`\*a` + "\x00" + `a\[` + "\x00" + `\{*`, "*a/b\x00a[\x00{x"},
		{"a\nb/*\x00\"'\x00.\x00*é?", "a\nb/c\x00\"'\x00aéb\x00日é本"},
		{"a*b*c*\x00*?*?\x00*.tar.gz\x00a?c", "abc\x00aXbXcX\x00x.tar.gz\x00a/c"},
		{"a**b/c\x00**a\x00**/*\x00*/**/b", "axb/c\x00ba\x00a/b\x00b"},
		{"a/b/c\x00a/b*/d\x00a/{b,c}/**\x00a//./b/", "a/b\x00a/b/c/d\x00a/c/x"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, patterns, paths string) {
		if len(patterns) > 120 || len(paths) > 120 {
			return // the references backtrack; short inputs find as much
		}
		var c fuzzCase
		for text := range strings.SplitSeq(patterns, "\x00") {
			_, err := hint.Compile([]string{text})
			require.Equal(t, err == nil, hint.Check(text) == nil)
			if err == nil {
				require.NoError(t, hint.Check(hint.Clean(text)), "%q", text)
				c.texts = append(c.texts, text)
			}
		}
		for path := range strings.SplitSeq(paths, "\x00") {
			if isPath(path) && !slices.Contains(c.paths, path) {
				c.paths = append(c.paths, path)
			}
		}
		c.check(t)
	})
}

// TestMatchRandom asks what [FuzzMatch] asks, of inputs made of the pieces that
// have a meaning.
func TestMatchRandom(t *testing.T) {
	random := rand.New(rand.NewSource(4))
	words := func(pieces []string) string {
		var b strings.Builder
		for range 1 + random.Intn(9) {
			b.WriteString(pieces[random.Intn(len(pieces))])
		}
		return b.String()
	}
	inPatterns := []string{"a", "b", "ab", "/", "/", "/", "*", "?", "**/", "/**", "/**/", "{a,b}", "{,/b}", "{", ",", "}", "[ab]", "[!a]", `\`, ".", "é", "\xff"}
	inPaths := []string{"a", "b", "ab", "/", "/", "/", "*", "?", "{", "\\", ".", "é", "\xff", "\n"}
	for range 1500 {
		var c fuzzCase
		for many := random.Intn(40); len(c.texts) < many; {
			if text := words(inPatterns); hint.Check(text) == nil {
				c.texts = append(c.texts, text)
			}
		}
		for len(c.paths) < 12 {
			if path := words(inPaths); isPath(path) && !slices.Contains(c.paths, path) {
				c.paths = append(c.paths, path)
			}
		}
		c.check(t)
	}
}

type fuzzCase struct {
	set          *hint.Set
	texts, paths []string
	want         map[string][]int32
}

func (c *fuzzCase) check(t *testing.T) {
	set, err := hint.Compile(c.texts)
	require.NoError(t, err)
	c.set, c.want = set, map[string][]int32{}
	c.checkMatches(t)
	c.checkReach(t)
	c.checkOrders(t)
}

func (c *fuzzCase) checkMatches(t *testing.T) {
	m := c.set.Matcher()
	for _, path := range c.paths {
		c.want[path] = slices.Clone(m.Match(path))
		for i, text := range c.texts {
			got := slices.Contains(c.want[path], int32(i))
			require.Equal(t, reference(text, path), got, "%q on %q", text, path)
			if _, whole := hint.Literal(text); !whole {
				compareWithDoublestar(t, hint.Clean(text), path, got)
			}
		}
		require.True(t, slices.IsSorted(c.want[path]))
	}
}

func compareWithDoublestar(t *testing.T, text, path string, got bool) {
	require.True(t, doublestar.ValidatePattern(text), "%q", text)
	theirs := doublestar.MatchUnvalidated(text, path)
	if !strings.Contains(text, "[") { // there a class may match a slash
		require.True(t, got || !theirs, "only doublestar matches %q on %q", text, path)
	}
	// Where the package comment says how they differ.
	exact := !strings.ContainsAny(text, "[{") && !strings.Contains(text, "***") && !strings.Contains(text, "*/**") && !strings.Contains(text, `\.`)
	require.True(t, theirs || !got || !exact, "doublestar does not match %q on %q", text, path)
}

func (c *fuzzCase) checkReach(t *testing.T) {
	m := c.set.Matcher()
	for _, path := range c.paths {
		for _, i := range c.want[path] {
			prefix, _ := hint.Literal(c.texts[i])
			require.True(t, isAtOrBelow(path, prefix), "%q matches %q", c.texts[i], path)
		}
		for dir := path; dir != ""; {
			dir = dir[:max(0, strings.LastIndexByte(dir, '/'))]
			above := c.set.Above(dir)
			require.Subset(t, slices.Concat(above, m.Match(dir)), c.want[path], "%q above %q", dir, path)
			everywhere := m.Match(below(dir))
			for i, text := range c.texts {
				if !slices.Contains(above, int32(i)) {
					require.Equal(t, slices.Contains(everywhere, int32(i)), slices.Contains(c.want[path], int32(i)),
						"%q matches either everything below %q or nothing: %q", text, dir, path)
				}
			}
		}
	}
}

func (c *fuzzCase) checkOrders(t *testing.T) {
	sorted := slices.Sorted(slices.Values(c.paths))
	reverse := slices.Clone(sorted)
	slices.Reverse(reverse)
	for _, order := range [][]string{sorted, reverse, c.paths} {
		m := c.set.Matcher()
		used := map[int32]bool{}
		for i, path := range order {
			if i%2 == 0 {
				require.True(t, slices.Equal(c.want[path], m.Match(path)), path)
			}
			require.Equal(t, len(c.want[path]) > 0, m.Mark(path), path)
			require.True(t, slices.Equal(c.want[path], m.Match(path)), path)
			for _, pattern := range c.want[path] {
				used[pattern] = true
			}
		}
		for i := range c.texts {
			assert.Equal(t, !used[int32(i)], slices.Contains(m.Unused(), int32(i)), c.texts[i])
		}
	}
}

func isPath(path string) bool {
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return true
}

func isAtOrBelow(path, dir string) bool {
	return dir == "" || path == dir || strings.HasPrefix(path, dir+"/")
}
