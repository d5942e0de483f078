package harness

import (
	"context"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"homelab/internal/build"
	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/internal/state"
	"homelab/registry"
	"homelab/tools"
)

const repairTool = "deploy_repair"

// onlyMigrate is the step of a service whose migration was broken off, and no switch.
const onlyMigrate = "migrate"

// repair finishes or undoes what was broken off, each service as a job of its own:
// who works on one holds up no other.
func (h *Harness) repair(ctx context.Context, r deploy.RepairRequest, report tools.Report) (*deploy.RepairReport, error) {
	jobs, planner, err := h.jobs(ctx)
	if err != nil {
		return nil, err
	}
	entries, failed := left(jobs)
	all := &deploy.RepairReport{Services: []deploy.Repaired{}, Problems: []build.Problem{}}
	for _, err := range failed {
		all.Problems = append(all.Problems, *build.ProblemOf(err))
	}
	if r.Service == "" {
		all.Services = append(all.Services, h.sweepDrills(ctx, jobs, func(state.DrillEntry) bool { return true })...)
	}
	if len(entries) == 0 && r.Service == "" {
		return all, nil
	}
	loaded, err := planner.Load(ctx)
	if err != nil {
		return nil, err
	}
	reg := loaded.Registry
	broken, err := brokenOff(reg, entries, r.Service)
	if err != nil {
		return nil, err
	}
	names := slices.Sorted(maps.Keys(broken))
	done := make([][]deploy.Repaired, len(names))
	sideBySide(names, deploysAtOnce, func(i int, service string) {
		done[i] = h.repairService(ctx, jobs, reg, service, broken[service], report)
	})
	all.Services = append(all.Services, slices.Concat(done...)...)
	return all, nil // also when it was canceled: what was done is done
}

// left are the switches, restores and migrations that were broken off, and the services that were
// put to rest and not woken.
func left(jobs *job.Store) ([]deploy.Entry, []error) {
	entries, failed := switches(jobs).Entries()
	add := func(service, host string, step string) {
		if !slices.ContainsFunc(entries, func(e deploy.Entry) bool { return e.Service == service && e.Host == host }) {
			entries = append(entries, deploy.Entry{Service: service, Host: host, Step: step})
		}
	}
	half, unread := state.Restores(restores(jobs)).Entries()
	for _, e := range half {
		add(e.Service, e.Host, "restore")
	}
	moving, untold := state.Migrations(moves(jobs)).Entries()
	for _, e := range moving {
		add(e.Service, e.Host, onlyMigrate)
	}
	asleep, unknown := rests(jobs).Entries()
	for _, e := range asleep {
		add(e.Service, e.Host, "wake")
	}
	return entries, slices.Concat(failed, unread, untold, unknown)
}

// brokenOff are the entries of a service, or all, by service. A service that the
// registry does not have any more is known by its entry.
func brokenOff(reg *registry.Registry, entries []deploy.Entry, service string) (map[string][]deploy.Entry, error) {
	broken := map[string][]deploy.Entry{}
	for _, e := range entries {
		broken[e.Service] = append(broken[e.Service], e)
	}
	if service == "" {
		return broken, nil
	}
	name, err := reg.Lookup(service)
	if err != nil {
		if name = service; broken[name] == nil {
			return nil, err
		}
	}
	if broken[name] == nil {
		return nil, nil
	}
	return map[string][]deploy.Entry{name: broken[name]}, nil
}

// repairService repairs what was broken off of one service, on each host.
func (h *Harness) repairService(ctx context.Context, jobs *job.Store, reg *registry.Registry, service string, entries []deploy.Entry, report tools.Report) []deploy.Repaired {
	done := make([]deploy.Repaired, len(entries))
	for i, e := range entries {
		done[i] = deploy.Repaired{Service: service, Host: e.Host, Generation: e.Generation, Step: e.Step, Status: deploy.Unmended}
	}
	fail := func(status deploy.RepairStatus, err error) []deploy.Repaired {
		for i := range done {
			if done[i].Status == deploy.Unmended && done[i].Problem == nil {
				done[i].Status, done[i].Problem = status, build.ProblemOf(err)
			}
		}
		return done
	}
	run, err := jobs.Begin(ctx, job.Spec{Tool: repairTool, Services: []string{service}, Input: deploy.RepairRequest{Service: service}})
	if fault.CodeOf(err) == fault.Locked {
		return fail(deploy.Untouched, err)
	}
	if err != nil {
		return fail(deploy.Unmended, err)
	}
	_, err = job.Do(ctx, run, func(ctx context.Context) (*deploy.RepairReport, bool, error) {
		for i := range done {
			done[i].JobID = run.ID
			h.repairEntry(ctx, jobs, reg, &done[i], messages(onRecord(run, report)))
		}
		result := &deploy.RepairReport{Services: done, Problems: []build.Problem{}}
		if result.Code() != "" {
			return result, false, ctx.Err()
		}
		return result, true, nil
	})
	if err != nil {
		return fail(deploy.Unmended, err)
	}
	return done
}

// repairEntry wakes a service and repairs one switch, or says why it cannot.
func (h *Harness) repairEntry(ctx context.Context, jobs *job.Store, reg *registry.Registry, r *deploy.Repaired, say func(string)) {
	err := func() error {
		moved, err := h.repairMigrations(ctx, jobs, reg, r.Host, r.Service, say)
		if err != nil {
			return err
		}
		r.What = moved
		at, err := hostOf(reg, r.Host)
		if err != nil && moved != "" && r.Step == onlyMigrate {
			return nil // nothing else is on record there
		}
		if err != nil {
			return err
		}
		s := subject{r.Service, reg.Services[r.Service], r.Host, at}
		return h.on(ctx, at, func(engine deploy.Containers) error {
			restored, err := h.repairRestore(ctx, engine, jobs, s, say)
			if err != nil {
				return err
			}
			woken, err := s.quiescer(jobs, engine, say).Wake(ctx, r.Service, "")
			if err != nil {
				return err
			}
			runner := deploy.Runner{Engine: engine, Host: r.Host, Journal: switches(jobs), Keep: keepGenerations, Report: say}
			mended, err := runner.Repair(ctx, r.Service)
			r.What = strings.Join(slices.DeleteFunc([]string{moved, restored, woken, mended}, func(what string) bool { return what == "" }), "; ")
			return err
		})
	}()
	switch {
	case err != nil:
		r.Status, r.Problem = deploy.Unmended, build.ProblemOf(err)
	case r.What == "":
		r.Status = deploy.Unneeded
	default:
		r.Status = deploy.Mended
	}
}

// mendAtStart repairs, once, what a server finds broken off when it starts. Where
// there is nothing of it, no repository is opened and no engine asked.
func (h *Harness) mendAtStart(ctx context.Context, say func(string)) {
	if h.engines == nil || !anyBrokenOff() {
		return
	}
	report, err := h.repair(ctx, deploy.RepairRequest{}, func(tools.Progress) {})
	if err != nil {
		say("what was broken off could not be repaired: " + err.Error())
		return
	}
	for _, s := range report.Services {
		if s.Status == deploy.Mended || s.Status == deploy.Unmended {
			say(tools.DescribeRepair(s))
		}
	}
	for _, p := range report.Problems {
		say(p.Message)
	}
}

// anyBrokenOff says whether the journal of some repository has an entry.
func anyBrokenOff() bool {
	base, err := stateBase()
	if err != nil {
		return false // then there is no journal
	}
	for _, journal := range []string{"deploy", "quiesce", "restore/restores", "migrate/moving", "drills"} {
		if found, err := fs.Glob(os.DirFS(base), "*/"+journal+"/*/*.json"); err == nil && len(found) > 0 {
			return true
		}
	}
	return false
}
