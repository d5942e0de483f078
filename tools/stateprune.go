package tools

import (
	"fmt"
	"strings"

	"homelab/internal/state"
)

func statePruneTool(core Core) Tool {
	return New(Tool{
		Name:        "state_prune",
		Title:       "Remove old bundles",
		Description: "Removes bundles that state.retention of the registry, or the policy that is passed, does not keep; never the last verified one of a service. Only previews without confirm: what goes, what stays, and why.",
		Guidance:    "Use it without confirm first; state_verify with deep says which are good.",
		Command:     []string{"state", "prune"},
		Complete:    serviceNames(core),
		Positional:  "service",
		Engines:     true,
		Annotations: removes,
		Examples: []Example{
			{"what would go, of all services", "homelab state prune", `{}`},
			{"what was previewed", "homelab state prune --confirm 36fbb166cfe5", `{"confirm":"36fbb166cfe5"}`},
			{"another policy than that of the registry", "homelab state prune ha --last 3 --weekly 4", `{"service":"ha","last":3,"weekly":4}`},
		},
	}, Work[state.PruneRequest, state.PruneReport]{
		Run:         core.StatePrune,
		Text:        thinnedText,
		Verdict:     (*state.PruneReport).Code,
		Unconfirmed: (*state.PruneReport).Unconfirmed,
	})
}

// DescribeThinned is which bundles go, in one line.
func DescribeThinned(r *state.PruneReport) string {
	verb := "removed"
	if r.State == "preview" {
		verb = "to remove"
	}
	if r.Bundles == 0 {
		return "nothing " + verb
	}
	return fmt.Sprintf("%s %s: %s", Plural(r.Bundles, "bundle"), verb, Size(r.Bytes))
}

// DescribeThinnedBundle is a bundle, and what comes of it.
func DescribeThinnedBundle(b state.PruneBundle) string {
	text := fmt.Sprintf("%s of %s, %s", b.ID, b.Service, Size(b.Size))
	switch b.Status {
	case state.PruneKeep:
		text += " stays: " + strings.Join(b.Why, ", ")
	case state.PrunePending:
		text += " goes"
	default:
		text += ": " + string(b.Status)
	}
	if b.Problem != nil {
		text += ": " + b.Problem.Message
	}
	return Printable(text)
}

// DescribeThinnedStore is what there is to say of a store beside its bundles, a line
// for each thing.
func DescribeThinnedStore(s state.PruneStore) []string {
	list := []string{}
	if s.Problem != nil {
		list = append(list, "nothing of it can go: "+Printable(s.Problem.Message), "hint: "+Printable(s.Problem.Hint))
	}
	if s.More > 0 {
		list = append(list, fmt.Sprintf("%d more: prune again", s.More))
	}
	if more := s.Kept - len(s.Stays); more > 0 {
		list = append(list, fmt.Sprintf("%d more stay", more))
	}
	return list
}

func thinnedText(r *state.PruneReport) string {
	var text lines
	text.add("%s.", DescribeThinned(r))
	text.unconfirmed(r.Unconfirmed())
	for _, s := range r.Stores {
		for _, line := range DescribeThinnedStore(s) {
			text.add("%s: %s", Printable(s.Name), line)
		}
	}
	for _, s := range r.Stores {
		for _, b := range s.Goes {
			text.add("%s: %s", Printable(s.Name), DescribeThinnedBundle(b))
		}
	}
	for _, s := range r.Stores {
		for _, b := range s.Stays {
			text.add("%s: %s", Printable(s.Name), DescribeThinnedBundle(b))
		}
	}
	return text.String()
}
