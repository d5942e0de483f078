package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"

	"homelab/internal/build"
	"homelab/internal/command"
	"homelab/internal/deploy"
	"homelab/internal/engine/dockerhost"
	"homelab/internal/fault"
	"homelab/internal/image"
	"homelab/internal/job"
	"homelab/internal/plan"
	"homelab/registry"
	"homelab/tools"
)

// Engines makes an engine of a way to it. Only the program that links Docker's
// client has one.
type Engines func(*dockerhost.Engine) (deploy.Containers, error)

const loadTool = "docker_load"

// wanted is an image that is to be on a host.
type wanted struct {
	service string
	host    string
	at      registry.Host
	spec    registry.Service
	built   *build.Outcome // by the job that was named; nil: what it builds to now
	head    plan.Side      // that the job built from
	over    *string        // ID of the container that is to be there; nil: whichever is
	// previewed says that somebody has seen what becomes of its state.
	previewed bool
}

func (h *Harness) dockerLoad(ctx context.Context, r deploy.LoadRequest, report tools.Report) (*deploy.LoadReport, error) {
	jobs, planner, err := h.jobs(ctx)
	if err != nil {
		return nil, err
	}
	images, err := wantedImages(ctx, jobs, planner, r)
	if err != nil {
		return nil, err
	}
	spec := job.Spec{Tool: loadTool, Input: r}
	for _, w := range images {
		spec.Services = append(spec.Services, w.service)
	}
	run, err := jobs.Begin(ctx, spec)
	if err != nil {
		return nil, err
	}
	result, err := job.Do(ctx, run, func(ctx context.Context) (*deploy.LoadReport, bool, error) {
		l := &loader{Harness: h, builder: h.builder(jobs, planner), planner: planner, tell: onRecord(run, report)}
		result, err := l.all(ctx, run.ID, images)
		return result, err == nil && result.Code() == "", err
	})
	if result != nil && result.State == "canceled" {
		return result, nil // it says so
	}
	return result, err
}

// wantedImages are the images that a request is about.
func wantedImages(ctx context.Context, jobs *job.Store, planner *plan.Planner, r deploy.LoadRequest) ([]wanted, error) {
	loaded, err := planner.Load(ctx)
	if err != nil {
		return nil, err
	}
	reg := loaded.Registry
	var names []string
	var head plan.Side
	built := map[string]*build.Outcome{}
	if r.JobID != "" {
		if names, built, head, err = builtBy(ctx, jobs, r.JobID); err != nil {
			return nil, err
		}
	}
	if r.Service != "" {
		name, err := reg.Lookup(r.Service)
		if err != nil {
			return nil, err
		}
		if r.JobID != "" && !slices.Contains(names, name) {
			return nil, fault.Newf(fault.NotFound, "it built "+tools.Some(names, 5), "job %s did not build %s", r.JobID, name)
		}
		names = []string{name}
	}
	images := make([]wanted, 0, len(names))
	for _, name := range names {
		spec, known := reg.Services[name]
		if !known {
			return nil, fault.Newf(fault.UnknownService, "name one of its services that the registry has", "job %s built %s, which the registry does not have any more", r.JobID, name)
		}
		w := wanted{service: name, spec: spec, built: built[name], head: head, host: cmp.Or(r.Host, spec.HostOf())}
		if w.at, err = hostOf(reg, w.host); err != nil {
			return nil, err
		}
		images = append(images, w)
	}
	return images, nil
}

// builtBy are the services that a job has built, with what came of each.
func builtBy(ctx context.Context, jobs *job.Store, id string) ([]string, map[string]*build.Outcome, plan.Side, error) {
	none := plan.Side{}
	j, err := jobs.Get(ctx, id)
	if err != nil {
		return nil, nil, none, err
	}
	report := &build.Report{}
	there, err := jobs.Result(id, report)
	switch {
	case err != nil:
		return nil, nil, none, err
	case !there:
		return nil, nil, none, fault.Newf(fault.Precondition, "wait for it: homelab job get "+id+" --wait 600", "job %s is %s, and has no result", id, j.State)
	case j.Tool != "build":
		return nil, nil, none, fault.Newf(fault.InvalidArgument, "name the job of a build", "job %s is one of %s", id, j.Tool)
	}
	var names []string
	built := map[string]*build.Outcome{}
	for i := range report.Services {
		switch s := &report.Services[i]; s.Status {
		case build.Built, build.Fetched, build.Cached:
			names, built[s.Name] = append(names, s.Name), s
		}
	}
	if len(names) == 0 {
		return nil, nil, none, fault.Newf(fault.NotFound, "see homelab job get "+id, "job %s has built nothing", id)
	}
	return names, built, report.Head, nil
}

// loader loads images, one after another.
type loader struct {
	*Harness
	builder *build.Builder
	planner *plan.Planner
	tell    tools.Report
	done    int
	total   int
}

func (l *loader) all(ctx context.Context, jobID string, images []wanted) (*deploy.LoadReport, error) {
	report := &deploy.LoadReport{JobID: jobID, State: "succeeded", Images: make([]deploy.LoadOutcome, len(images))}
	l.total = len(images)
	for i, w := range images {
		report.Images[i] = deploy.LoadOutcome{Service: w.service, Host: w.host, Status: deploy.Skipped}
		if ctx.Err() == nil {
			l.one(ctx, w, &report.Images[i])
			l.done++
		}
		if report.Images[i].Status == deploy.Failed {
			report.State = "failed"
		}
	}
	if err := ctx.Err(); err != nil {
		report.State = "canceled"
		return report, &fault.Error{Code: fault.Canceled, Message: "the load was canceled", Hint: "load again: what is on the host is not sent again", Err: err}
	}
	return report, nil
}

func (l *loader) one(ctx context.Context, w wanted, o *deploy.LoadOutcome) {
	loaded, err := l.load(ctx, w, o)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		o.Status, o.Problem = deploy.Failed, build.ProblemOf(err)
	case loaded.Skipped:
		o.Status, o.Image = deploy.Present, loaded
	default:
		o.Status, o.Image = deploy.Sent, loaded
	}
	l.say(w.service + ": " + string(o.Status))
}

func (l *loader) say(message string) {
	l.tell(tools.Progress{Done: l.done, Total: l.total, Message: message})
}

func (l *loader) load(ctx context.Context, w wanted, o *deploy.LoadOutcome) (*deploy.Loaded, error) {
	built, _, err := l.find(ctx, w)
	if err != nil {
		return nil, err
	}
	o.Out = built.Out
	a, err := l.artifact(ctx, w, built)
	if err != nil {
		return nil, err
	}
	engine, _, done, err := l.dial(ctx, w.at)
	if err != nil {
		return nil, err
	}
	loaded, err := l.send(ctx, engine, w, a)
	return loaded, errors.Join(err, done())
}

func (l *loader) send(ctx context.Context, engine deploy.Engine, w wanted, a *deploy.Artifact) (*deploy.Loaded, error) {
	return deploy.Load(ctx, engine, w.host, *a, func(sent, total int64) {
		l.say(fmt.Sprintf("%s to %s: %d of %d MB", w.service, w.host, sent/1e6, total/1e6))
	})
}

// find is what was built for a service, and what it was built from.
func (l *loader) find(ctx context.Context, w wanted) (*build.Outcome, plan.Side, error) {
	if w.built != nil {
		return w.built, w.head, nil
	}
	l.say("looking for what " + w.service + " builds to")
	return l.current(ctx, w)
}

// current is what a service builds to now, if it is built.
func (l *loader) current(ctx context.Context, w wanted) (*build.Outcome, plan.Side, error) {
	none := plan.Side{}
	r := plan.Request{Services: []string{w.service}}
	if w.host != w.spec.HostOf() { // another host may run another system
		system, err := l.systemOf(ctx, w)
		if err != nil {
			return nil, none, err
		}
		r.System = system
	}
	order, err := l.planner.Order(ctx, r, "")
	if err != nil {
		return nil, none, err
	}
	// First without building: that is for the tool build.
	for _, dry := range []bool{true, false} {
		report, err := l.builder.Build(ctx, order, build.Request{Services: r.Services, System: r.System, DryRun: dry}, build.Watch{})
		if err != nil {
			return nil, none, err
		}
		s := &report.Services[0]
		switch {
		case s.Status == build.Failed:
			return nil, none, &fault.Error{Code: s.Problem.Code, Message: s.Problem.Message, Hint: s.Problem.Hint}
		case dry && s.Status == build.Pending:
			return nil, none, fault.Newf(fault.Precondition, "build it first: homelab build "+w.service, "%s is not built as it is now", w.service)
		case !dry:
			return s, report.Head, nil
		}
	}
	return nil, none, fault.New(fault.Internal, "a build has no outcome", "")
}

func (l *loader) systemOf(ctx context.Context, w wanted) (string, error) {
	if w.at.System != "" {
		return w.at.System, nil
	}
	return l.systems.of(ctx, w.host, w.at)
}

// artifact is what was built, ready to be loaded.
func (l *loader) artifact(ctx context.Context, w wanted, built *build.Outcome) (*deploy.Artifact, error) {
	i, err := l.builder.Image(ctx, built.Out, func(ctx context.Context, script string) (io.ReadCloser, error) {
		return l.runScript(ctx, script, built.Target.System)
	})
	if fault.CodeOf(err) == fault.NotFound {
		return nil, fault.Newf(fault.Precondition, "build it again: homelab build "+w.service, "the artifact of %s is not in the store any more: %w", w.service, err)
	}
	if err != nil {
		return nil, err
	}
	a := &deploy.Artifact{Service: w.service, Out: built.Out, Image: i, Open: image.OpenFile(l.builder.Nix.File(built.Out))}
	if i.Kind == image.Stream {
		script := l.builder.Nix.File(built.Out)
		a.Open = func(ctx context.Context) (io.ReadCloser, error) { return l.runScript(ctx, script, built.Target.System) }
	}
	name, tag := i.Name, i.Tag
	if name == "" && built.Artifact != nil {
		name, tag = built.Artifact.Name, built.Artifact.Tag
	}
	name = cmp.Or(w.spec.Build.Image, name, deploy.OwnRepository(w.service))
	a.Name = name + ":" + cmp.Or(tag, "latest")
	return a, nil
}

// runScript runs the script of a stream, where this machine can: it was made for
// the system of the image, and macOS runs nothing that was made for Linux.
func (l *loader) runScript(ctx context.Context, script, system string) (io.ReadCloser, error) {
	if here := registry.SystemOf(runtime.GOOS, runtime.GOARCH); system != here {
		systems, err := l.nix.Systems(ctx)
		if err != nil || runtime.GOOS != "linux" || !slices.Contains(systems.Extra, system) {
			return nil, fault.Newf(fault.Precondition, "load it from a machine that runs "+system+", or build an archive instead: dockerTools.buildLayeredImage",
				"the artifact is a script for %s that writes the image, and this machine is %s", system, here)
		}
	}
	pipe, err := command.Start(ctx, command.Cmd{Name: script})
	if err != nil {
		return nil, err
	}
	return &scriptOutput{Pipe: pipe}, nil
}

// scriptOutput is what a script writes. That it ended badly is the error at its
// end: half an image is none.
type scriptOutput struct{ *command.Pipe }

func (s *scriptOutput) Read(p []byte) (int, error) {
	n, err := s.Pipe.Read(p)
	if errors.Is(err, io.EOF) {
		if result := s.Wait(); result.Exit != 0 {
			return n, fault.Newf(fault.BuildFailed, "run it by hand", "the script that writes the image ended with status %d: %s", result.Exit, result.FirstLine())
		}
	}
	return n, err
}
