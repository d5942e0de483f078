package harness

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"

	"homelab/internal/build"
	"homelab/internal/command"
	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/internal/plan"
	"homelab/tools"
)

// stateBase is where what must outlive a process is kept: jobs, what is under way on
// hosts, and the links that keep artifacts from garbage collection.
func stateBase() (string, error) {
	base := os.Getenv("HOMELAB_STATE")
	if base == "" {
		if base = os.Getenv("XDG_STATE_HOME"); base != "" {
			base = filepath.Join(base, "homelab")
		}
	}
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fault.Newf(fault.Precondition, "set HOMELAB_STATE to a folder", "there is no place for jobs: %w", err)
		}
		base = filepath.Join(home, ".local", "state", "homelab")
	}
	if !filepath.IsAbs(base) {
		return "", fault.Newf(fault.InvalidArgument, "write an absolute path", "HOMELAB_STATE: %q is relative", base)
	}
	return base, nil
}

// stateDir is the part of it that is of the repository at root.
func stateDir(root string) (string, error) {
	base, err := stateBase()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(root))
	return filepath.Join(base, filepath.Base(root)+"-"+hex.EncodeToString(sum[:6])), nil
}

// jobs are those of the repository.
func (h *Harness) jobs(ctx context.Context) (*job.Store, *plan.Planner, error) {
	planner, err := h.planner(ctx)
	if err != nil {
		return nil, nil, err
	}
	dir, err := stateDir(planner.Source.Root)
	if err != nil {
		return nil, nil, err
	}
	return &job.Store{Dir: dir}, planner, nil
}

func (h *Harness) build(ctx context.Context, r build.Request, report tools.Report) (*build.Report, error) {
	jobs, planner, err := h.jobs(ctx)
	if err != nil {
		return nil, err
	}
	order, err := planner.Order(ctx, r.Plan(), r.PlanID)
	if err != nil {
		return nil, err
	}
	services := build.Services(order)
	if r.DryRun || len(services) == 0 {
		result, err := h.builder(jobs, planner).Build(ctx, order, r, build.Watch{Report: telling(report)})
		return result.Bounded(), err
	}
	background := r.Background
	if background { // what is carried out later is what there is to do now, or nothing
		r.PlanID, r.Background = order.Plan.PlanID, false
	}
	known := func(context.Context) (*plan.Order, error) { return order, nil }
	return asJob(ctx, h, jobs, job.Spec{Tool: "build", Services: services, Input: r}, background,
		func(id string) *build.Report { return build.Started(order, id) },
		func(run *job.Run) (*build.Report, error) {
			return h.runBuild(ctx, jobs, planner, known, r, run, report)
		})
}

// runBuild carries out a build as a job.
func (h *Harness) runBuild(ctx context.Context, jobs *job.Store, planner *plan.Planner, orderOf func(context.Context) (*plan.Order, error), r build.Request, run *job.Run, report tools.Report) (*build.Report, error) {
	result, err := job.Do(ctx, run, func(ctx context.Context) (*build.Report, bool, error) {
		order, err := orderOf(ctx)
		if err != nil {
			return nil, false, err
		}
		logs, err := run.Logs()
		if err != nil {
			return nil, false, err
		}
		result, err := h.builder(jobs, planner).Build(ctx, order, r, build.Watch{Logs: logs, Report: telling(onRecord(run, report))})
		if result != nil {
			result.JobID = run.ID
		}
		return result.Bounded(), err == nil && result.Code() == "", err
	})
	switch {
	case err == nil || result == nil:
		return result, err
	case result.State == "canceled":
		return result, nil // it says so, and what was built before
	}
	f := fault.Of(err)
	return nil, &fault.Error{Op: f.Op, Code: f.Code, Message: f.Message, Hint: strings.TrimPrefix(f.Hint+"; what was done before: homelab job get "+run.ID, "; "), Err: err}
}

func (h *Harness) builder(jobs *job.Store, planner *plan.Planner) *build.Builder {
	return &build.Builder{Nix: builders{h.nix}, Roots: filepath.Join(jobs.Dir, "roots"), Cache: planner.Source.CacheDir}
}

// onRecord tells how far a job is, and keeps it with the job.
func onRecord(run *job.Run, report tools.Report) tools.Report {
	return func(p tools.Progress) {
		run.Report(job.Progress(p))
		report(p)
	}
}

// messages tells words alone.
func messages(report tools.Report) func(string) {
	return func(message string) { report(tools.Progress{Message: message}) }
}

func telling(report tools.Report) func(done, total int, message string) {
	return func(done, total int, message string) {
		report(tools.Progress{Done: done, Total: total, Message: message})
	}
}

// detach begins a job in a process of its own.
func (h *Harness) detach(ctx context.Context, jobs *job.Store, spec job.Spec) (id string, err error) {
	planner, err := h.planner(ctx)
	if err != nil {
		return "", err
	}
	started, err := jobs.Detach(ctx, spec, h.starter(jobs, planner))
	if err != nil {
		return "", err
	}
	return started.ID, nil
}

// asJob does something as a job: here, or in the background, of which started tells.
func asJob[A any](ctx context.Context, h *Harness, jobs *job.Store, spec job.Spec, background bool, started func(id string) *A, do func(*job.Run) (*A, error)) (*A, error) {
	if background {
		id, err := h.detach(ctx, jobs, spec)
		if err != nil {
			return nil, err
		}
		return started(id), nil
	}
	run, err := jobs.Begin(ctx, spec)
	if err != nil {
		return nil, err
	}
	return do(run)
}

// starter starts the process of a detached job: this program, with the settings
// of this one.
func (h *Harness) starter(jobs *job.Store, planner *plan.Planner) func(id string, lock *os.File) error {
	return func(id string, lock *os.File) error {
		// In JSON, because the job tells it when this process could not even begin.
		args := []string{"job", "work", id, "--json", "--repo", planner.Source.Root}
		if setting := planner.Source.Setting; setting != "" {
			args = append(args, "--registry", setting)
		}
		for _, option := range h.nix.Options.Strings() {
			args = append(args, "--nix-option", option)
		}
		return command.Detach(command.Detached{
			Args: args, Dir: planner.Source.Root, File: lock,
			Output: jobs.WorkerLog(id),
		})
	}
}

// work does a detached job in this process, which was started for it.
func (h *Harness) work(ctx context.Context, id string) error {
	lock := command.Inherited()
	jobs, planner, err := h.jobs(ctx)
	if err != nil {
		return err
	}
	run, err := jobs.Adopt(id, lock)
	if err != nil {
		return err
	}
	switch run.Tool() {
	case deployTool:
		return h.workOnDeploy(ctx, jobs, planner, run)
	case bundleTool:
		return h.workOnBundle(ctx, jobs, run)
	case restoreTool:
		return h.workOnRestore(ctx, jobs, run)
	case migrateTool:
		return h.workOnMigrate(ctx, jobs, run)
	case drillTool:
		return h.workOnDrill(ctx, jobs, run)
	}
	var r build.Request
	if err := jobs.Input(id, &r); err != nil {
		return run.Fail(err)
	}
	planned := func(ctx context.Context) (*plan.Order, error) { return planner.Order(ctx, r.Plan(), r.PlanID) }
	_, err = h.runBuild(ctx, jobs, planner, planned, r, run, func(tools.Progress) {})
	return err
}

func (h *Harness) jobList(ctx context.Context, r job.ListRequest) (*job.Listing, error) {
	jobs, _, err := h.jobs(ctx)
	if err != nil {
		return nil, err
	}
	return jobs.List(ctx, r)
}

func (h *Harness) jobGet(ctx context.Context, r job.GetRequest, report tools.Report) (*tools.JobAnswer, error) {
	jobs, _, err := h.jobs(ctx)
	if err != nil {
		return nil, err
	}
	j, err := jobs.Wait(ctx, r, func(p job.Progress) {
		report(tools.Progress(p))
	})
	if err != nil {
		return nil, err
	}
	answer := &tools.JobAnswer{Job: *j}
	_, err = jobs.Result(j.ID, &answer.Result)
	return answer, err
}

func (h *Harness) jobCancel(ctx context.Context, r job.CancelRequest) (*job.Job, error) {
	jobs, _, err := h.jobs(ctx)
	if err != nil {
		return nil, err
	}
	return jobs.Cancel(ctx, r)
}
