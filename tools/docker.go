package tools

import (
	"context"
	"fmt"
	"path"
	"strings"

	"homelab/internal/deploy"
	"homelab/internal/plan"
)

// loads is what a tool that adds to a host and takes nothing away is annotated
// with.
var loads = Annotations{ReadOnly: false, Destructive: false, Idempotent: true, OpenWorld: true}

func dockerLoadTool(core Core) Tool {
	return New(Tool{
		Name:  "docker_load",
		Title: "Load built images onto a host",
		Description: "Has the image that was built for a service, or those of a build job, on the host that will run it. Sends only the layers that the host lacks, " +
			"and gives the image a name that no later build takes away.",
		Guidance:    "Use it after build. It starts and stops no container.",
		Command:     []string{"docker", "load"},
		Positional:  "service",
		Complete:    serviceNames(core),
		Engines:     true,
		Annotations: loads,
		Examples: []Example{
			{"one service, by its alias", "homelab docker load ha", `{"service":"ha"}`},
			{"all that a job built", "homelab docker load --job-id build-20260301-090000000-k7q2", `{"jobId":"build-20260301-090000000-k7q2"}`},
			{"onto another host", "homelab docker load grafana --host nas", `{"service":"grafana","host":"nas"}`},
		},
	}, Work[deploy.LoadRequest, deploy.LoadReport]{
		Run:     core.DockerLoad,
		Text:    loadText,
		Verdict: (*deploy.LoadReport).Code,
	})
}

// replaces is what a tool that puts one version in the place of another is annotated
// with.
var replaces = Annotations{ReadOnly: false, Destructive: true, Idempotent: true, OpenWorld: true}

func dockerRunTool(core Core) Tool {
	return New(Tool{
		Name:  "docker_run",
		Title: "Run a service as it was built",
		Description: "Puts what was built for a service in the place of what runs: loads the image, makes the container as the registry says, stops the old one, starts the new one and waits until it passes its health gate. " +
			"When it does not, the old one runs again. Does nothing when it runs so already.",
		Guidance:    "Use it after build. Volumes and paths stay; the versions before are kept, stopped. Refused when its state would be left behind.",
		Command:     []string{"docker", "run"},
		Positional:  "service",
		Complete:    serviceNames(core),
		Engines:     true,
		Annotations: replaces,
		Examples: []Example{
			{"one service, by its alias", "homelab docker run ha", `{"service":"ha"}`},
			{"what a job built", "homelab docker run grafana --job-id build-20260301-090000000-k7q2", `{"service":"grafana","jobId":"build-20260301-090000000-k7q2"}`},
		},
	}, Work[deploy.RunRequest, deploy.RunReport]{Run: core.DockerRun, Text: runText})
}

func statusTool(core Core) Tool {
	return New(Tool{
		Name:        "status",
		Title:       "What runs on the hosts",
		Description: "Does each service run, since when, from which commit and image, is it as the registry says, and is there something to deploy? Asks all hosts side by side; one that does not answer within ten seconds holds up nobody.",
		Guidance:    "Use it after docker_run, and to see what is there.",
		Command:     []string{"status"},
		Positional:  "services",
		Complete:    serviceNames(core),
		Engines:     true,
		Annotations: looks,
		Examples: []Example{
			{"everything", "homelab status", `{}`},
			{"one service", "homelab status ha", `{"services":["ha"]}`},
			{"is its image still what the work tree builds to", "homelab status ha --exact", `{"services":["ha"],"exact":true}`},
		},
	}, Work[deploy.StatusRequest, deploy.StatusReport]{
		Run: func(ctx context.Context, in deploy.StatusRequest, _ Report) (*deploy.StatusReport, error) {
			return core.Status(ctx, in)
		},
		Text: statusText,
	})
}

// DescribeStatus is what runs, in one line.
func DescribeStatus(r *deploy.StatusReport) string {
	c := r.Counts
	parts := []string{}
	for _, part := range []struct {
		n    int
		word string
	}{{c.Running, "running"}, {c.Stopped, "stopped"}, {c.Missing, "missing"}, {c.Unknown, "unknown"}, {c.Drifted, "not as the registry says"}, {c.Behind, "to deploy"}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.word))
		}
	}
	if c.Total == 0 {
		return "no service is deployed"
	}
	return Plural(c.Total, "service") + ": " + strings.Join(parts, ", ")
}

// DescribeService is what there is to say of a service besides its state.
func DescribeService(s deploy.ServiceStatus) string {
	parts := []string{}
	if s.Generation > 0 {
		parts = append(parts, fmt.Sprintf("generation %d", s.Generation))
	}
	if s.Revision != "" {
		from := "from " + s.Revision[:min(len(s.Revision), 12)]
		if s.WorkTree != "" {
			from += " with edits"
		}
		parts = append(parts, from)
	}
	parts = append(parts, compact(s.Health)...)
	if s.Restarts > 0 {
		parts = append(parts, Plural(s.Restarts, "restart"))
	}
	if s.State == deploy.ServiceStopped {
		parts = append(parts, fmt.Sprintf("exit status %d", s.Exit))
	}
	if s.Todo != "" && s.Todo != plan.None {
		parts = append(parts, "to deploy: "+string(s.Todo))
	}
	if s.Out != "" && s.WantOut != "" && s.Out != s.WantOut {
		parts = append(parts, fmt.Sprintf("runs %s, not %s", artifact(s.Out), artifact(s.WantOut)))
	}
	for _, d := range s.Drift {
		parts = append(parts, fmt.Sprintf("%s is %q, not %q", d.Field, d.Is, d.Want))
	}
	if s.Moved != "" {
		parts = append(parts, fmt.Sprintf("it was moved to %s: set services.%s.deploy.host = %q", s.Moved, s.Name, s.Moved))
	}
	if s.BrokenOff != "" {
		parts = append(parts, "a switch was broken off before "+s.BrokenOff)
	}
	return Printable(strings.Join(parts, ", "))
}

// artifact is a store path as people tell it from others.
func artifact(out string) string {
	hash, name, _ := strings.Cut(path.Base(out), "-")
	return hash[:min(len(hash), 7)] + "-" + name
}

func statusText(r *deploy.StatusReport) string {
	var text lines
	text.add("%s.", DescribeStatus(r))
	for _, h := range r.Hosts {
		if h.Problem != nil {
			text.add("host %s does not answer: %s", Printable(h.Name), Printable(h.Problem.Message))
			text.add("  hint: %s", Printable(h.Problem.Hint))
		}
	}
	if r.Problem != nil {
		text.add("what there is to deploy cannot be told: %s", Printable(r.Problem.Message))
	}
	for _, s := range r.Services {
		text.add("%s %s on %s%s", s.State, Printable(s.Name), Printable(s.Host), after(": ", DescribeService(s)))
	}
	return text.String()
}

// DescribeRun is what came of running a service, in one line.
func DescribeRun(r *deploy.RunReport) string {
	what := "runs on"
	if !r.Run.Changed {
		what = "runs as it is to be on"
	}
	return fmt.Sprintf("%s %s %s: %s", r.Service, what, r.Host, DescribeSwitch(r.Run))
}

// DescribeSwitch is what came of a switch of versions, in a few words.
func DescribeSwitch(s *deploy.Switched) string {
	text := fmt.Sprintf("generation %d", s.Generation)
	if s.Changed && s.Before > 0 {
		text += fmt.Sprintf(" in place of %d, after %.1f s without", s.Before, s.Downtime)
	}
	return text
}

func runText(r *deploy.RunReport) string {
	var text lines
	text.add("%s.", Printable(DescribeRun(r)))
	if r.Run.Repaired != "" {
		text.add("Repaired: %s.", Printable(r.Run.Repaired))
	}
	text.add("container %s, image %s: %s", Printable(r.Run.Container), Some(r.Image.Names, 2), DescribeLoaded(r.Image))
	return text.String()
}

// DescribeLoaded is what it took to have an image on a host, in one line.
func DescribeLoaded(l *deploy.Loaded) string {
	switch {
	case l == nil:
		return ""
	case l.Skipped:
		return "nothing to send"
	}
	text := fmt.Sprintf("%s sent in %.1f s", Size(l.Sent), l.Seconds)
	if l.Reused > 0 {
		text += fmt.Sprintf(", %d of %s were there", l.Reused, Plural(l.Layers, "layer"))
	}
	if l.Whole {
		text += ", whole after all: the host lacked a layer"
	}
	return text
}

func loadText(r *deploy.LoadReport) string {
	var text lines
	for _, i := range r.Images {
		text.add("%s %s on %s%s", i.Status, Printable(i.Service), Printable(i.Host), after(": ", DescribeLoaded(i.Image)))
		if i.Problem != nil {
			text.add("  %s: %s", i.Problem.Code, Printable(i.Problem.Message))
			if i.Problem.Hint != "" {
				text.add("  hint: %s", Printable(i.Problem.Hint))
			}
		}
		if i.Image != nil {
			text.add("  %s %s", i.Image.ID, Some(i.Image.Names, 2))
		}
	}
	return text.String()
}

// after puts a mark before a text, where there is one.
func after(mark, text string) string {
	if text == "" {
		return ""
	}
	return mark + Printable(text)
}
