package harness

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"homelab/internal/build"
	"homelab/internal/deploy"
	"homelab/internal/engine/dockerhost"
	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/internal/plan"
	"homelab/tools"
)

const runTool = "docker_run"

// keepGenerations is how many versions of a service stay on its host, stopped.
const keepGenerations = 2

func (h *Harness) dockerRun(ctx context.Context, r deploy.RunRequest, report tools.Report) (*deploy.RunReport, error) {
	jobs, planner, err := h.jobs(ctx)
	if err != nil {
		return nil, err
	}
	found, err := wantedImages(ctx, jobs, planner, deploy.LoadRequest(r))
	if err != nil {
		return nil, err
	}
	w := found[0]
	run, err := jobs.Begin(ctx, job.Spec{Tool: runTool, Services: []string{w.service}, Input: r})
	if err != nil {
		return nil, err
	}
	return job.Do(ctx, run, func(ctx context.Context) (*deploy.RunReport, bool, error) {
		l := &loader{Harness: h, builder: h.builder(jobs, planner), planner: planner, total: 1, tell: onRecord(run, report)}
		result, err := l.run(ctx, run.ID, w, jobs)
		return result, err == nil, err
	})
}

// run has the image of a service on its host, and a container of it.
func (l *loader) run(ctx context.Context, jobID string, w wanted, jobs *job.Store) (*deploy.RunReport, error) {
	built, head, err := l.find(ctx, w)
	if err != nil {
		return nil, err
	}
	a, err := l.artifact(ctx, w, built)
	if err != nil {
		return nil, err
	}
	spec, err := deploy.NewSpec(w.service, w.spec, w.at, a.Pin())
	if err != nil {
		return nil, err
	}
	labels, err := l.labels(ctx, built, head)
	if err != nil {
		return nil, err
	}
	engine, way, done, err := l.dial(ctx, w.at)
	if err != nil {
		return nil, err
	}
	result := &deploy.RunReport{JobID: jobID, Service: w.service, Host: w.host, Out: built.Out}
	err = func() error {
		awake, err := l.mendFirst(ctx, engine, jobs, subject{w.service, w.spec, w.host, w.at})
		if err != nil {
			return err
		}
		defer awake()
		if err := safeMounts(ctx, &spec, way); err != nil {
			return err
		}
		if err := l.withState(ctx, engine, w, spec); err != nil {
			return err
		}
		if result.Image, err = l.send(ctx, engine, w, a); err != nil {
			return err
		}
		runner := deploy.Runner{Engine: engine, Host: w.host, Journal: switches(jobs), Keep: keepGenerations, Report: l.say}
		result.Run, err = runner.Run(ctx, deploy.Target{
			Spec: spec, ImageID: result.Image.ID, Strategy: cmp.Or(w.spec.Deploy.Strategy, deploy.Replace), Gate: deploy.NewGate(*w.spec.Deploy),
			Labels: labels, Over: w.over,
		})
		if err != nil {
			return err
		}
		if err := l.record(w.host, spec, result.Run, labels); err != nil {
			l.say(w.service + " runs, but this machine has no record of it: " + err.Error())
		}
		return nil
	}()
	if err := errors.Join(err, done()); err != nil {
		return nil, err // which says what runs now
	}
	return result, nil
}

// withState fails when a version that nobody has previewed would start without the state of
// the one that is there.
func (l *loader) withState(ctx context.Context, engine deploy.Containers, w wanted, spec deploy.Spec) error {
	if w.previewed || w.spec.State == nil {
		return nil
	}
	all, err := engine.List(ctx)
	if err != nil {
		return err
	}
	there := deploy.Current(all, w.service, spec.Container)
	if there == nil {
		return nil
	}
	left := deploy.Kept(deploy.DisplacedItems(w.spec.State.Items, there.Spec.Mounts, spec.Mounts))
	if len(left) == 0 {
		return nil
	}
	return fault.Newf(fault.Precondition, "move it along: "+deploy.MoveWithin(w.service, w.host)+"; or preview it, and begin with what is there: homelab deploy "+w.service,
		"%s would start without its state: that is %s, and is to be %s", w.service, left[0].From.Name(), left[0].Item.Name())
}

// safeMounts holds what is mounted against the rules, through the links of the
// engine's host.
func safeMounts(ctx context.Context, spec *deploy.Spec, way *dockerhost.Engine) error {
	if socket, local := strings.CutPrefix(way.Endpoint().URL, "unix://"); local {
		spec.MountRule.Sockets = append(spec.MountRule.Sockets, socket)
	}
	resolve, err := way.Resolver(ctx, deploy.HostPaths(*spec))
	if err != nil {
		return err
	}
	return deploy.SafeMounts(*spec, resolve)
}

// labels say where a container is from.
func (l *loader) labels(ctx context.Context, built *build.Outcome, head plan.Side) (map[string]string, error) {
	labels := map[string]string{
		deploy.LabelOut: built.Out, deploy.LabelDrv: built.Drv, deploy.LabelVersion: l.cfg.Version,
		deploy.LabelRevision: head.Commit, deploy.LabelState: head.State,
	}
	if built.Edits != "" {
		labels[deploy.LabelEdits] = built.Edits
	}
	if head.Commit == "" {
		return labels, nil
	}
	commit, err := l.planner.Repo.Resolve(ctx, head.Commit)
	if err != nil {
		return nil, err
	}
	if commit.Tree != "" { // its objects are here
		labels[deploy.LabelTree] = commit.Tree
	}
	return labels, nil
}
