package tools

import (
	"fmt"
	"slices"
	"strings"

	"homelab/internal/deploy"
)

// removes is what a tool that takes something away is annotated with.
var removes = Annotations{ReadOnly: false, Destructive: true, Idempotent: true, OpenWorld: true}

func dockerPruneTool(core Core) Tool {
	return New(Tool{
		Name:        "docker_prune",
		Title:       "Remove old versions from hosts",
		Description: "Removes homelab's own containers and images that are not needed: generations beyond those that are kept, images that none has. Says first what would go; with confirm it does that. Never forces.",
		Guidance:    "Use it without confirm first, when a disk fills up.",
		Command:     []string{"docker", "prune"},
		Complete:    serviceNames(core),
		Positional:  "service",
		Engines:     true,
		Annotations: removes,
		Examples: []Example{
			{"what would go, on all hosts", "homelab docker prune", `{}`},
			{"what was previewed", "homelab docker prune --confirm 36fbb166cfe5", `{"confirm":"36fbb166cfe5"}`},
			{"of one service", "homelab docker prune ha --host nas", `{"service":"ha","host":"nas"}`},
		},
	}, Work[deploy.PruneRequest, deploy.PruneReport]{
		Run:         core.DockerPrune,
		Text:        pruneText,
		Verdict:     (*deploy.PruneReport).Code,
		Unconfirmed: (*deploy.PruneReport).Unconfirmed,
	})
}

// DescribePrune is what goes, in one line.
func DescribePrune(r *deploy.PruneReport) string {
	verb := "removed"
	if r.State == "preview" {
		verb = "to remove"
	}
	if r.Containers+r.Images == 0 {
		return "nothing " + verb
	}
	return fmt.Sprintf("%s and %s %s: at most %s", Plural(r.Containers, "container"), Plural(r.Images, "image"), verb, Size(r.Bytes))
}

// DescribeItem is a container or an image, and what came of it.
func DescribeItem(i deploy.PruneItem) string {
	text := string(i.Kind) + " " + strings.Join(i.Names, " ")
	if i.Bytes > 0 {
		text += ", " + Size(i.Bytes)
	}
	if i.Status != deploy.PrunePending {
		text += ": " + string(i.Status)
	}
	switch {
	case i.Problem != nil:
		text += ": " + i.Problem.Message
	case i.Why != "":
		text += ": " + i.Why
	}
	return Printable(text)
}

// DescribePruneHost is what there is to say of a host beside its items, a line for each
// thing.
func DescribePruneHost(h deploy.PruneHost) []string {
	list := []string{}
	if h.Problem != nil {
		list = append(list, "does not answer: "+Printable(h.Problem.Message), "hint: "+Printable(h.Problem.Hint))
	}
	if h.SameAs != "" {
		list = append(list, "has the engine of "+Printable(h.SameAs))
	}
	if h.More > 0 {
		list = append(list, fmt.Sprintf("%d more: prune again", h.More))
	}
	if len(h.Busy) > 0 {
		list = append(list, "left alone, repair first: "+Some(h.Busy, 10))
	}
	return list
}

func pruneText(r *deploy.PruneReport) string {
	var text lines
	text.add("%s.", DescribePrune(r))
	text.unconfirmed(r.Unconfirmed())
	for _, h := range r.Hosts {
		for _, line := range DescribePruneHost(h) {
			text.add("%s: %s", Printable(h.Name), line)
		}
	}
	for _, h := range r.Hosts {
		for _, i := range slices.Concat(h.Items, h.Orphans) {
			text.add("%s: %s", Printable(h.Name), DescribeItem(i))
		}
	}
	return text.String()
}
