package tools

import (
	"fmt"

	"homelab/internal/deploy"
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
		Guidance:    "Use it after build. Volumes and paths stay; the versions before are kept, stopped.",
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

// DescribeRun is what came of running a service, in one line.
func DescribeRun(r *deploy.RunReport) string {
	if !r.Run.Changed {
		return fmt.Sprintf("%s runs on %s as it is to be: generation %d", r.Service, r.Host, r.Run.Generation)
	}
	text := fmt.Sprintf("%s runs on %s: generation %d", r.Service, r.Host, r.Run.Generation)
	if r.Run.Before > 0 {
		text += fmt.Sprintf(" in place of %d, after %.1f s without", r.Run.Before, r.Run.Downtime)
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
