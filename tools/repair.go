package tools

import (
	"fmt"

	"homelab/internal/deploy"
)

func deployRepairTool(core Core) Tool {
	return New(Tool{
		Name:        "deploy_repair",
		Title:       "Repair what a crash broke off",
		Description: "Finishes or undoes switches of versions that were broken off: the new one stays if it is healthy, else the one before runs again.",
		Guidance:    "Use it when status tells of brokenOff. deploy, docker_run and a starting server do it too.",
		Command:     []string{"deploy", "repair"},
		Positional:  "service",
		Complete:    serviceNames(core),
		Engines:     true,
		Annotations: replaces,
		Examples: []Example{
			{"everything", "homelab deploy repair", `{}`},
			{"one service", "homelab deploy repair ha", `{"service":"ha"}`},
		},
	}, Work[deploy.RepairRequest, deploy.RepairReport]{Run: core.Repair, Text: repairText, Verdict: (*deploy.RepairReport).Code})
}

// DescribeRepairs is what came of repairs, in one line.
func DescribeRepairs(r *deploy.RepairReport) string {
	by := map[deploy.RepairStatus]int{}
	for _, s := range r.Services {
		by[s.Status]++
	}
	return counted(len(r.Services), "nothing was broken off", []part{
		{by[deploy.Mended], "repaired"}, {by[deploy.Unneeded], "with nothing left to do"}, {by[deploy.Unmended], "failed"}, {by[deploy.Untouched], "locked"},
	})
}

// DescribeRepair is what came of one repair, in one line.
func DescribeRepair(s deploy.Repaired) string {
	what := s.What
	if s.Problem != nil {
		what = s.Problem.Message
	}
	return Printable(fmt.Sprintf("%s on %s: %s%s", s.Service, s.Host, s.Status, after(": ", what)))
}

func repairText(r *deploy.RepairReport) string {
	var text lines
	text.add("%s.", DescribeRepairs(r))
	for _, s := range r.Services {
		text.add("%s", DescribeRepair(s))
		if s.Problem != nil && s.Problem.Hint != "" {
			text.add("  hint: %s", Printable(s.Problem.Hint))
		}
	}
	for _, p := range r.Problems {
		text.add("%s: %s", p.Code, Printable(p.Message))
		text.add("  hint: %s", Printable(p.Hint))
	}
	return text.String()
}
