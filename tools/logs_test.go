package tools_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"homelab/internal/deploy"
	"homelab/tools"
	"homelab/tools/toolstest"
)

// Of a long log the text has the newest lines, and says that there are others.
func TestLogsTextEndsWithTheNewest(t *testing.T) {
	for name, c := range map[string]struct {
		lines []string
		says  string
	}{
		"many":      {strings.Split(strings.Repeat("a line that is not very long\n", 999)+"the last", "\n"), " more lines: see the JSON"},
		"wide":      {[]string{strings.Repeat("x", 8000), strings.Repeat("y", 8000), "the last"}, strings.Repeat("x", 999) + "…\nyyy"},
		"many wide": {append(slices.Repeat([]string{strings.Repeat("é", 3000)}, 20), "the last"), "… 1"},
		"hostile":   {[]string{strings.Repeat("\x1b", 3000), "the last"}, `\x1b`},
	} {
		core := toolstest.Core()
		core.Logs = func(context.Context, deploy.LogsRequest) (*deploy.LogsReport, error) {
			r := toolstest.Printed()
			r.Lines = c.lines
			return r, nil
		}
		for _, tool := range tools.Catalog(core) {
			if tool.Name == "logs" {
				text := call(t, tool, `{"service":"ha"}`).Text
				assert.LessOrEqual(t, len(text), tools.MaxText, name)
				assert.True(t, strings.HasSuffix(text, "\nthe last"), name)
				assert.NotContains(t, text, "… cut", name)
				assert.Contains(t, text, "12 earlier lines left out", name)
				assert.Contains(t, text, c.says, name)
			}
		}
	}
}
