package cli

import "homelab/internal/doctor"

var statusStyle = map[doctor.Status]style{
	doctor.OK: green, doctor.Warn: yellow, doctor.Fail: red, doctor.Absent: dim,
}

func (p *page) doctor(r *doctor.Report) {
	rows := make([][]cell, 0, len(r.Checks))
	fixes := []string{}
	for _, check := range r.Checks {
		rows = append(rows, []cell{
			{check.Name, bold}, {string(check.Status), statusStyle[check.Status]}, text(check.Version), text(check.Detail),
		})
		if check.Fix != "" {
			fixes = append(fixes, check.Name+": "+check.Fix)
		}
	}
	p.table([]string{"CHECK", "STATUS", "VERSION", "FOUND"}, rows)
	p.list("What to do", fixes)
}
