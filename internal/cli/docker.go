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

var stateStyle = map[deploy.ServiceState]style{
	deploy.ServiceRunning: green, deploy.ServiceStopped: red, deploy.ServiceMissing: yellow, deploy.ServiceUnknown: yellow,
}

func (p *page) status(r *deploy.StatusReport) {
	p.styled(bold, tools.DescribeStatus(r))
	if len(r.Services) > 0 {
		p.blank()
		rows := make([][]cell, 0, len(r.Services))
		for _, s := range r.Services {
			rows = append(rows, []cell{{s.Name, bold}, {string(s.State), stateStyle[s.State]}, text(s.Host), text(s.Since), text(tools.DescribeService(s))})
		}
		p.table([]string{"SERVICE", "STATE", "HOST", "SINCE", "WHAT"}, rows)
	}
	silent := []string{}
	for _, h := range r.Hosts {
		if h.Problem != nil {
			silent = append(silent, h.Name+": "+h.Problem.Message, "  "+h.Problem.Hint)
		}
	}
	p.list("Hosts that do not answer", silent)
	p.blank()
	if r.Head != nil {
		p.line("compared with " + tools.DescribeSide(*r.Head))
	}
	if r.Problem != nil {
		p.line("what there is to deploy cannot be told: " + r.Problem.Message)
	}
}
