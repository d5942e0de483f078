package tools_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/build"
	"homelab/internal/fault"
	"homelab/internal/rollout"
	"homelab/tools"
	"homelab/tools/toolstest"
)

// Of many services the text says first what went wrong, and counts all of them, also
// those that are not listed.
func TestTextOfALargeRollout(t *testing.T) {
	for _, n := range []int{100, 300} {
		r := &rollout.Report{State: rollout.Previewed, PreviewID: toolstest.PreviewID}
		for i := range n {
			s := rollout.Service{Name: fmt.Sprintf("service-with-a-name-%03d", i), Host: "pi", Action: rollout.Replace, Status: rollout.Done, Downtime: rollout.Restart}
			if i%2 == 0 {
				s.Action = rollout.Nothing
			}
			r.Services = append(r.Services, s)
		}
		r.Counts = rollout.Counts{Total: n, Replace: n / 2, None: n / 2}
		last := &r.Services[n-1]
		last.Status, last.Problem = rollout.Broken, &build.Problem{Code: fault.Unhealthy, Message: "not healthy", Hint: "look"}
		r.Settle()
		core := toolstest.Core()
		core.Deploy = func(context.Context, rollout.Request, tools.Report) (*rollout.Report, error) { return r.Bounded(), nil }
		catalog := tools.Catalog(core)
		deploy := catalog[slices.IndexFunc(catalog, func(t tools.Tool) bool { return t.Name == "deploy" })]
		result, err := deploy.Call(t.Context(), json.RawMessage(`{}`), nil)
		require.NoError(t, err)
		assert.LessOrEqual(t, len(result.Text), tools.MaxText)
		first := fmt.Sprintf("%d services: %d deployed, %d unchanged, 1 failed.\nfailed service-with-a-name-%d on pi: not healthy\n  hint: look\n", n, n/2-1, n/2, n-1)
		assert.True(t, strings.HasPrefix(result.Text, strings.ReplaceAll(first, "name-99", "name-099")), result.Text[:200])
		assert.Equal(t, fault.Unhealthy, result.Verdict)
	}
}

// What was not reached is told after what it waits for, and before all that went well.
func TestTextOfARolloutSaysFirstWhatWentWrong(t *testing.T) {
	core := toolstest.Core()
	core.Deploy = func(context.Context, rollout.Request, tools.Report) (*rollout.Report, error) {
		r := toolstest.RolledOut()
		r.Services[0], r.Services[2] = r.Services[2], r.Services[0]
		return r, nil
	}
	all := tools.Catalog(core)
	text := call(t, all[slices.IndexFunc(all, func(t tools.Tool) bool { return t.Name == "deploy" })], `{}`).Text
	at := -1
	for _, line := range []string{"\nfailed grafana", "\nskipped home-assistant", "\ndeployed prometheus", "\ndeployed mosquitto", "\nunchanged nodered"} {
		next := strings.Index(text, line)
		assert.Greater(t, next, at, "%q in %s", line, text)
		at = next
	}
}

func TestTextOfARolloutInTheBackground(t *testing.T) {
	text := call(t, catalog(t)["deploy"], `{"background":true,"confirm":"`+toolstest.PreviewID+`"}`).Text
	assert.Contains(t, text, `job_get {"id":"`+toolstest.DeployJobID+`","wait":50} follows it; job_cancel stops it.`)
	assert.NotContains(t, text, "Nothing was changed")
}

// Of data is told what the registry declares, and what does not stay as it is.
func TestDescribeChangeOfData(t *testing.T) {
	assert.Equal(t, []string{"data: a is kept, durable", "data: b is detached", "data: d is moved, recomputable"}, tools.DescribeChange(rollout.Service{Impact: []rollout.Impact{
		{Item: "a", Class: "durable", Effect: rollout.Kept}, {Item: "b", Effect: rollout.Detached}, {Item: "c", Effect: rollout.Kept}, {Item: "d", Class: "recomputable", Effect: rollout.Moved},
	}}))
}
