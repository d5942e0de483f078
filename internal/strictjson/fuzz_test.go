package strictjson_test

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/strictjson"
)

// FuzzDecode holds Decode against encoding/json: what has no problem means the
// same to both, and what is not JSON has one.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"name":"x"}`, `{"name":"\u00e9\ud83d\ude00\n","coats":3,"price":1e-3,"tags":["a"],"env":{"a.b":"c"}}`,
		`{"name":"x","rooms":{"a":{"floor":1}},"best":{"floor":2},"walls":[{"side":null}],"extra":[1,{}]}`,
		`{"name":"x","nested":{"name":"y","sizes":[1,2]},"count":0}`, `{"name":null}`, `{"a":1,"a":2}`,
		`[[[[`, `"\ud800"`, "{\"name\":\"\xff\"}", `{"name":"x","extra":" { "}`, ` `, `1 2`, `{"coats":"1"}`,
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, lenient bool) {
		var got, want paint
		problems := strictjson.Decode(data, &got, strictjson.Options{Lenient: lenient})
		for _, p := range problems {
			assert.NotEmpty(t, p.Message)
			assert.Regexp(t, `^\$`, p.Path)
			assert.LessOrEqual(t, utf8.RuneCountInString(p.Value), 120)
			assert.True(t, utf8.ValidString(p.String()))
		}
		if len(problems) > 0 {
			return
		}
		if !lenient {
			require.NoError(t, json.Unmarshal(data, &want))
			require.Equal(t, want, got)
		}
		written, err := json.Marshal(got)
		require.NoError(t, err)
		var again paint
		require.Empty(t, strictjson.Decode(written, &again, strictjson.Options{}), "what it reads it can read again")
	})
}
