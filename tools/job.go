package tools

import (
	"context"
	"fmt"

	"homelab/internal/build"
	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/job"
)

// JobAnswer is a job with what it answered.
type JobAnswer struct {
	job.Job
	Build *build.Report      `json:"build,omitempty" jsonschema_description:"What a build answered."`
	Load  *deploy.LoadReport `json:"load,omitempty" jsonschema_description:"What docker_load answered."`
	Run   *deploy.RunReport  `json:"run,omitempty" jsonschema_description:"What docker_run answered."`
}

func jobGetTool(core Core) Tool {
	return New(Tool{
		Name:        "job_get",
		Title:       "One job: how far it is, and its result",
		Description: "How far has a job come, and what came of it? With wait it answers when the job is over, or when the time is.",
		Guidance:    "Use it after a call with background, and when a call was cut off: the job is on record.",
		Command:     []string{"job", "get"},
		Positional:  "id",
		Complete:    jobNames(core),
		Annotations: looks,
		Examples: []Example{
			{"wait up to 50 seconds for its end", "homelab job get build-20260301-090000000-k7q2 --wait 50", `{"id":"build-20260301-090000000-k7q2","wait":50}`},
		},
	}, Work[job.GetRequest, JobAnswer]{
		Run:     core.JobGet,
		Text:    jobText,
		Verdict: codeOfJob,
	})
}

func jobListTool(core Core) Tool {
	return New(Tool{
		Name:        "job_list",
		Title:       "The jobs of this repository",
		Description: "Which jobs are there, of this and other processes, and how did they end? Newest first; the last 100 are kept.",
		Guidance:    "Use it to find the id of a job.",
		Command:     []string{"job", "list"},
		Annotations: looks,
		Examples:    []Example{{"the last five", "homelab job list --limit 5", `{"limit":5}`}},
	}, Work[job.ListRequest, job.Listing]{
		Run: func(ctx context.Context, in job.ListRequest, _ Report) (*job.Listing, error) {
			return core.JobList(ctx, in)
		},
		Text: jobsText,
	})
}

func jobCancelTool(core Core) Tool {
	return New(Tool{
		Name:        "job_cancel",
		Title:       "Stop a job",
		Description: "Asks a job to stop, in whichever process it runs, and waits up to ten seconds for that. What it has built is kept.",
		Guidance:    "Use it on a job that runs; one that is over stays as it is.",
		Command:     []string{"job", "cancel"},
		Positional:  "id",
		Complete:    jobNames(core),
		Annotations: Annotations{ReadOnly: false, Destructive: true, Idempotent: true, OpenWorld: false},
		Examples: []Example{
			{"stop it", "homelab job cancel build-20260301-090000000-k7q2", `{"id":"build-20260301-090000000-k7q2"}`},
		},
	}, Work[job.CancelRequest, job.Job]{
		Run: func(ctx context.Context, in job.CancelRequest, _ Report) (*job.Job, error) {
			return core.JobCancel(ctx, in)
		},
		Text: func(j *job.Job) string { return jobText(&JobAnswer{Job: *j}) },
		Verdict: func(j *job.Job) fault.Code {
			if j.State.Over() {
				return ""
			}
			return fault.Timeout
		},
	})
}

func jobNames(core Core) func(context.Context) ([]string, error) {
	return func(ctx context.Context) ([]string, error) {
		listing, err := core.JobList(ctx, job.ListRequest{Limit: 100})
		if err != nil {
			return nil, err
		}
		names := []string{}
		for _, j := range listing.Jobs {
			names = append(names, j.ID)
		}
		return names, nil
	}
}

// DescribeJob is a job in one line.
func DescribeJob(j job.Job) string {
	text := fmt.Sprintf("%s %s", j.ID, j.State)
	if !j.State.Over() {
		if j.Progress.Total > 0 {
			text += fmt.Sprintf(", %d of %d", j.Progress.Done, j.Progress.Total)
		}
		if j.Progress.Message != "" {
			text += ": " + Printable(j.Progress.Message)
		}
	}
	return text
}

func jobText(a *JobAnswer) string {
	var text lines
	text.add("%s", DescribeJob(a.Job))
	if a.Problem != nil {
		text.add("%s: %s", a.Problem.Code, Printable(a.Problem.Message))
		if a.Problem.Hint != "" {
			text.add("hint: %s", Printable(a.Problem.Hint))
		}
	}
	if a.Build != nil {
		text.add("%s", buildText(a.Build))
	}
	if a.Load != nil {
		text.add("%s", loadText(a.Load))
	}
	if a.Run != nil {
		text.add("%s", runText(a.Run))
	}
	return text.String()
}

func jobsText(l *job.Listing) string {
	var text lines
	text.add("%s.", Plural(l.Count, "job"))
	for _, j := range l.Jobs {
		text.add("%s (%s)", DescribeJob(j), Some(j.Services, 5))
	}
	return text.String()
}

// codeOfJob grades a job by how it ended.
func codeOfJob(a *JobAnswer) fault.Code {
	switch {
	case a.Problem != nil:
		return a.Problem.Code
	case a.Build != nil:
		return a.Build.Code()
	case a.Load != nil:
		return a.Load.Code()
	}
	return ""
}
