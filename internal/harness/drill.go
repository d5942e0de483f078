package harness

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"homelab/internal/deploy"
	"homelab/internal/engine/dockerhost"
	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/internal/state"
	"homelab/registry"
	"homelab/tools"
)

const drillTool = "state_drill"

// drill tries whether a service starts with what a bundle has. Its job claims no
// service: nothing of it is touched, and a deploy need not wait.
func (h *Harness) drill(ctx context.Context, r state.DrillRequest, report tools.Report) (*state.DrillReport, error) {
	d, err := h.newDrill(ctx, r)
	if err != nil {
		return nil, err
	}
	background := r.Background
	r.Background = false
	result, err := asJob(ctx, h, d.jobs, job.Spec{Tool: drillTool, Input: r}, background,
		func(id string) *state.DrillReport { return d.report("running", id) },
		func(run *job.Run) (*state.DrillReport, error) { return d.do(ctx, run, report) })
	return result, errors.Join(err, d.store.Close())
}

// workOnDrill does a detached state_drill in this process.
func (h *Harness) workOnDrill(ctx context.Context, jobs *job.Store, run *job.Run) error {
	var r state.DrillRequest
	if err := jobs.Input(run.ID, &r); err != nil {
		return run.Fail(err)
	}
	d, err := h.newDrill(ctx, r)
	if err != nil {
		return run.Fail(err)
	}
	_, err = d.do(ctx, run, func(tools.Progress) {})
	return errors.Join(err, d.store.Close())
}

// drilling is one call of the tool state_drill.
type drilling struct {
	*Harness
	jobs  *job.Store
	reg   *registry.Registry
	store state.Store
	kept  state.Kept
	subject
	say func(string)
}

// newDrill finds the bundle and its service.
func (h *Harness) newDrill(ctx context.Context, r state.DrillRequest) (*drilling, error) {
	jobs, reg, err := h.registryAndJobs(ctx)
	if err != nil {
		return nil, err
	}
	d := &drilling{Harness: h, jobs: jobs, reg: reg}
	if d.store, d.kept, err = h.findBundle(ctx, jobs, reg, r.Bundle, r.Store); err != nil {
		return nil, err
	}
	if err := d.resolve(r.Host); err != nil {
		return nil, errors.Join(err, d.store.Close())
	}
	return d, nil
}

func (d *drilling) resolve(host string) (err error) {
	if d.subject, err = subjectOf(d.reg, d.kept.Service, host); err != nil {
		return err
	}
	if d.service.Deploy == nil {
		return deploy.OnlyBuilt(d.name)
	}
	return nil
}

func (d *drilling) report(how, jobID string) *state.DrillReport {
	return &state.DrillReport{
		State: how, JobID: jobID, Bundle: d.kept.ID, Service: d.name, Host: d.host, Store: d.store.Name(),
		Items: []string{}, Log: []string{}, Warnings: []string{},
	}
}

func (d *drilling) do(ctx context.Context, run *job.Run, report tools.Report) (*state.DrillReport, error) {
	return job.Do(ctx, run, func(ctx context.Context) (*state.DrillReport, bool, error) {
		d.say = messages(onRecord(run, report))
		result := d.report("failed", run.ID)
		err := d.take(ctx, run.ID, result)
		if err != nil {
			return nil, false, err
		}
		return result, result.Code() == "", nil
	})
}

// take brings the bundle here, and has it tried on the host.
func (d *drilling) take(ctx context.Context, id string, result *state.DrillReport) error {
	for _, swept := range d.sweepDrills(ctx, d.jobs, func(e state.DrillEntry) bool { return e.Host == d.host }) {
		if swept.Problem != nil {
			result.Warnings = append(result.Warnings, "what an earlier drill left is still there: "+swept.Problem.Message)
		}
	}
	b, about, err := openBundle(ctx, d.jobs, d.reg, d.store, d.kept)
	if err != nil {
		return err
	}
	defer b.Close()
	result.About = about
	engine, way, done, err := d.dial(ctx, d.at)
	if err != nil {
		return err
	}
	err = d.with(ctx, engine, way, b, id, result)
	return errors.Join(err, done())
}

func (d *drilling) with(ctx context.Context, engine deploy.Containers, way *dockerhost.Engine, b state.Bundle, id string, result *state.DrillReport) error {
	site, err := d.sites(engine)
	if err != nil {
		return err
	}
	fillable, fills := site.(state.FillableSite)
	drills, tries := engine.(deploy.Drills)
	if !fills || !tries {
		return fault.Newf(fault.Internal, "", "the engine of host %s makes no copies", d.host)
	}
	image, from, err := d.image(ctx, engine, result.About)
	if err != nil {
		return err
	}
	if result.Image, result.ImageFrom = image.ID, from; result.About.Image != "" && result.About.Image != image.ID {
		result.Warnings = append(result.Warnings, d.name+" was another image when the bundle was made: this one was tried")
	}
	spec, err := deploy.NewSpec(d.name, d.service, d.at, image.ID)
	if err != nil {
		return err
	}
	// On record first: whatever is made from here on is found again.
	entry := &state.DrillEntry{ID: id, Service: d.name, Host: d.host, At: d.at}
	if err := drillJournal(d.jobs).Write(entry); err != nil {
		return err
	}
	err = copied(ctx, d.jobs, id, func(copies *os.Root) error {
		d.say("reading " + tools.Size(d.kept.Size) + " of " + d.store.Name())
		found, err := state.Unpack(ctx, b, copies)
		if err != nil {
			return withdrawn(d.jobs, d.store, d.kept, err)
		}
		result.Entries, result.Bytes, result.Index, result.Author = found.Entries, found.Bytes, found.Index, found.Author
		if err := noteVerified(d.jobs, d.store, d.kept, found.Report); err != nil {
			return err
		}
		if found.Stripped > 0 {
			result.Warnings = append(result.Warnings, tools.Plural(int(found.Stripped), "file")+" came without setuid, setgid or capabilities, as in a restore")
		}
		gate := deploy.NewGate(*d.service.Deploy)
		result.Gate = gate.Kind
		driller := &state.Driller{Engine: drills, Site: fillable, Report: d.say, Safe: func(ctx context.Context, s deploy.Spec) error { return safeMounts(ctx, &s, way) }}
		drilled, err := driller.Drill(ctx, state.Drilling{ID: id, Spec: spec, Gate: gate, Items: b.Manifest().Items, Copies: copies})
		if err != nil {
			return err
		}
		result.Tell(drilled)
		return nil
	})
	switch {
	case err != nil: // some of it may still be there
		return errors.Join(err, d.sweepDrill(ctx, d.jobs, drills, *entry))
	case result.Left != nil:
		return nil // it stays on record
	}
	return drillJournal(d.jobs).Remove(d.host, id)
}

// image is what a copy runs: what the service has on the host now, else what the bundle
// was captured with.
func (d *drilling) image(ctx context.Context, engine deploy.Containers, about *state.About) (image *deploy.HostImage, from string, err error) {
	all, err := engine.List(ctx)
	if err != nil {
		return nil, "", err
	}
	if current, _ := deploy.Generations(all, d.name, d.service.ContainerOf(d.name)); current != nil {
		if image, err := engine.Image(ctx, current.ImageID); image != nil || err != nil {
			return image, "container", err
		}
	}
	if about.Image != "" {
		if image, err := engine.Image(ctx, about.Image); image != nil || err != nil {
			return image, "bundle", err
		}
	}
	if about.Out != "" {
		images, err := engine.Images(ctx)
		if err != nil {
			return nil, "", err
		}
		pin := deploy.Artifact{Out: about.Out}.Pin()
		for _, image := range images {
			for _, name := range image.Names {
				if strings.HasSuffix(name, pin) {
					return &image, "bundle", nil
				}
			}
		}
	}
	return nil, "", fault.Newf(fault.Precondition, "deploy it there, or load the image that the bundle was made with: docker_load", "host %s has no container of %s, and not the image of the bundle", d.host, d.name)
}

// drillJournal has the drills of which something may be there.
func drillJournal(jobs *job.Store) state.DrillJournal {
	return state.DrillJournal{Dir: filepath.Join(jobs.Dir, "drills")}
}
