package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"homelab/internal/fault"
	"homelab/internal/job"
)

// JobAnswer is a job with what it answered.
type JobAnswer struct {
	job.Job
	Result json.RawMessage `json:"result,omitempty" jsonschema:"type=object" jsonschema_description:"What its tool answered: see the output of that tool."`
}

// Answered is what a job answered, in the words of its tool; the zero value when it has
// not, or a tool that is not among these.
func Answered(catalog []Tool, a *JobAnswer) Result {
	at := slices.IndexFunc(catalog, func(t Tool) bool { return t.Name == a.Tool })
	if at < 0 || len(a.Result) == 0 {
		return Result{}
	}
	result, err := catalog[at].Read(a.Result)
	if err != nil {
		return Result{} // written by another version: the JSON is there
	}
	return result
}

func jobGetTool(core Core, working []Tool) Tool {
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
		Run:  core.JobGet,
		Text: func(a *JobAnswer) string { return jobText(a.Job) + Answered(working, a).Text },
		Verdict: func(a *JobAnswer) fault.Code {
			if a.Problem != nil {
				return a.Problem.Code
			}
			return Answered(working, a).Verdict
		},
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
		Text: func(j *job.Job) string { return jobText(*j) },
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

func jobText(j job.Job) string {
	var text lines
	text.add("%s", DescribeJob(j))
	if j.Problem != nil {
		text.add("%s: %s", j.Problem.Code, Printable(j.Problem.Message))
		if j.Problem.Hint != "" {
			text.add("hint: %s", Printable(j.Problem.Hint))
		}
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
