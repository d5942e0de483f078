package tools

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"homelab/internal/deploy"
)

func logsTool(core Core) Tool {
	return New(Tool{
		Name:        "logs",
		Title:       "What a service printed last",
		Description: "The last lines of a service's container.",
		Guidance:    "Use it when a service does not do what it should.",
		Command:     []string{"logs"},
		Positional:  "service",
		Complete:    serviceNames(core),
		Engines:     true,
		Annotations: looks,
		Examples: []Example{
			{"the last 100 lines", "homelab logs ha", `{"service":"ha"}`},
			{"what went wrong in the last hour", "homelab logs ha --since 1h --grep (?i)error|warn", `{"service":"ha","since":"1h","grep":"(?i)error|warn"}`},
			{"of the version before", "homelab logs ha --generation 3 --tail 20", `{"service":"ha","generation":3,"tail":20}`},
		},
	}, Work[deploy.LogsRequest, deploy.LogsReport]{
		Run: func(ctx context.Context, in deploy.LogsRequest, _ Report) (*deploy.LogsReport, error) {
			return core.Logs(ctx, in)
		},
		Text: logsText,
	})
}

// DescribeLogs says what is left out of the lines of a log, and where there are none;
// empty: they are all there.
func DescribeLogs(r *deploy.LogsReport) string {
	switch {
	case r.LeftOut > 0:
		return "… " + Plural(r.LeftOut, "earlier line") + " left out"
	case r.Truncated:
		return "… earlier lines are left out"
	case len(r.Lines) == 0:
		return "no lines"
	}
	return ""
}

// DescribeLine is a line of a log, fit to be shown.
func DescribeLine(line string) string {
	return Printable(strings.ReplaceAll(line, "\t", "  "))
}

// logsText has the newest lines that fit.
func logsText(r *deploy.LogsReport) string {
	head := fmt.Sprintf("%s on %s: %s, generation %d, %s.\n", Printable(r.Service), Printable(r.Host), Printable(r.Container), r.Generation, r.State)
	const note = "… %d more lines: see the JSON, or ask for fewer\n"
	const widest = 1000
	room := MaxText - len(head) - 2*len(note)
	texts := []string{}
	for _, line := range slices.Backward(r.Lines) {
		text := []rune(DescribeLine(line))
		if len(text) > widest {
			text = append(text[:widest-1], '…')
		}
		texts = append(texts, string(text)+"\n")
		if room -= len(texts[len(texts)-1]); room < 0 {
			texts = texts[:len(texts)-1]
			head += fmt.Sprintf(note, len(r.Lines)-len(texts))
			break
		}
	}
	if said := DescribeLogs(r); said != "" {
		head += said + "\n"
	}
	slices.Reverse(texts)
	return head + strings.Join(texts, "")
}
