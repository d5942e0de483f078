package toolstest

import (
	"context"
	"strconv"

	"homelab/internal/build"
	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/plan"
	"homelab/internal/rollout"
	"homelab/tools"
)

func rollback(_ context.Context, r rollout.RollbackRequest, _ tools.Report) (*rollout.Report, error) {
	answer := Backward()
	switch {
	case r.Confirm == "":
	case !answer.Is(r.Confirm):
		return nil, fault.New(fault.Conflict, "that is not what would happen any more", "look at a new preview, and confirm that one")
	default:
		answer.State, answer.JobID = rollout.Failed, "rollback-20260301-094000000-b2n6"
		answer.Services[0].Status, answer.Services[0].Problem = rollout.Broken, &build.Problem{
			Code: fault.Unhealthy, Message: "not healthy: its own check says unhealthy; the version before runs", Hint: "its last words: " + Hostile,
		}
	}
	answer.Services[0].Name = r.Service
	if r.Generation > 0 {
		answer.Services[0].To.Generation = r.Generation
	}
	if r.Host != "" {
		answer.Services[0].Host = r.Host
	}
	return answer, nil
}

// Backward is a service that would go back to its earlier generation.
func Backward() *rollout.Report {
	const store = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-"
	return &rollout.Report{
		State: rollout.Previewed, PreviewID: PreviewID,
		Head:   plan.Side{Commit: commitA, State: plan.StateCommit, Why: "generation 3"},
		Counts: rollout.Counts{Total: 1, Rollback: 1},
		Services: []rollout.Service{{
			Name: "grafana", Host: "pi", Action: rollout.Rollback, Status: rollout.Pending, Downtime: rollout.Restart,
			From:   &rollout.Version{Generation: 4, Revision: commitB, WorkTree: plan.StateDirty, Out: "/nix/store/1123456789abcdfghijklmnpqrsvwxyz-grafana", Running: true},
			To:     &rollout.Version{Generation: 3, Revision: commitA, Out: store + "grafana"},
			Config: []deploy.Difference{{Field: "env.TZ", Want: "UTC", Is: Hostile}},
			Impact: []rollout.Impact{{Item: "grafana", Class: "durable", Effect: rollout.Kept}},
		}},
		Warnings: []plan.Warning{{Code: "newerData", Message: "data stays as generation 4 left it: grafana", Hint: "make sure that the earlier version can read it"}},
	}
}

func logs(_ context.Context, r deploy.LogsRequest) (*deploy.LogsReport, error) {
	answer := Printed()
	answer.Service = r.Service
	if r.Host != "" {
		answer.Host = r.Host
	}
	if r.Generation > 0 {
		answer.Generation = r.Generation
	}
	if r.Since != "" {
		answer.Lines[0].Text = "since " + r.Since
	}
	if r.Tail > 0 {
		answer.Lines[1].Text = "at most " + strconv.Itoa(r.Tail)
	}
	if r.Grep == "nothing" {
		answer.Lines, answer.Truncated, answer.LeftOut = []deploy.LogLine{}, false, 0
	} else if r.Grep != "" {
		answer.Lines[2].Text = r.Grep
	}
	return answer, nil
}

// Printed are lines of every kind.
func Printed() *deploy.LogsReport {
	return &deploy.LogsReport{
		Service: "grafana", Host: "pi", Container: "grafana", Generation: 4, State: deploy.Running, Truncated: true, LeftOut: 12,
		Lines: []deploy.LogLine{{Text: "listening on :3000"}, {Text: "cannot read " + Hostile}, {Text: "\x1b[31merror\x1b[0m\ttwo"}, {}},
	}
}
