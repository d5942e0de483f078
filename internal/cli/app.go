// Package cli is the command line face: every tool of the catalogue as a
// subcommand whose flags are the fields of the tool's input. It is the only
// package that prints: results to standard output, all else to standard error.
package cli

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync"

	"homelab/internal/build"
	"homelab/internal/deploy"
	"homelab/internal/doctor"
	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/internal/plan"
	"homelab/internal/rollout"
	"homelab/internal/state"
	"homelab/tools"
)

// App is what the command line needs from the program around it.
type App struct {
	Version Version
	// Open binds the tools to a repository and a registry. It is called when
	// the first tool is, after the flags are known.
	Open func(Settings) tools.Core
	// HandOver becomes the program that links what this one does not, with the
	// same command line; it returns only when it could not. Nil in that program.
	HandOver func() error
	// Serve speaks MCP on In and Out until In ends or ctx does.
	Serve func(ctx context.Context, catalog []tools.Tool, streams Streams) error
	// Inspect shows the catalogue as an MCP client sees it.
	Inspect func(ctx context.Context, catalog []tools.Tool) (Shown, error)
	Streams Streams
}

// Settings are what holds for a whole process. Empty means the default.
type Settings struct {
	Repo       string   // folder in the repository
	Registry   string   // flake:REF#attr or a path
	NixOptions []string // settings for Nix, as name=value
	Resident   bool     // the process answers again and again
	Version    string   // of this program
}

// Streams are where a process reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Shown is an answer with a form for people beside its JSON.
type Shown interface{ Text() (string, error) }

// Run runs one command line, without the program's name, and returns the exit
// status.
func (a App) Run(ctx context.Context, args []string) int {
	r := &run{app: a, settings: Settings{Version: a.Version.Number}}
	core := r.core()
	r.work, r.watch, r.starting, r.catalog = core.Work, core.Watch, core.Starting, tools.Catalog(core)
	root := r.root()
	root.SetArgs(args)
	root.SetIn(a.Streams.In)
	root.SetOut(a.Streams.Out)
	root.SetErr(a.Streams.Err)
	err := cmp.Or(root.ExecuteContext(ctx), r.unhelped)
	if err == nil {
		return 0
	}
	if found := (verdict)(""); errors.As(err, &found) {
		return fault.Code(found).Exit()
	}
	r.fail(err, args)
	return fault.Of(err).Code.Exit()
}

// run is one command line on its way through.
type run struct {
	app      App
	catalog  []tools.Tool
	work     func(ctx context.Context, id string) error
	watch    func(ctx context.Context, dir, host, service, token string) error
	starting func(ctx context.Context, say func(string))
	settings Settings
	json     bool
	noColor  bool
	unhelped error // why help was not printed: cobra takes no error from it
}

// verdict ends a command that has printed its result with the status of a code.
type verdict fault.Code

func (v verdict) Error() string { return string(v) }

// core puts off opening: the catalogue makes the commands, and only they know
// the flags that say what to open.
func (r *run) core() tools.Core {
	open := sync.OnceValue(func() tools.Core { return r.app.Open(r.settings) })
	return tools.Core{
		Plan:  func(ctx context.Context, q plan.Request) (*plan.Plan, error) { return open().Plan(ctx, q) },
		List:  func(ctx context.Context, q plan.ListRequest) (*plan.Listing, error) { return open().List(ctx, q) },
		Get:   func(ctx context.Context, q plan.GetRequest) (*plan.Resolved, error) { return open().Get(ctx, q) },
		Check: func(ctx context.Context, q plan.CheckRequest) (*plan.Check, error) { return open().Check(ctx, q) },
		Doctor: func(ctx context.Context, done func(doctor.Check)) (*doctor.Report, error) {
			return open().Doctor(ctx, done)
		},
		Build: func(ctx context.Context, q build.Request, report tools.Report) (*build.Report, error) {
			return open().Build(ctx, q, report)
		},
		DockerLoad: func(ctx context.Context, q deploy.LoadRequest, report tools.Report) (*deploy.LoadReport, error) {
			return open().DockerLoad(ctx, q, report)
		},
		DockerRun: func(ctx context.Context, q deploy.RunRequest, report tools.Report) (*deploy.RunReport, error) {
			return open().DockerRun(ctx, q, report)
		},
		Deploy: func(ctx context.Context, q rollout.Request, report tools.Report) (*rollout.Report, error) {
			return open().Deploy(ctx, q, report)
		},
		Rollback: func(ctx context.Context, q rollout.RollbackRequest, report tools.Report) (*rollout.Report, error) {
			return open().Rollback(ctx, q, report)
		},
		DockerPrune: func(ctx context.Context, q deploy.PruneRequest, report tools.Report) (*deploy.PruneReport, error) {
			return open().DockerPrune(ctx, q, report)
		},
		Repair: func(ctx context.Context, q deploy.RepairRequest, report tools.Report) (*deploy.RepairReport, error) {
			return open().Repair(ctx, q, report)
		},
		Status: func(ctx context.Context, q deploy.StatusRequest) (*deploy.StatusReport, error) {
			return open().Status(ctx, q)
		},
		Logs: func(ctx context.Context, q deploy.LogsRequest) (*deploy.LogsReport, error) {
			return open().Logs(ctx, q)
		},
		StateBundle: func(ctx context.Context, q state.BundleRequest, report tools.Report) (*state.BundleReport, error) {
			return open().StateBundle(ctx, q, report)
		},
		StateList: func(ctx context.Context, q state.ListRequest) (*state.Listing, error) {
			return open().StateList(ctx, q)
		},
		StateVerify: func(ctx context.Context, q state.VerifyRequest, report tools.Report) (*state.VerifyReport, error) {
			return open().StateVerify(ctx, q, report)
		},
		StateRestore: func(ctx context.Context, q state.RestoreRequest, report tools.Report) (*state.RestoreReport, error) {
			return open().StateRestore(ctx, q, report)
		},
		StateMigrate: func(ctx context.Context, q state.MigrateRequest, report tools.Report) (*state.MigrateReport, error) {
			return open().StateMigrate(ctx, q, report)
		},
		StateDrill: func(ctx context.Context, q state.DrillRequest, report tools.Report) (*state.DrillReport, error) {
			return open().StateDrill(ctx, q, report)
		},
		StatePrune: func(ctx context.Context, q state.PruneRequest, report tools.Report) (*state.PruneReport, error) {
			return open().StatePrune(ctx, q, report)
		},
		Watch: func(ctx context.Context, dir, host, service, token string) error {
			return open().Watch(ctx, dir, host, service, token)
		},
		JobList: func(ctx context.Context, q job.ListRequest) (*job.Listing, error) { return open().JobList(ctx, q) },
		JobGet: func(ctx context.Context, q job.GetRequest, report tools.Report) (*tools.JobAnswer, error) {
			return open().JobGet(ctx, q, report)
		},
		JobCancel: func(ctx context.Context, q job.CancelRequest) (*job.Job, error) {
			return open().JobCancel(ctx, q)
		},
		Work:     func(ctx context.Context, id string) error { return open().Work(ctx, id) },
		Starting: func(ctx context.Context, say func(string)) { open().Starting(ctx, say) },
	}
}
