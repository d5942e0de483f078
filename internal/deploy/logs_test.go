package deploy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/fault"
)

// printer is an engine whose containers have printed a text.
type printer struct {
	deploytest.Memory
	text  string
	since time.Time // that it was asked for
}

const stamp = "2026-03-01T10:00:00.123456789+01:00 "

func (p *printer) Logs(_ context.Context, _ string, t deploy.Tail, w io.Writer) error {
	p.since = t.Since
	all := strings.SplitAfter(p.text, "\n")
	if all[len(all)-1] == "" {
		all = all[:len(all)-1]
	}
	for _, line := range all[max(len(all)-t.Lines, 0):] {
		if _, err := io.WriteString(w, stamp+line); err != nil {
			return err
		}
	}
	return nil
}

func numbered(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format+"\n", i+1)
	}
	return b.String()
}

// The newest lines are answered, and that there are others.
func TestLogs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text        string
		asked       deploy.LogsRequest
		lines       int
		first, last string
		truncated   bool
		left        int
	}{
		"nothing":                       {text: ""},
		"all":                           {text: "one\ntwo\n", lines: 2, first: "one", last: "two"},
		"without an end":                {text: "one\ntwo", lines: 2, first: "one", last: "two"},
		"empty lines":                   {text: "\n\n", lines: 2},
		"of windows":                    {text: "one\r\n", lines: 1, first: "one", last: "one"},
		"as many as there are":          {text: numbered(100, "%d"), lines: 100, first: "1", last: "100"},
		"more than a hundred":           {text: numbered(101, "%d"), lines: 100, first: "2", last: "101", truncated: true},
		"the last two":                  {text: numbered(9, "%d"), asked: deploy.LogsRequest{Tail: 2}, lines: 2, first: "8", last: "9", truncated: true},
		"those that match":              {text: numbered(500, "line %d"), asked: deploy.LogsRequest{Grep: `9\d$`}, lines: 50, first: "line 90", last: "line 499"},
		"the last two that match":       {text: numbered(500, "line %d"), asked: deploy.LogsRequest{Grep: `9\d$`, Tail: 2}, lines: 2, first: "line 498", last: "line 499", truncated: true, left: 48},
		"no times are searched":         {text: "one\n", asked: deploy.LogsRequest{Grep: "2026"}},
		"none that match":               {text: numbered(9, "%d"), asked: deploy.LogsRequest{Grep: "x"}},
		"not all were searched":         {text: "found\n" + numbered(10_000, "%d"), asked: deploy.LogsRequest{Grep: "found"}, truncated: true},
		"all were searched":             {text: "found\n" + numbered(9_998, "%d"), asked: deploy.LogsRequest{Grep: "found"}, lines: 1, first: "found", last: "found"},
		"not all are remembered":        {text: "found\n" + strings.Repeat(strings.Repeat("x", 1<<20)+"\n", 5), asked: deploy.LogsRequest{Grep: "found"}, truncated: true},
		"more than there is room for":   {text: numbered(900, "%0100d"), asked: deploy.LogsRequest{Tail: 1000}, lines: 512, first: fmt.Sprintf("%0100d", 389), last: fmt.Sprintf("%0100d", 900), truncated: true, left: 388},
		"what takes more room as JSON":  {text: numbered(900, "\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b%d"), asked: deploy.LogsRequest{Tail: 1000}, lines: 516, first: strings.Repeat("\x1b", 16) + "385", last: strings.Repeat("\x1b", 16) + "900", truncated: true, left: 384},
		"a line that never ends":        {text: strings.Repeat("é", 9<<20), lines: 1, first: strings.Repeat("é", 4094) + "…", last: strings.Repeat("é", 4094) + "…", truncated: true},
		"a long line, and what follows": {text: strings.Repeat("x", 9<<20) + "\nend\n", lines: 1, first: "end", last: "end", truncated: true},
		"no text":                       {text: "\xff\xfeok\n", lines: 1, first: "\ufffdok", last: "\ufffdok"},
	} {
		t.Run(name, func(t *testing.T) {
			engine := &printer{text: c.text}
			container := deploy.Container{ID: "id", Name: "web", State: deploy.Running, Labels: map[string]string{deploy.LabelService: "web", deploy.LabelGeneration: "3"}}
			report, err := deploy.Logs(t.Context(), engine, "nas", container, c.asked)
			require.NoError(t, err)
			assert.Equal(t, []any{"web", "nas", "web", 3, deploy.Running}, []any{report.Service, report.Host, report.Container, report.Generation, report.State})
			assert.Equal(t, []any{c.lines, c.truncated, c.left}, []any{len(report.Lines), report.Truncated, report.LeftOut})
			if c.lines > 0 && len(report.Lines) > 0 {
				assert.Equal(t, []string{c.first, c.last}, []string{unstamped(report.Lines[0]), unstamped(report.Lines[len(report.Lines)-1])})
			}
			encoded, err := json.Marshal(report.Lines)
			require.NoError(t, err)
			assert.LessOrEqual(t, len(encoded), 64<<10+2)
			assert.True(t, bytes.HasPrefix(encoded, []byte("[")), "never null")
		})
	}
}

// unstamped is a line without the time before it, when it has one.
func unstamped(line string) string { return strings.TrimPrefix(line, "2026-03-01T09:00:00.123Z ") }

func TestLogsSince(t *testing.T) {
	t.Parallel()
	engine := &printer{}
	ask := func(since string) {
		_, err := deploy.Logs(t.Context(), engine, "nas", deploy.Container{}, deploy.LogsRequest{Since: since})
		require.NoError(t, err)
	}
	ask("")
	assert.Zero(t, engine.since)
	ask("2026-03-01T09:00:00+01:00")
	assert.Equal(t, "2026-03-01T08:00:00Z", engine.since.UTC().Format(time.RFC3339))
	before := time.Now()
	ask("10m")
	assert.False(t, engine.since.Before(before.Add(-10*time.Minute)))
	assert.False(t, engine.since.After(time.Now().Add(-10*time.Minute)))

	for says, r := range map[string]deploy.LogsRequest{
		`since: "yesterday" is neither a time nor how long ago`: {Since: "yesterday"},
		`since: "-5m" is neither a time nor how long ago`:       {Since: "-5m"},
		`since: "0s" is neither a time nor how long ago`:        {Since: "0s"},
		"grep: missing closing ): `(`":                          {Grep: "("},
		"grep: a pattern of 501 bytes, and 500 are the most":    {Grep: strings.Repeat("x", 501)},
	} {
		err := r.Validate()
		assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err))
		assert.EqualError(t, err, says)
	}
	assert.NoError(t, deploy.LogsRequest{Since: "24h", Grep: `(?i)error|warn`}.Validate())
	assert.NoError(t, deploy.LogsRequest{Grep: strings.Repeat("x", 500)}.Validate())
}

// What an engine says of a log is what is answered.
func TestLogsFail(t *testing.T) {
	t.Parallel()
	cause := errors.New("no connection")
	engine := &deploytest.Memory{Fail: func(string) error { return cause }}
	_, err := deploy.Logs(t.Context(), engine, "nas", deploy.Container{ID: "id"}, deploy.LogsRequest{})
	assert.ErrorIs(t, err, cause)
}
