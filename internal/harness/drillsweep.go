package harness

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"homelab/internal/build"
	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/internal/state"
)

// sweepPatience is how long removing what one drill left may take.
const sweepPatience = 30 * time.Second

// sweepDrills removes what drills left that were broken off, of those that are meant.
func (h *Harness) sweepDrills(ctx context.Context, jobs *job.Store, meant func(state.DrillEntry) bool) []deploy.Repaired {
	swept := []deploy.Repaired{}
	entries, failed := drillJournal(jobs).Entries()
	for _, err := range failed {
		swept = append(swept, deploy.Repaired{Step: "drill", Status: deploy.Unmended, Problem: build.ProblemOf(err)})
	}
	for _, e := range entries {
		j, err := jobs.Get(ctx, e.ID)
		if over := err == nil && j.State.Over() || fault.CodeOf(err) == fault.NotFound; !over || !meant(e) {
			continue
		}
		one := deploy.Repaired{Service: e.Service, Host: e.Host, Step: "drill", Status: deploy.Mended, What: "what drill " + e.ID + " left is removed", JobID: e.ID}
		err = h.on(ctx, e.At, func(engine deploy.Containers) error {
			drills, tries := engine.(deploy.Drills)
			if !tries {
				return fault.Newf(fault.Internal, "", "the engine of host %s makes no copies", e.Host)
			}
			return h.sweepDrill(ctx, jobs, drills, e)
		})
		if err != nil {
			one.What, one.Status, one.Problem = "", deploy.Unmended, build.ProblemOf(err)
		}
		swept = append(swept, one)
	}
	return swept
}

// sweepDrill removes all that there is of a drill, and its record last.
func (h *Harness) sweepDrill(ctx context.Context, jobs *job.Store, engine deploy.Drills, e state.DrillEntry) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), sweepPatience)
	defer stop()
	if err := errors.Join(engine.Clear(ctx, e.ID), os.RemoveAll(filepath.Join(jobs.Dir, "captures", e.ID))); err != nil {
		return err
	}
	return drillJournal(jobs).Remove(e.Host, e.ID)
}
