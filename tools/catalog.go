package tools

import (
	"context"

	"homelab/internal/build"
	"homelab/internal/deploy"
	"homelab/internal/doctor"
	"homelab/internal/job"
	"homelab/internal/plan"
	"homelab/internal/rollout"
	"homelab/internal/state"
)

// Core is what the tools are bound to. Which repository and which registry it
// speaks of was settled when the process started: an agent never passes a path.
type Core struct {
	Plan   func(context.Context, plan.Request) (*plan.Plan, error)
	List   func(context.Context, plan.ListRequest) (*plan.Listing, error)
	Get    func(context.Context, plan.GetRequest) (*plan.Resolved, error)
	Check  func(context.Context, plan.CheckRequest) (*plan.Check, error)
	Doctor func(ctx context.Context, done func(doctor.Check)) (*doctor.Report, error)

	Build func(context.Context, build.Request, Report) (*build.Report, error)
	// These cannot be done by the program that links no engines: see [Tool.Engines].
	DockerLoad  func(context.Context, deploy.LoadRequest, Report) (*deploy.LoadReport, error)
	DockerRun   func(context.Context, deploy.RunRequest, Report) (*deploy.RunReport, error)
	Deploy      func(context.Context, rollout.Request, Report) (*rollout.Report, error)
	Rollback    func(context.Context, rollout.RollbackRequest, Report) (*rollout.Report, error)
	DockerPrune func(context.Context, deploy.PruneRequest, Report) (*deploy.PruneReport, error)
	Repair      func(context.Context, deploy.RepairRequest, Report) (*deploy.RepairReport, error)
	Status      func(context.Context, deploy.StatusRequest) (*deploy.StatusReport, error)
	Logs        func(context.Context, deploy.LogsRequest) (*deploy.LogsReport, error)

	StateBundle  func(context.Context, state.BundleRequest, Report) (*state.BundleReport, error)
	StateList    func(context.Context, state.ListRequest) (*state.Listing, error)
	StateVerify  func(context.Context, state.VerifyRequest, Report) (*state.VerifyReport, error)
	StateDrill   func(context.Context, state.DrillRequest, Report) (*state.DrillReport, error)
	StateRestore func(context.Context, state.RestoreRequest, Report) (*state.RestoreReport, error)
	StateMigrate func(context.Context, state.MigrateRequest, Report) (*state.MigrateReport, error)
	StatePrune   func(context.Context, state.PruneRequest, Report) (*state.PruneReport, error)
	// Watch wakes a service that was put to rest when the process that did it ends: the
	// command line calls it in the process that was started for that.
	Watch func(ctx context.Context, dir, host, service, token string) error

	JobList   func(context.Context, job.ListRequest) (*job.Listing, error)
	JobGet    func(context.Context, job.GetRequest, Report) (*JobAnswer, error)
	JobCancel func(context.Context, job.CancelRequest) (*job.Job, error)
	// Work does a detached job: the command line calls it in the process that
	// was started for the job.
	Work func(ctx context.Context, id string) error
	// Starting is what a server does once when it starts, while it answers. It tells
	// of what it did.
	Starting func(ctx context.Context, say func(string))
}

// Catalog is every tool there is, in the order they are shown to people.
func Catalog(core Core) []Tool {
	working := []Tool{
		planTool(core),
		buildTool(core),
		deployTool(core),
		deployRepairTool(core),
		rollbackTool(core),
		dockerLoadTool(core),
		dockerRunTool(core),
		dockerPruneTool(core),
		stateBundleTool(core),
		stateDrillTool(core),
		stateRestoreTool(core),
		stateMigrateTool(core),
		statePruneTool(core),
	}
	return append(working,
		statusTool(core),
		logsTool(core),
		stateListTool(core),
		stateVerifyTool(core),
		registryListTool(core),
		registryGetTool(core),
		registryCheckTool(core),
		jobListTool(core),
		jobGetTool(core, working),
		jobCancelTool(core),
		doctorTool(core),
	)
}
