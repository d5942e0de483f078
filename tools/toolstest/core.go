// Package toolstest answers for a homelab that does not exist, so that the
// faces can be tested without a repository. Its answers show what was asked:
// two calls that give the same JSON took the same arguments.
package toolstest

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"homelab/internal/build"
	"homelab/internal/deploy"
	"homelab/internal/doctor"
	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/internal/plan"
	"homelab/tools"
)

// Arguments that do not get an answer.
const (
	PanickingBase = "panics"      // as base of plan
	HangingBase   = "hangs"       // as base of plan: waits until the call is canceled
	UnknownName   = "nobody"      // as name of registry_get
	BrokenLimit   = plan.MaxLimit // as limit of registry_check: an invalid registry
)

// Core answers every question.
func Core() tools.Core {
	return tools.Core{
		Plan: answerPlan, List: list, Get: get, Check: check, Doctor: examine,
		Build: buildServices, DockerLoad: loadImages, DockerRun: runService, Deploy: deployServices, DockerPrune: prune, Repair: repair, Rollback: rollback, Starting: func(context.Context, func(string)) {}, Status: status, Logs: logs, StateBundle: bundleState, StateList: listBundles, StateVerify: verifyBundle, StateDrill: drillBundle, StateRestore: restoreState, StateMigrate: migrateState, StatePrune: pruneBundles, JobList: listJobs, JobGet: getJob, JobCancel: cancelJob,
	}
}

func answerPlan(ctx context.Context, r plan.Request) (*plan.Plan, error) {
	switch r.Base {
	case PanickingBase:
		panic("this base panics")
	case HangingBase:
		<-ctx.Done()
		return nil, ctx.Err()
	}
	answer := Plan()
	if answer.Mode = r.Mode; r.Mode == plan.Audit {
		answer = Audit()
	}
	if r.Base != "" {
		answer.Base.Ref, answer.Base.Why = r.Base, "as asked"
	}
	if r.MergeBase {
		answer.Base.Why = "the merge base, as asked"
	}
	if r.Head != "" {
		answer.Head = plan.Side{Ref: r.Head, Commit: commitB, State: plan.StateCommit}
	}
	if len(r.Services) > 0 {
		answer.Services = slices.DeleteFunc(answer.Services, func(s plan.Service) bool { return !slices.Contains(r.Services, s.Name) })
	}
	for i := range answer.Services {
		if r.System != "" {
			answer.Services[i].Target.System, answer.Services[i].Target.DecidedBy = r.System, "argument"
		}
	}
	if r.Limit > 0 {
		answer.Changes.Files = answer.Changes.Files[:min(r.Limit, len(answer.Changes.Files))]
	}
	return answer, nil
}

func list(_ context.Context, r plan.ListRequest) (*plan.Listing, error) {
	answer := Listing()
	if r.Limit > 0 {
		answer.Services = answer.Services[:min(r.Limit, len(answer.Services))]
	}
	return answer, nil
}

func get(_ context.Context, r plan.GetRequest) (*plan.Resolved, error) {
	if r.Name == UnknownName {
		return nil, fault.Newf(fault.UnknownService, "did you mean home-assistant?", "no service is called %q", r.Name)
	}
	answer := Resolved()
	answer.Name = r.Name
	if r.System != "" {
		answer.Target.System, answer.Target.DecidedBy = r.System, "argument"
	}
	return answer, nil
}

func check(_ context.Context, r plan.CheckRequest) (*plan.Check, error) {
	if r.Limit == BrokenLimit {
		return BrokenCheck(), nil
	}
	answer := Check()
	if r.Limit > 0 {
		answer.StaleHints = answer.StaleHints[:min(r.Limit, len(answer.StaleHints))]
	}
	return answer, nil
}

func examine(_ context.Context, done func(doctor.Check)) (*doctor.Report, error) {
	answer := Report()
	for _, check := range answer.Checks {
		done(check)
	}
	return answer, nil
}

func buildServices(_ context.Context, r build.Request, report tools.Report) (*build.Report, error) {
	if r.Background {
		return &build.Report{JobID: JobID, State: "running", PlanID: "5b2e8f", Counts: build.Counts{Total: 3}, Services: []build.Outcome{}, Warnings: []plan.Warning{}}, nil
	}
	answer := Built()
	if r.Base != "" {
		answer.Head.Why = "since " + r.Base + ", merge base: " + strconv.FormatBool(r.MergeBase)
	}
	if len(r.Services) > 0 {
		answer.Head.Ref = strings.Join(r.Services, " ")
	}
	answer.DryRun = r.DryRun
	if r.System != "" {
		answer.Services[0].Target.System = r.System
	}
	return answer, nil
}

func loadImages(_ context.Context, r deploy.LoadRequest, _ tools.Report) (*deploy.LoadReport, error) {
	answer := Loads()
	for i := range answer.Images {
		if r.Host != "" {
			answer.Images[i].Host = r.Host
		}
	}
	if r.Service != "" {
		answer.Images = answer.Images[1:2]
		answer.Images[0].Service, answer.State = r.Service, "succeeded"
	}
	if r.JobID != "" {
		answer.JobID = LoadJobID + " of " + r.JobID
	}
	return answer, nil
}

func runService(_ context.Context, r deploy.RunRequest, _ tools.Report) (*deploy.RunReport, error) {
	answer := Ran()
	answer.Service = r.Service
	if r.JobID != "" {
		answer.JobID = r.JobID
	}
	if r.Host != "" {
		answer.Host = r.Host
	}
	return answer, nil
}

func status(_ context.Context, r deploy.StatusRequest) (*deploy.StatusReport, error) {
	answer := Status()
	if len(r.Services) > 0 {
		answer.Services = answer.Services[:1]
		answer.Services[0].Name = r.Services[0]
	}
	if r.Exact {
		answer.Services[0].Todo = plan.Rebuild
	}
	return answer, nil
}

func listJobs(_ context.Context, r job.ListRequest) (*job.Listing, error) {
	answer := Jobs()
	if r.Limit > 0 {
		answer.Jobs = answer.Jobs[:min(r.Limit, len(answer.Jobs))]
	}
	return answer, nil
}

func getJob(_ context.Context, r job.GetRequest, _ tools.Report) (*tools.JobAnswer, error) {
	if r.ID == UnknownName {
		return nil, fault.Newf(fault.NotFound, "did you mean "+JobID+"?", "there is no job %q", r.ID)
	}
	answer := Job()
	answer.Progress.Total = r.Wait
	return answer, nil
}

func cancelJob(context.Context, job.CancelRequest) (*job.Job, error) {
	answer := Job().Job
	answer.State, answer.Problem = job.Canceled, &job.Problem{Code: fault.Canceled, Message: "context canceled"}
	return &answer, nil
}
