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
	case answer.Confirmed(r.Confirm) != nil:
		return nil, answer.Confirmed(r.Confirm)
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
		answer.Lines[0] = "since " + r.Since
	}
	if r.Tail > 0 {
		answer.Lines[1] = "at most " + strconv.Itoa(r.Tail)
	}
	if r.Grep == "nothing" {
		answer.Lines, answer.Truncated, answer.LeftOut = []string{}, false, 0
	} else if r.Grep != "" {
		answer.Lines[2] = r.Grep
	}
	return answer, nil
}

// Printed are lines of every kind.
func Printed() *deploy.LogsReport {
	return &deploy.LogsReport{
		Service: "grafana", Host: "pi", Container: "grafana", Generation: 4, State: deploy.Running, Truncated: true, LeftOut: 12,
		Lines: []string{
			"2026-03-01T09:21:00.104Z listening on :3000", "2026-03-01T09:22:13.040Z cannot read " + Hostile,
			"2026-03-01T09:22:13.041Z \x1b[31merror\x1b[0m\ttwo", "2026-03-01T09:22:13.042Z ",
		},
	}
}

func repair(_ context.Context, r deploy.RepairRequest, _ tools.Report) (*deploy.RepairReport, error) {
	answer := Repairs()
	switch r.Service {
	case "":
	case "prometheus":
		answer = &deploy.RepairReport{Services: []deploy.Repaired{}, Problems: []build.Problem{}}
	default:
		answer.Services, answer.Problems = answer.Services[:1], []build.Problem{}
		answer.Services[0].Service = r.Service
	}
	return answer, nil
}

// Repairs has a switch of every status that a repair can end with.
func Repairs() *deploy.RepairReport {
	return &deploy.RepairReport{
		Services: []deploy.Repaired{
			{
				Service: "grafana", Host: "pi", Generation: 4, Step: "gate", Status: deploy.Mended, JobID: "deploy_repair-20260301-095000000-m8r3",
				What: `a switch to generation 4 was broken off before the step "gate", and is undone`,
			},
			{
				Service: "home-assistant", Host: "attic", Generation: 2, Step: "stop", Status: deploy.Unmended, JobID: "deploy_repair-20260301-095000000-f2w9",
				Problem: &build.Problem{Code: fault.HostUnreachable, Message: "ssh cannot reach " + Hostile, Hint: "try it by hand"},
			},
			{
				Service: "mosquitto", Host: "pi", Generation: 2, Step: "start", Status: deploy.Untouched,
				Problem: &build.Problem{Code: fault.Locked, Message: "mosquitto: job " + DeployJobID + " works on it", Hint: "wait for it with job_get, or stop it with job_cancel"},
			},
			{Service: "zigbee", Host: "pi", Generation: 7, Step: "tidy", Status: deploy.Unneeded, JobID: "deploy_repair-20260301-095000000-a5c1"},
		},
		Problems: []build.Problem{{Code: fault.Internal, Message: "the journal " + Hostile + " cannot be read", Hint: "look at it"}},
	}
}

func prune(_ context.Context, r deploy.PruneRequest, _ tools.Report) (*deploy.PruneReport, error) {
	answer := Prunable()
	pi := &answer.Hosts[2]
	if r.Host != "" {
		pi.Name = r.Host
	}
	if r.Service != "" {
		pi.Items[0].Service = r.Service
	}
	switch {
	case r.Confirm == "":
		return answer, nil
	case deploy.Confirms(r.Confirm, PreviewID) != nil:
		return nil, deploy.Confirms(r.Confirm, PreviewID)
	}
	items := pi.Items
	items[0].Status, items[1].Status = deploy.Pruned, deploy.Pruned
	items[2].Status, items[2].Problem = deploy.PruneInUse, &build.Problem{Code: fault.Conflict, Message: "image " + items[2].Names[0] + " is in use: container 5f70bf18a086 was made from it", Hint: "remove the container first"}
	items[3].Status, items[3].Problem = deploy.PruneFailed, &build.Problem{Code: fault.EngineUnavailable, Message: "no Docker engine at " + Hostile, Hint: "start Docker"}
	answer.Settle()
	answer.JobID = "docker_prune-20260301-100000000-c4k8"
	return answer, nil
}

// Prunable has something of everything that can be said of a host.
func Prunable() *deploy.PruneReport {
	const id = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
	image := func(service, hash string, size int64, names ...string) deploy.PruneItem {
		return deploy.PruneItem{
			Kind: deploy.OldImage, Service: service, Names: append(names, "homelab/"+service+":nix-"+hash), ID: "sha256:" + id, Bytes: size, Status: deploy.PrunePending,
		}
	}
	none := []deploy.PruneItem{}
	answer, err := deploy.Sum([]deploy.PruneHost{
		{Name: "attic", Items: none, Orphans: none, Problem: &build.Problem{Code: fault.HostUnreachable, Message: "ssh cannot reach " + Hostile, Hint: "try it by hand"}},
		{
			Name: "pi", Answers: true, More: 3, Busy: []string{"zigbee"},
			Items: []deploy.PruneItem{
				{Kind: deploy.OldContainer, Service: "grafana", Names: []string{"grafana.g1"}, ID: id, Generation: 1, Status: deploy.PrunePending},
				image("grafana", "0123456789abcdfghijklmnpqrsvwxyz", 41_943_040, "homelab/grafana:11.2"),
				image("grafana", "1123456789abcdfghijklmnpqrsvwxyz", 40_000_000),
				image("mosquitto", "2123456789abcdfghijklmnpqrsvwxyz", 8_000_000),
			},
			Orphans: []deploy.PruneItem{{
				Kind: deploy.OldContainer, Service: "old", Names: []string{"old"}, ID: id, Generation: 2, Status: deploy.PruneOrphan,
				Why: "the registry has no such service; on the host: docker rm " + Hostile,
			}},
		},
		{Name: "local", Answers: true, SameAs: "pi", Items: none, Orphans: none},
	})
	if err != nil {
		panic(err)
	}
	answer.PreviewID = PreviewID
	return answer
}
