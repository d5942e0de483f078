package cli

import (
	"fmt"

	"homelab/internal/rollout"
	"homelab/tools"
)

var actionStyle = map[rollout.Action]style{
	rollout.Create: green, rollout.Replace: yellow, rollout.Configure: yellow, rollout.Start: green, rollout.Rollback: yellow, rollout.Repair: yellow, rollout.Nothing: dim, rollout.Blocked: red,
}

var rolloutStyle = map[rollout.Status]style{
	rollout.Done: green, rollout.Unchanged: dim, rollout.Broken: red, rollout.Skipped: yellow,
}

func (p *page) rollout(r *rollout.Report) {
	p.styled(bold, tools.DescribeRollout(r))
	if r.State == rollout.Running {
		p.line("follow it with: homelab job get " + r.JobID + " --wait 600")
		return
	}
	if len(r.Services) > 0 {
		p.blank()
		if r.State == rollout.Previewed {
			p.changes(r.Services)
		} else {
			p.outcomes(r.Services)
		}
	}
	if r.More > 0 {
		p.line(fmt.Sprintf("… and %d more: name them to see them", r.More))
	}
	for _, s := range r.Services {
		if s.Problem != nil && s.Problem.Hint != "" {
			p.blank()
			p.line(s.Name + ": " + s.Problem.Hint)
		}
	}
	p.warnings(r.Warnings)
}

// changes says what would happen, service by service.
func (p *page) changes(services []rollout.Service) {
	for _, s := range services {
		line := p.paint(bold, tools.Printable(s.Name)) + " on " + tools.Printable(s.Host) + ": " + p.paint(actionStyle[s.Action], string(s.Action))
		if outcome := tools.DescribeOutcome(s); outcome != "" {
			line += ": " + outcome
		}
		p.WriteString(line + "\n")
		for _, change := range tools.DescribeChange(s) {
			p.line("  " + change)
		}
	}
}

// outcomes says what came of each service.
func (p *page) outcomes(services []rollout.Service) {
	rows := make([][]cell, 0, len(services))
	for _, s := range services {
		rows = append(rows, []cell{{s.Name, bold}, {string(s.Status), rolloutStyle[s.Status]}, text(s.Host), text(tools.DescribeOutcome(s))})
	}
	p.table([]string{"SERVICE", "STATUS", "HOST", "WHAT"}, rows)
}
