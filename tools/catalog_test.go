package tools_test

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/plan"
	"homelab/tools"
	"homelab/tools/toolstest"
)

func catalog(t *testing.T) map[string]tools.Tool {
	t.Helper()
	byName := map[string]tools.Tool{}
	for _, tool := range tools.Catalog(toolstest.Core()) {
		require.NotContains(t, byName, tool.Name)
		byName[tool.Name] = tool
	}
	return byName
}

func call(t *testing.T, tool tools.Tool, raw string) tools.Result {
	t.Helper()
	result, err := tool.Call(t.Context(), json.RawMessage(raw), nil)
	require.NoError(t, err, "%s %s", tool.Name, raw)
	return result
}

func TestEveryToolIsWellSpoken(t *testing.T) {
	for name, tool := range catalog(t) {
		assert.Regexp(t, regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`), name)
		assert.Equal(t, name, strings.Join(tool.Command, "_"), "the two faces call it the same")
		assert.NotEmpty(t, tool.Title, name)
		assert.True(t, strings.HasSuffix(tool.Description, "."), name)
		assert.True(t, strings.HasPrefix(tool.Guidance, "Use it "), "%s says when to use it", name)
		assert.LessOrEqual(t, len(tool.Description)+len(tool.Guidance), 600, "%s is short", name)

		fields := map[string]bool{}
		for _, field := range tool.Fields() {
			fields[field.Name] = true
			assert.NotEmpty(t, field.Description, "%s %s", name, field.Name)
			assert.NotContains(t, []string{"repo", "path", "dir", "registry"}, field.Name, "%s: an agent never passes a path", name)
		}
		if tool.Positional != "" {
			assert.True(t, fields[tool.Positional], name)
		}
		for _, example := range tool.Examples {
			assert.NotEmpty(t, example.About, name)
			assert.True(t, strings.HasPrefix(example.Command, "homelab "+strings.Join(tool.Command, " ")), example.Command)
		}
	}
}

func TestTextSaysWhatTheAnswerSays(t *testing.T) {
	for name, tool := range catalog(t) {
		t.Run(name, func(t *testing.T) {
			toolstest.Golden(t, name+".txt", call(t, tool, tool.Examples[0].Input).Text+"\n")
		})
	}
	t.Run("registry_check invalid", func(t *testing.T) {
		result := call(t, catalog(t)["registry_check"], fmt.Sprintf(`{"limit":%d}`, toolstest.BrokenLimit))
		toolstest.Golden(t, "registry_check_invalid.txt", result.Text+"\n")
	})
}

func TestVerdictsAreThoseOfTheDocumentation(t *testing.T) {
	all := catalog(t)
	assert.Empty(t, call(t, all["plan"], `{}`).Verdict)
	assert.Empty(t, call(t, all["registry_check"], `{}`).Verdict)
	assert.Equal(t, 2, call(t, all["registry_check"], fmt.Sprintf(`{"limit":%d}`, toolstest.BrokenLimit)).Verdict.Exit())
	assert.Equal(t, 5, call(t, all["doctor"], `{}`).Verdict.Exit())
	assert.Equal(t, 10, call(t, all["build"], `{}`).Verdict.Exit())
	assert.Empty(t, call(t, all["build"], `{"background":true}`).Verdict)
	assert.Equal(t, 10, call(t, all["job_get"], `{"id":"x"}`).Verdict.Exit())
	assert.Empty(t, call(t, all["job_cancel"], `{"id":"x"}`).Verdict, "it is what was asked for")
	const confirmed = `"confirm":"` + toolstest.PreviewID + `"`
	assert.Empty(t, call(t, all["deploy"], `{}`).Verdict)
	assert.Equal(t, 13, call(t, all["deploy"], `{`+confirmed+`}`).Verdict.Exit())
	assert.Empty(t, call(t, all["deploy"], `{"background":true,`+confirmed+`}`).Verdict)
	assert.Empty(t, call(t, all["rollback"], `{"service":"ha"}`).Verdict)
	assert.Equal(t, 13, call(t, all["rollback"], `{"service":"ha",`+confirmed+`}`).Verdict.Exit())
	assert.Empty(t, call(t, all["docker_prune"], `{}`).Verdict)
	assert.Equal(t, 12, call(t, all["docker_prune"], `{`+confirmed+`}`).Verdict.Exit())
	assert.Empty(t, call(t, all["state_bundle"], `{"all":true}`).Verdict)
	assert.Equal(t, 12, call(t, all["state_bundle"], `{"all":true,"due":true}`).Verdict.Exit())
	assert.Empty(t, call(t, all["state_prune"], `{}`).Verdict)
	assert.Empty(t, call(t, all["state_restore"], `{"service":"ha","commit":"x"}`).Verdict)
	assert.Equal(t, 6, call(t, all["state_prune"], `{`+confirmed+`}`).Verdict.Exit())
	assert.Equal(t, 12, call(t, all["deploy_repair"], `{}`).Verdict.Exit())
	assert.Empty(t, call(t, all["state_list"], `{}`).Verdict)
	assert.Equal(t, 12, call(t, all["state_list"], `{"store":"sftp://nas.lan/bundles"}`).Verdict.Exit())
}

func TestNoNameReachesTheTextAsItIs(t *testing.T) {
	for name, tool := range catalog(t) {
		text := call(t, tool, tool.Examples[0].Input).Text
		assert.NotContains(t, text, "\x1b", name)
		assert.NotContains(t, text, "\u202e", name)
		assert.NotContains(t, text, "evil\nname", name)
	}
}

func TestPlanTextOfAThousandServicesFits(t *testing.T) {
	core := toolstest.Core()
	big := toolstest.Plan()
	for i := range 1000 {
		s := big.Services[i%5]
		s.Name = fmt.Sprintf("service-with-a-rather-long-name-%04d", i)
		big.Services = append(big.Services, s)
		big.Unmatched.Paths = append(big.Unmatched.Paths, strings.Repeat("folder/", 30)+s.Name)
	}
	core.Plan = func(context.Context, plan.Request) (*plan.Plan, error) { return big, nil }
	for _, tool := range tools.Catalog(core) {
		if tool.Name == "plan" {
			text := call(t, tool, `{}`).Text
			assert.LessOrEqual(t, len(text), tools.MaxText)
			assert.Contains(t, text, "touched as well: service-with-a-rather-long-name-")
			assert.Contains(t, text, "none: ")
			assert.Contains(t, text, "warning: ", "what is cut is not what to know")
		}
	}
}

func TestCompletionOffersNamesAndAliases(t *testing.T) {
	for name, tool := range catalog(t) {
		if !strings.HasPrefix(tool.Positional, "service") {
			continue
		}
		require.NotNil(t, tool.Complete, name)
		offered, err := tool.Complete(t.Context())
		require.NoError(t, err)
		assert.Equal(t, []string{"grafana", "ha", "home-assistant"}, offered, name)
	}
}
