package registry_test

import (
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/registry"
)

// FuzzParse holds that a registry that parses can be written and read again,
// and that the error for any other is bounded.
func FuzzParse(f *testing.F) {
	example, err := os.ReadFile("testdata/complete.json")
	require.NoError(f, err)
	f.Add(example)
	for _, seed := range []string{
		``, `{}`, `[]`, `{"version":1,"services":{}}`, `{"version":1,"services":{"a":null}}`,
		`{"version":1,"services":{"aa":{"build":{"targets":{"x86_64-linux":"a"}},"hints":["a"],"inputs":[],"aliases":[],"deploy":{"ports":["[::]:1:1"]}}}}`,
		`{"version":1,"services":{"a":{"build":{"targets":{"x":""}},"hints":["["],"dependsOn":["a","b"],"state":{"items":[{"path":"//"}],"stores":["s3://"]}}}}`,
		`{"version":1,"hosts":{"a":{"docker":"ssh://a:b@c"}},"services":{}}`, `{"version":1,"globalHints":[{"path":"{a,b}","services":[]}],"services":{}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := registry.Parse(data)
		if err != nil {
			var problems registry.Problems
			require.True(t, errors.As(err, &problems))
			assert.NotEmpty(t, problems)
			assert.Less(t, len(err.Error()), 100_000)
			return
		}
		written, err := json.Marshal(r)
		require.NoError(t, err)
		again, err := registry.Parse(written)
		require.NoError(t, err)
		// Empty lists that mean the same as none are not written.
		rewritten, err := json.Marshal(again)
		require.NoError(t, err)
		require.Equal(t, string(written), string(rewritten))
		for name, service := range r.Services {
			require.Equal(t, service.Inputs, again.Services[name].Inputs)
		}
	})
}
