package cli

import (
	"fmt"

	"homelab/internal/build"
	"homelab/internal/job"
	"homelab/tools"
)

var outcomeStyle = map[build.Status]style{
	build.Built: green, build.Fetched: green, build.Cached: dim, build.Failed: red, build.Skipped: yellow, build.Pending: yellow,
}

func (p *page) build(r *build.Report) {
	p.styled(bold, tools.DescribeBuild(r))
	if r.State == "running" {
		p.line("follow it with: homelab job get " + r.JobID + " --wait 600")
		return
	}
	if len(r.Services) > 0 {
		p.blank()
		rows := make([][]cell, 0, len(r.Services))
		for _, s := range r.Services {
			took := ""
			if s.Seconds > 0 {
				took = fmt.Sprintf("%.1f s", s.Seconds)
			}
			what := tools.DescribeArtifact(s.Artifact)
			if s.Problem != nil {
				what = s.Problem.Message
			}
			rows = append(rows, []cell{{s.Name, bold}, {string(s.Status), outcomeStyle[s.Status]}, text(s.Target.System), text(took), text(what)})
		}
		p.table([]string{"SERVICE", "STATUS", "SYSTEM", "TOOK", "WHAT"}, rows)
		if r.More > 0 {
			p.line(fmt.Sprintf("… and %d more: name them to see them", r.More))
		}
	}
	artifacts := []string{}
	for _, s := range r.Services {
		if s.Status == build.Failed {
			p.failure(s)
		}
		if s.Artifact != nil {
			artifacts = append(artifacts, s.Name+": "+s.Out)
		}
	}
	p.list("Artifacts", artifacts)
	p.warnings(r.Warnings)
}

// failure says all of a failure.
func (p *page) failure(s build.Outcome) {
	p.blank()
	p.styled(red, s.Name+" failed: "+s.Problem.Message)
	for _, line := range s.Problem.Tail {
		p.line("  | " + tools.Printable(line))
	}
	for _, part := range []struct{ label, value string }{{"hint: ", s.Problem.Hint}, {"log:  ", s.Log}} {
		if part.value != "" {
			p.line("  " + part.label + part.value)
		}
	}
}

var jobStyle = map[job.State]style{
	job.Succeeded: green, job.Failed: red, job.Canceled: yellow, job.Interrupted: yellow, job.Running: purple, job.Queued: purple,
}

func (p *page) jobs(l *job.Listing) {
	if len(l.Jobs) == 0 {
		p.line("no jobs")
		return
	}
	rows := make([][]cell, 0, len(l.Jobs))
	for _, j := range l.Jobs {
		what := j.Progress.Message
		switch {
		case j.Problem != nil:
			what = j.Problem.Message
		case j.State.Over():
			what = j.Finished
		}
		rows = append(rows, []cell{{j.ID, bold}, {string(j.State), jobStyle[j.State]}, text(tools.Some(j.Services, 3)), text(what)})
	}
	p.table([]string{"JOB", "STATE", "SERVICES", "WHAT"}, rows)
	if more := l.Count - len(l.Jobs); more > 0 {
		p.line(fmt.Sprintf("… and %d more", more))
	}
}

func (p *page) job(j job.Job) {
	p.styled(jobStyle[j.State], tools.DescribeJob(j))
	if j.Problem != nil {
		p.line(string(j.Problem.Code) + ": " + j.Problem.Message)
		if j.Problem.Hint != "" {
			p.line("hint: " + j.Problem.Hint)
		}
	}
}
