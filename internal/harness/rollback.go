package harness

import (
	"cmp"
	"context"
	"time"

	"homelab/internal/build"
	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/internal/plan"
	"homelab/internal/rollout"
	"homelab/tools"
)

const rollbackTool = "rollback"

// rollback previews what going back to an earlier generation would do, or does it.
func (h *Harness) rollback(ctx context.Context, r rollout.RollbackRequest, report tools.Report) (*rollout.Report, error) {
	jobs, planner, err := h.jobs(ctx)
	if err != nil {
		return nil, err
	}
	b := &backward{Harness: h, planner: planner, jobs: jobs}
	preview, err := b.preview(ctx, r)
	if err != nil || r.Confirm == "" {
		return preview, err
	}
	if len(preview.Todo()) == 0 {
		preview.Settle()
		return preview, nil
	}
	run, err := jobs.Begin(ctx, job.Spec{Tool: rollbackTool, Services: preview.Todo(), Input: r})
	if err != nil {
		return nil, err
	}
	result, err := job.Do(ctx, run, func(ctx context.Context) (*rollout.Report, bool, error) {
		// Again, now that nobody else of this repository can move anything.
		result, err := b.preview(ctx, r)
		if err != nil {
			return nil, false, err
		}
		result.JobID = run.ID
		err = b.carryOut(ctx, result, messages(onRecord(run, report)))
		return result, err == nil && result.Code() == "", err
	})
	if result != nil && result.State == rollout.Canceled {
		return result, nil // it says so, and what runs
	}
	return result, err
}

// backward is one call of the tool rollback.
type backward struct {
	*Harness
	planner *plan.Planner
	jobs    *job.Store

	standing rollout.Standing
}

// preview finds out what would happen. With confirm it has to be what was confirmed.
func (b *backward) preview(ctx context.Context, r rollout.RollbackRequest) (*rollout.Report, error) {
	var err error
	if b.standing, err = b.standingOf(ctx, r.Service, r.Host); err != nil {
		return nil, err
	}
	if err := cmp.Or(here(b.jobs, b.standing.Host, b.standing.Name), unswitched(b.jobs, b.standing.Host, b.standing.Name)); err != nil {
		return nil, err
	}
	if err := deploy.NotMoved(b.standing.Host, b.standing.Name, b.standing.Current, b.standing.Kept); err != nil {
		return nil, err
	}
	preview, err := b.standing.Back(r.Generation)
	if err == nil && r.Confirm != "" {
		err = preview.Confirmed(r.Confirm)
	}
	return preview, err
}

// standingOf finds a service on its host, or on another one.
func (h *Harness) standingOf(ctx context.Context, service, host string) (rollout.Standing, error) {
	s, err := h.placeOf(ctx, service, host)
	if err != nil {
		return s, err
	}
	timed, stop := context.WithTimeout(ctx, statusPatience)
	defer stop()
	err = h.on(timed, s.At, func(engine deploy.Containers) error { return stand(timed, engine, &s) })
	return s, cmp.Or(ctx.Err(), inTime(s.Host, err))
}

// placeOf is where a service is to be looked for.
func (h *Harness) placeOf(ctx context.Context, service, host string) (rollout.Standing, error) {
	none := rollout.Standing{}
	planner, err := h.planner(ctx)
	if err != nil {
		return none, err
	}
	loaded, err := planner.Load(ctx)
	if err != nil {
		return none, err
	}
	name, err := loaded.Registry.Lookup(service)
	if err != nil {
		return none, err
	}
	s := rollout.Standing{Name: name, Service: loaded.Registry.Services[name]}
	if s.Service.Deploy == nil {
		return none, deploy.OnlyBuilt(name)
	}
	s.Host = cmp.Or(host, s.Service.HostOf())
	s.At, err = hostOf(loaded.Registry, s.Host)
	return s, err
}

// stand asks an engine what it has of a service.
func stand(ctx context.Context, engine deploy.Containers, s *rollout.Standing) error {
	all, err := engine.List(ctx)
	s.Current, s.Kept = deploy.Generations(all, s.Name, s.Service.ContainerOf(s.Name))
	return err
}

// record keeps what runs now, as its labels tell it.
func (b *backward) record(ctx context.Context, engine deploy.Containers, s *rollout.Service) error {
	c, err := engine.Container(ctx, s.Run.ID)
	if err != nil || c == nil {
		return err
	}
	return journalOf(b.planner.Source.Root).Write(deploy.RecordOf(s.Host, c.ID, c.Labels, time.Now()))
}

// carryOut has the generation of a preview run.
func (b *backward) carryOut(ctx context.Context, r *rollout.Report, say func(string)) error {
	s, over := &r.Services[0], deploy.IDOf(b.standing.Current)
	err := func() error {
		spec, err := deploy.NewSpec(b.standing.Name, b.standing.Service, b.standing.At, "")
		if err != nil {
			return err
		}
		return b.on(ctx, b.standing.At, func(engine deploy.Containers) error {
			awake, err := b.mendFirst(ctx, engine, b.jobs, subject{s.Name, b.standing.Service, s.Host, b.standing.At})
			if err != nil {
				return err
			}
			defer awake()
			runner := deploy.Runner{Engine: engine, Host: s.Host, Journal: switches(b.jobs), Keep: keepGenerations, Report: say}
			if s.Run, err = runner.Rollback(ctx, deploy.Target{Spec: spec, Gate: deploy.NewGate(*b.standing.Service.Deploy), Over: &over}, s.To.Generation); err != nil {
				return err
			}
			if failed := b.record(ctx, engine, s); failed != nil {
				say(s.Name + " runs, but this machine has no record of it: " + failed.Error())
			}
			return nil
		})
	}()
	if err != nil {
		s.Status, s.Problem = rollout.Broken, build.ProblemOf(err)
		if r.Settle(); ctx.Err() != nil {
			r.State = rollout.Canceled
			return &fault.Error{Code: fault.Canceled, Message: "the rollback was canceled", Hint: "see homelab status " + s.Name, Err: ctx.Err()}
		}
		return nil
	}
	s.Status, s.To.Running = rollout.Done, true
	r.Settle()
	return nil
}
