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
		Description: "Has the image that was built for a service, or those of a build job, on the host that will run it. Sends only the layers that the host lacks, nothing when it has the image, " +
			"and gives the image a name of its own, so that no later build takes it away.",
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
