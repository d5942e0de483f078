package tools

import (
	"context"
	"fmt"

	"homelab/internal/doctor"
	"homelab/internal/fault"
)

// nothing is the input of a tool without arguments.
type nothing struct{}

func doctorTool(core Core) Tool {
	return New(Tool{
		Name:        "doctor",
		Title:       "What works on this machine",
		Description: "What is installed, which version, what can be reached, and the fix for each? Looks at git, the repository, the registry, Nix and the Docker engine of every host.",
		Guidance:    "Use it when another tool fails with precondition, engine_unavailable or host_unreachable.",
		Command:     []string{"doctor"},
		Annotations: looks,
		Examples: []Example{
			{"everything; exit status 5 when a check fails", "homelab doctor", `{}`},
		},
	}, Work[nothing, doctor.Report]{
		Run: func(ctx context.Context, _ nothing, report Report) (*doctor.Report, error) {
			finished := 0
			return core.Doctor(ctx, func(check doctor.Check) {
				finished++
				report(Progress{Done: finished, Message: check.Name + ": " + string(check.Status)})
			})
		},
		Text: reportText,
		Verdict: func(r *doctor.Report) fault.Code {
			if r.OK {
				return ""
			}
			return fault.Precondition
		},
	})
}

func reportText(r *doctor.Report) string {
	var text lines
	for _, check := range r.Checks {
		line := fmt.Sprintf("%s %s", check.Status, Printable(check.Name))
		for _, part := range compact(check.Version, check.Detail) {
			line += ", " + part
		}
		if check.Fix != "" {
			line += "; fix: " + Printable(check.Fix)
		}
		text.add("%s", line)
	}
	return text.String()
}
