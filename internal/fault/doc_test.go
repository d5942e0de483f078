package fault_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
)

// The table in docs/architecture.md is the one in code.go, in the same order.
func TestDocumentedCodesAreTheCodes(t *testing.T) {
	text, err := os.ReadFile("../../docs/architecture.md")
	require.NoError(t, err)
	_, after, found := strings.Cut(string(text), "| code | exit | retry | meaning |\n|---|---|---|---|\n")
	require.True(t, found, "the table is gone")
	documented, _, _ := strings.Cut(after, "\n\n")

	rows := make([]string, 0, len(fault.Codes))
	for _, row := range fault.Codes {
		retry := " "
		if row.Retryable {
			retry = " yes "
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %d |%s| %s |", row.Code, row.Exit, retry, row.Meaning))
	}
	assert.Equal(t, rows, strings.Split(documented, "\n"))
}
