package hint_test

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/hint"
)

func compile(t testing.TB, texts ...string) *hint.Set {
	t.Helper()
	set, err := hint.Compile(texts)
	require.NoError(t, err)
	return set
}

func TestMatch(t *testing.T) {
	for _, test := range []struct {
		pattern string
		yes, no []string
	}{
		{".", []string{"a", "a/b", ".git", "\xff"}, nil},
		{"./", []string{"a"}, nil},
		{"a", []string{"a", "a/b", "a/b/c"}, []string{"b", "ab", "b/a", "A"}},
		{"./a/b/", []string{"a/b", "a/b/c"}, []string{"a", "a/bc"}},
		{"a//./b", []string{"a/b/c"}, []string{"a"}},
		{"a b/c\nd", []string{"a b/c\nd", "a b/c\nd/e"}, []string{"a b/c"}},
		{`"'`, []string{`"'`, `"'/x`}, nil},
		{"caffè", []string{"caffè/x"}, []string{"caffe\u0300/x"}}, // bytes, no normalisation
		{"caf\xe9", []string{"caf\xe9", "caf\xe9/x"}, []string{"caf\xe8", "caf\ufffd"}},
		{"a}b]c,d", []string{"a}b]c,d/e"}, nil},
		{`app/\[id\]`, []string{"app/[id]", "app/[id]/page"}, []string{"app/i", `app/\[id\]`}},
		{`\!a`, []string{"!a/b"}, []string{"a"}},
		{`a\\b`, []string{`a\b`}, []string{"ab"}},
		{`a/\.`, []string{"a", "a/b"}, nil},

		{"*", []string{"a", ".env", "a\nb", "\xff\xfe", "é"}, []string{"a/b"}},
		{"*.nix", []string{"a.nix", ".nix", "\xff.nix"}, []string{"a.nix/b", "b/a.nix", "a.nixx", "nix"}},
		{"a*", []string{"a", "ab", "a\xff"}, []string{"ab/c", "ba"}},
		{"a*b*c", []string{"abc", "axbxc", "abcbc", "abbc"}, []string{"ac", "abcd", "acb"}},
		{"*b*", []string{"b", "abc", "bb"}, []string{"a"}},
		{"x*/**", []string{"x", "xa", "xa/b", "xa/b/c"}, []string{"a", "a/xb"}},
		{"a?c", []string{"abc", "aéc", "a\xffc", "a?c"}, []string{"ac", "a/c", "abbc"}},
		{"??", []string{"ab", "\xff\xfe", "日本"}, []string{"a", "日", "abc"}},
		{"[a-c]", []string{"a", "b", "c"}, []string{"d", "ab", "-"}},
		{"[!a]", []string{"b", "é", "\xff"}, []string{"a", "bb"}},
		{"[^a-c]x", []string{"dx", "-x"}, []string{"ax", "x"}},
		{"a[^b]c", []string{"axc"}, []string{"abc", "a/c"}},
		{"a[+-9]c", []string{"a.c", "a0c"}, []string{"a/c"}},
		{`[\]\-a]`, []string{"]", "-", "a"}, []string{`\`, "b"}},
		{"[a-]", []string{"a", "-"}, []string{"b"}},
		{`[{,}]`, []string{"{", ",", "}"}, []string{"{,}"}},
		{"[à-é]*", []string{"è", "éa"}, []string{"e", "\xe8"}},
		{`\**`, []string{"*", "*a"}, []string{"a"}},
		{`a\{b*`, []string{"a{b", "a{bc"}, []string{"ab"}},

		{"**", []string{"a", "a/b", ".x/\xff"}, nil},
		{"a/**", []string{"a", "a/b", "a/b/c"}, []string{"ab", "b"}},
		{"a/**/**", []string{"a", "a/b"}, []string{"b"}},
		{"**/x", []string{"x", "a/x", "a/b/x", "\xff/x"}, []string{"x/a", "ax"}},
		{"a/**/b", []string{"a/b", "a/x/b", "a/x/y/b", "a/b/b", "a/\xff\n/b"}, []string{"a", "ab", "a/bb", "b", "a/b/c"}},
		{"a/**/**/b", []string{"a/b", "a/x/y/b"}, []string{"a"}},
		{"**/a/**/b/**", []string{"a/b", "x/a/y/b/z", "a/b/c"}, []string{"b/a", "a", "b"}},
		{"a/**/*", []string{"a/b", "a/b/c"}, []string{"a"}},
		{"**/*.nix", []string{"a.nix", "b/.nix", "b/c/a.nix"}, []string{"a"}},
		{`a/**/\./b`, []string{"a/b", "a/x/b"}, []string{"a"}},
		{`a/**/\.`, []string{"a", "a/b"}, []string{"b"}},
		{"a**b/c", []string{"ab/c", "axb/c"}, []string{"a/b/c", "ax/yb/c"}},
		{"**a", []string{"a", "ba"}, []string{"b/a"}},
		{"a***", []string{"a", "ab"}, []string{"a/b"}},
		{"***", []string{"a"}, []string{"a/b"}},

		{"{a,b}", []string{"a", "b"}, []string{"a/x", "c", "{a,b}"}},
		{"{a,a}", []string{"a"}, []string{"b"}},
		{"{,x}", []string{"x"}, []string{"a", "a/b"}},
		{"a{,.nix}", []string{"a", "a.nix"}, []string{"a/b"}},
		{"a/{b/c,d,{e,f/**}}/g", []string{"a/b/c/g", "a/d/g", "a/e/g", "a/f/g", "a/f/x/g"}, []string{"a/g", "a/b/g"}},
		{"a/{,b/}c", []string{"a/c", "a/b/c"}, []string{"a/b"}},
		{"a/{,b}/c", []string{"a/c", "a/b/c"}, nil},
		{"a{/**,}", []string{"a", "a/b"}, []string{"b"}},
		{"{a,b}/**", []string{"a", "b/c"}, []string{"c"}},
		{`{a\,b,c\}}`, []string{"a,b", "c}"}, []string{"a", "b"}},
		{"{[,],b}", []string{",", "b"}, []string{"["}},
		{"a*{,b}", []string{"a", "ab", "axb"}, []string{"b"}},

		// U+FFFD in a glob is any byte that is not UTF-8, as in doublestar.
		{"caf\ufffd/*", []string{"caf\xe9/a", "caf\ufffd/a"}, []string{"cafe/a"}},
		{"caf\xe9/*", []string{"caf\xe9/a", "caf\xe8/a"}, []string{"cafe/a"}},
		{"caf\xe9*", []string{"caf\xe9", "caf\xe9x"}, []string{"cafe"}},
		{"[\ufffd]", []string{"\xff"}, []string{"f"}},
	} {
		m := compile(t, test.pattern).Matcher()
		for _, path := range test.yes {
			assert.Equal(t, []int32{0}, m.Match(path), "%q should match %q", test.pattern, path)
			assert.True(t, m.Mark(path), "%q should match %q", test.pattern, path)
		}
		for _, path := range test.no {
			assert.Empty(t, m.Match(path), "%q should not match %q", test.pattern, path)
			assert.False(t, m.Mark(path), "%q should not match %q", test.pattern, path)
		}
	}
}

func TestMatchMany(t *testing.T) {
	m := compile(t, "lib", "**/*.nix", "lib/**", "lib/*", "lib/{a,b,*}.nix", "lib", "./lib/a.nix/", "doc").Matcher()
	assert.Equal(t, []int32{0, 1, 2, 3, 4, 5, 6}, m.Match("lib/a.nix"))
	assert.Equal(t, []int32{0, 2, 5}, m.Match("lib"))
	assert.Equal(t, []int32{0, 1, 2, 5}, m.Match("lib/x/a.nix"))
	assert.Equal(t, []int32{7}, m.Match("doc/x"))
	assert.Equal(t, []int32{}, append([]int32{}, m.Match("src")...))
	assert.Equal(t, []int32{0, 2, 3, 5}, m.Match("/lib//c/"), "empty components are passed over")
}

// Many globs side by side are found by their ends, not tried in turn.
func TestMatchCrowd(t *testing.T) {
	var texts []string
	for i := range 100 {
		texts = append(texts,
			fmt.Sprintf("x/svc%02d-*.age", i), fmt.Sprintf("x/*-%02d.nix", i), fmt.Sprintf("**/*m%02dm*", i), fmt.Sprintf("x/svc%02d-*.age", i))
	}
	texts = append(texts, "x/*", "x/svc07-a.age", "x/s*-7.age")
	m := compile(t, texts...).Matcher()
	assert.Equal(t, []int32{28, 31, 400, 401}, m.Match("x/svc07-a.age"))
	assert.Equal(t, []int32{28, 31, 38, 400, 402}, m.Match("x/svc07-m09m-7.age"))
	assert.Equal(t, []int32{29, 400}, m.Match("x/a-07.nix"))
	assert.Equal(t, []int32{30}, m.Match("y/am07mb"))
	assert.Empty(t, m.Match("y/svc07-a.age"))
}

func TestMatchWithoutPatterns(t *testing.T) {
	set := compile(t)
	m := set.Matcher()
	assert.Empty(t, m.Match("a"))
	assert.False(t, m.Mark("a"))
	assert.Empty(t, m.Match(""))
	assert.Equal(t, []int32{}, m.Unused())
	assert.Equal(t, []int32{}, set.Above(""))
	assert.Equal(t, []int32{}, set.Above("a"))
}

func TestCompileNamesThePattern(t *testing.T) {
	_, err := hint.Compile([]string{"a", "../b"})
	assert.ErrorContains(t, err, `pattern "../b" has a ".." component`)
}

func TestCompileIsBounded(t *testing.T) {
	texts := make([]string, 600)
	for i := range texts {
		texts[i] = fmt.Sprint(i) + strings.Repeat("/a", 2000)
	}
	_, err := hint.Compile(texts)
	assert.ErrorContains(t, err, "more than 1000000 different components")
}

// Backtracking would take longer than the universe for these.
func TestMatchStaysPolynomial(t *testing.T) {
	deep := strings.Repeat("a/", 1000) + "b"
	wide := strings.Repeat("a", 2000) + "b"
	for _, pattern := range []string{
		strings.Repeat("**/a/", 40) + "**/a",
		strings.Repeat("**/*a*/", 40) + "c",
		strings.Repeat("*a", 400) + "c",
		strings.Repeat("*?", 400) + "c",
		strings.Repeat("*[ab]", 400) + "c",
	} {
		m := compile(t, pattern).Matcher()
		assert.Empty(t, m.Match(deep))
		assert.Empty(t, m.Match(wide))
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	patterns, paths := fleet(100, 300)
	m := compile(t, patterns...).Matcher()
	once := func() {
		for _, path := range paths {
			m.Match(path)
			m.Mark(path)
		}
	}
	once()
	assert.Zero(t, testing.AllocsPerRun(5, once))
}

func TestMatchInAnyOrder(t *testing.T) {
	patterns, paths := fleet(50, 400)
	set := compile(t, patterns...)
	want := map[string][]int32{}
	for _, path := range paths {
		want[path] = append([]int32{}, set.Matcher().Match(path)...)
	}
	m := set.Matcher()
	random := rand.New(rand.NewSource(3))
	for range 5 {
		for _, i := range random.Perm(len(paths)) {
			path := paths[i]
			switch random.Intn(3) {
			case 0:
				m.Match(path[:random.Intn(len(path))])
			case 1:
				m.Mark(path)
			}
			assert.Equal(t, want[path], append([]int32{}, m.Match(path)...), path)
		}
	}
}
