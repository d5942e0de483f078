package toolstest

import (
	"bytes"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/schemas"
)

// Fits says whether an answer of a tool is what its output schema promises.
func Fits(t *testing.T, tool string, answer []byte) {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemas.Output(tool)))
	require.NoError(t, err)
	require.NoError(t, compiler.AddResource("output.json", schema))
	compiled, err := compiler.Compile("output.json")
	require.NoError(t, err)
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(answer))
	require.NoError(t, err)
	assert.NoError(t, compiled.Validate(value), "%s: %s", tool, answer)
}
