package cli

import (
	"slices"

	"homelab/internal/deploy"
	"homelab/tools"
)

func (p *page) logs(r *deploy.LogsReport) {
	if said := tools.DescribeLogs(r); said != "" {
		p.styled(dim, said)
	}
	for _, line := range r.Lines {
		p.WriteString(tools.DescribeLine(line) + "\n")
	}
}

var repairStyle = map[deploy.RepairStatus]style{deploy.Mended: green, deploy.Unneeded: dim, deploy.Unmended: red, deploy.Untouched: yellow}

func (p *page) repairs(r *deploy.RepairReport) {
	p.styled(bold, tools.DescribeRepairs(r))
	if len(r.Services) > 0 {
		p.blank()
	}
	for _, s := range r.Services {
		p.styled(repairStyle[s.Status], tools.DescribeRepair(s))
		if s.Problem != nil && s.Problem.Hint != "" {
			p.line("  " + s.Problem.Hint)
		}
	}
	for _, problem := range r.Problems {
		p.blank()
		p.line(tools.Printable(problem.Message))
		p.line("  " + problem.Hint)
	}
}

var pruneStyle = map[deploy.PruneStatus]style{
	deploy.Pruned: green, deploy.PruneInUse: yellow, deploy.PruneFailed: red, deploy.PruneOrphan: dim,
}

func (p *page) prune(r *deploy.PruneReport) {
	p.styled(bold, tools.DescribePrune(r))
	for _, h := range r.Hosts {
		said := tools.DescribePruneHost(h)
		if len(h.Items)+len(h.Orphans)+len(said) == 0 {
			continue
		}
		p.blank()
		p.styled(bold, h.Name)
		for _, i := range slices.Concat(h.Items, h.Orphans) {
			p.styled(pruneStyle[i.Status], "  "+tools.DescribeItem(i))
		}
		for _, line := range said {
			p.line("  " + line)
		}
	}
}
