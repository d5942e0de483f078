package strictjson_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"homelab/internal/strictjson"
)

func TestPath(t *testing.T) {
	at := strictjson.Root.Key("services")
	assert.Equal(t, strictjson.Path("$.services.grafana.hints[2]"), at.Key("grafana").Key("hints").Index(2))
	for key, want := range map[string]strictjson.Path{
		"a_1": "$.a_1", "A": "$.A",
		"a.b": `$["a.b"]`, "a-b": `$["a-b"]`, "1a": `$["1a"]`, "": `$[""]`, `"`: `$["\""]`, "é": `$["é"]`, "<": `$["<"]`,
	} {
		assert.Equal(t, want, strictjson.Root.Key(key))
	}
}

func TestExcerpt(t *testing.T) {
	a := func(n int) string { return strings.Repeat("a", n) }
	for name, tt := range map[string]struct {
		value any
		want  string
	}{
		"short":                {[]string{"a b", "c"}, `["a b","c"]`},
		"escaped quotes":       {[]string{`\" x`, `y z`}, `["\\\" x","y z"]`},
		"fits":                 {a(118), `"` + a(118) + `"`},
		"does not fit":         {a(119), `"` + a(118) + "…"},
		"characters, not HTML": {"<&>", `"<&>"`},
		"not JSON":             {func() {}, ""},
	} {
		assert.Equal(t, tt.want, strictjson.Excerpt(tt.value), name)
	}
}
