package cli

import (
	"homelab/internal/deploy"
	"homelab/tools"
)

var loadStyle = map[deploy.LoadStatus]style{deploy.Sent: green, deploy.Present: dim, deploy.Failed: red, deploy.Skipped: yellow}

func (p *page) loads(r *deploy.LoadReport) {
	rows := make([][]cell, 0, len(r.Images))
	for _, i := range r.Images {
		what := tools.DescribeLoaded(i.Image)
		if i.Problem != nil {
			what = i.Problem.Message
		}
		rows = append(rows, []cell{{i.Service, bold}, text(i.Host), {string(i.Status), loadStyle[i.Status]}, text(what)})
	}
	p.table([]string{"SERVICE", "HOST", "STATUS", "WHAT"}, rows)
	names := []string{}
	for _, i := range r.Images {
		if i.Image != nil {
			names = append(names, i.Service+": "+tools.Some(i.Image.Names, 2))
		}
		if i.Problem != nil && i.Problem.Hint != "" {
			p.blank()
			p.line(i.Service + ": " + i.Problem.Hint)
		}
	}
	p.list("Names on the host", names)
}

func (p *page) runs(r *deploy.RunReport) {
	p.styled(bold, tools.DescribeRun(r))
	p.line("container  " + r.Run.Container + "  " + r.Run.ID)
	p.line("image      " + tools.Some(r.Image.Names, 2) + ": " + tools.DescribeLoaded(r.Image))
	p.line("artifact   " + r.Out)
	if r.Run.Repaired != "" {
		p.line("repaired   " + r.Run.Repaired)
	}
}
