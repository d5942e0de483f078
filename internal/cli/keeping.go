package cli

import (
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
