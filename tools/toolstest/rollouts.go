package toolstest

import (
	"context"

	"homelab/internal/build"
	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/plan"
	"homelab/internal/rollout"
	"homelab/tools"
)

// PreviewID is that of the one preview there is.
const PreviewID = "36fbb166cfe57f37ebd4ff2ce144c8288eb894a84018635016a8885748ca72d8"

func deployServices(_ context.Context, r rollout.Request, _ tools.Report) (*rollout.Report, error) {
	answer := Preview()
	switch {
	case r.Confirm == "" || r.DryRun:
	case answer.Confirmed(r.Confirm) != nil:
		return nil, answer.Confirmed(r.Confirm)
	case r.Background:
		answer.State, answer.JobID = rollout.Running, DeployJobID
	default:
		answer = RolledOut()
	}
	if len(r.Services) > 0 {
		answer.Head.Ref = r.Services[0]
	}
	return answer, nil
}

// DeployJobID is the job of a rollout.
const DeployJobID = "deploy-20260301-093000000-h5t9"

// Preview has a service of every action.
func Preview() *rollout.Report {
	const store = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-"
	from := &rollout.Version{Generation: 3, Revision: commitA, Out: store + "grafana", Running: true}
	to := &rollout.Version{Revision: commitB, WorkTree: plan.StateDirty, Out: "/nix/store/1123456789abcdfghijklmnpqrsvwxyz-grafana"}
	return &rollout.Report{
		State: rollout.Previewed, PreviewID: PreviewID, PlanID: "5b2e8f",
		Head:   plan.Side{Commit: commitB, State: plan.StateDirty, Why: "the work tree"},
		Counts: rollout.Counts{Total: 6, Create: 1, Replace: 1, Configure: 1, Start: 1, None: 1, Blocked: 1},
		Services: []rollout.Service{
			{
				Name: "prometheus", Host: "pi", Action: rollout.Create, Status: rollout.Pending, Downtime: rollout.NoDowntime, Build: build.Pending,
				To: &rollout.Version{Revision: commitB, Out: store + "prometheus"}, Impact: []rollout.Impact{{Item: "metrics", Class: "durable", Effect: rollout.Attached}},
				Privileges: []string{"capability NET_RAW", "dockerSocket"},
			},
			{
				Name: "grafana", Host: "pi", Action: rollout.Replace, Status: rollout.Pending, Downtime: rollout.Restart, Build: build.Pending, From: from, To: to,
				Config: []deploy.Difference{{Field: "env.TZ", Want: Hostile, Is: "UTC"}}, After: []string{"prometheus"},
				Impact: []rollout.Impact{{Item: "/srv/grafana", Effect: rollout.Kept}, {Item: "grafana", Class: "durable", Effect: rollout.Detached}},
			},
			{
				Name: "home-assistant", Host: "pi", Action: rollout.Configure, Status: rollout.Pending, Downtime: rollout.NoDowntime, Build: build.Cached, From: from, To: from,
				Config: []deploy.Difference{{Field: "ports", Want: "8124:8123/tcp", Is: "8123:8123/tcp"}}, BrokenOff: "gate",
			},
			{Name: "mosquitto", Host: "pi", Action: rollout.Start, Status: rollout.Pending, Downtime: rollout.NoDowntime, Build: build.Cached, From: &rollout.Version{Generation: 1}, To: from},
			{Name: "nodered", Host: "pi", Action: rollout.Nothing, Status: rollout.Pending, Downtime: rollout.NoDowntime, Build: build.Cached, From: from, To: from},
			{
				Name: "zigbee", Host: "attic", Action: rollout.Blocked, Status: rollout.Pending, Downtime: rollout.NoDowntime,
				Problem: &build.Problem{Code: fault.HostUnreachable, Message: "ssh cannot reach " + Hostile, Hint: "try it by hand"},
			},
		},
		Warnings: []plan.Warning{{Code: "untracked", Message: "1 untracked under a hint", Hint: "git add it"}},
	}
}

// RolledOut has a service of every status that a rollout can end with.
func RolledOut() *rollout.Report {
	r := Preview()
	r.State, r.JobID = rollout.Failed, DeployJobID
	r.Services = r.Services[:5]
	r.Counts = rollout.Counts{Total: 5, Create: 1, Replace: 1, Configure: 1, Start: 1, None: 1, Deployed: 2, Unchanged: 1, Failed: 1, Skipped: 1}
	r.Services[0].Status, r.Services[0].Run = rollout.Done, Ran().Run
	r.Services[1].Status, r.Services[1].Problem = rollout.Broken, &build.Problem{
		Code: fault.Unhealthy, Message: "not healthy: it ended with status 1; the version before runs", Hint: "its last words: " + Hostile,
	}
	r.Services[2].Status, r.Services[2].Problem = rollout.Skipped, &build.Problem{Code: fault.Precondition, Message: "it waits for grafana, which failed", Hint: "mend grafana"}
	r.Services[3].Status, r.Services[3].Run = rollout.Done, &deploy.Switched{Changed: true, Container: "mosquitto", Generation: 2, Before: 1}
	r.Services[4].Status = rollout.Unchanged
	return r
}
