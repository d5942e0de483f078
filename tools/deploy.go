package tools

import (
	"fmt"
	"slices"
	"strings"

	"homelab/internal/plan"
	"homelab/internal/rollout"
)

func deployTool(core Core) Tool {
	return New(Tool{
		Name:  "deploy",
		Title: "Deploy what a change touches",
		Description: "Says what would happen to the services that a plan touches, or to the named ones: image, settings, downtime, data. With confirm it does that: " +
			"builds, loads and runs each after those it depends on. A service whose new version is not healthy gets the one before back.",
		Guidance:    "Use it without confirm first, show the preview, then call it again with confirm. What takes long: background, then job_get.",
		Command:     []string{"deploy"},
		Positional:  "services",
		Complete:    serviceNames(core),
		Engines:     true,
		Annotations: replaces,
		Examples: []Example{
			{"what would happen; on a terminal it asks whether to go on", "homelab deploy", `{}`},
			{"one service, by its alias; with --yes it does not ask", "homelab deploy ha", `{"services":["ha"]}`},
			{"what was previewed", "homelab deploy --confirm 36fbb166cfe5", `{"confirm":"36fbb166cfe5"}`},
		},
	}, Work[rollout.Request, rollout.Report]{
		Run:         core.Deploy,
		Text:        rolloutText,
		Verdict:     (*rollout.Report).Code,
		Unconfirmed: (*rollout.Report).Unconfirmed,
	})
}

// DescribeRollout is a rollout in one line.
func DescribeRollout(r *rollout.Report) string {
	if r.State == rollout.Running {
		return fmt.Sprintf("%s being deployed by job %s", Plural(r.Counts.Todo(), "service"), r.JobID)
	}
	c := r.Counts
	if r.State == rollout.Previewed {
		return counted(c.Total, "nothing to do", []part{
			{c.Create, "to create"}, {c.Replace, "to replace"}, {c.Configure, "to configure anew"}, {c.Start, "to start"}, {c.Repair, "to repair"}, {c.Rollback, "to go back"}, {c.Blocked, "blocked"}, {c.None, "as it is to be"},
		})
	}
	return counted(c.Total, "nothing to do", []part{
		{c.Deployed, "deployed"}, {c.Unchanged, "unchanged"}, {c.Failed, "failed"}, {c.Skipped, "skipped"},
	})
}

// part is how many of a number are what.
type part struct {
	n    int
	word string
}

// counted says of what a number of services is made up.
func counted(total int, none string, of []part) string {
	parts := []string{}
	for _, p := range of {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.word))
		}
	}
	if len(parts) == 0 {
		return none
	}
	return Plural(total, "service") + ": " + strings.Join(parts, ", ")
}

// DescribeVersion is a version of a service in a few words.
func DescribeVersion(v *rollout.Version) string {
	if v == nil {
		return "nothing"
	}
	parts := []string{}
	if v.Generation > 0 {
		parts = append(parts, fmt.Sprintf("generation %d", v.Generation))
	}
	if v.Revision != "" {
		from := v.Revision[:min(len(v.Revision), 12)]
		if v.WorkTree == plan.StateDirty {
			from += " with edits"
		}
		parts = append(parts, from)
	}
	return Printable(strings.Join(append(parts, compact(short(v.Out))...), ", "))
}

// short is a store path without what all have: the first of its hash, and its name.
func short(out string) string {
	base := out[strings.LastIndexByte(out, '/')+1:]
	hash, name, ok := strings.Cut(base, "-")
	if !ok {
		return base
	}
	return hash[:min(len(hash), 8)] + "…-" + name
}

// DescribeChange is what changes for a service, a line for each thing.
func DescribeChange(s rollout.Service) []string {
	list := []string{}
	switch {
	case s.Action == rollout.Nothing, s.To == nil:
	case s.From == nil:
		list = append(list, "image: "+DescribeVersion(s.To))
	case s.Action == rollout.Replace, s.Action == rollout.Rollback:
		list = append(list, "image: "+DescribeVersion(s.From)+" -> "+DescribeVersion(s.To))
	}
	for _, d := range s.Config {
		list = append(list, Printable(fmt.Sprintf("%s: %s -> %s", d.Field, d.Is, d.Want)))
	}
	if s.Downtime == rollout.Restart {
		list = append(list, "downtime: a restart")
	}
	for _, i := range s.Impact {
		if i.Effect != rollout.Kept || i.Class != "" {
			list = append(list, Printable(fmt.Sprintf("data: %s is %s%s", i.Item, i.Effect, after(", ", i.Class))))
		}
	}
	if len(s.Privileges) > 0 {
		list = append(list, "privileges: "+Some(s.Privileges, 10))
	}
	if len(s.After) > 0 {
		list = append(list, "after: "+Some(s.After, 10))
	}
	if s.BrokenOff != "" {
		list = append(list, "an earlier switch was broken off before "+Printable(s.BrokenOff)+": it is repaired first")
	}
	return list
}

// DescribeOutcome is what came of a service, in a few words.
func DescribeOutcome(s rollout.Service) string {
	switch {
	case s.Problem != nil:
		return Printable(s.Problem.Message)
	case s.Run != nil:
		return DescribeSwitch(s.Run) + after("; ", s.Run.Repaired)
	}
	return ""
}

// tellingFirst are services with what went wrong before all else, and last what there
// is nothing to tell of: a text may be cut.
func tellingFirst(services []rollout.Service) []rollout.Service {
	rank := func(s rollout.Service) int {
		switch {
		case s.Problem != nil && s.Status != rollout.Skipped:
			return 0
		case s.Problem != nil:
			return 1
		case s.Action == rollout.Nothing:
			return 3
		}
		return 2
	}
	return slices.SortedStableFunc(slices.Values(services), func(a, b rollout.Service) int { return rank(a) - rank(b) })
}

func rolloutText(r *rollout.Report) string {
	var text lines
	text.add("%s.", DescribeRollout(r))
	if id := r.Unconfirmed(); id != "" {
		text.add("Nothing was changed. To do this, call it again with the same arguments and confirm %q.", id)
	}
	if r.State == rollout.Running {
		text.add(`job_get {"id":%q,"wait":50} follows it; job_cancel stops it.`, r.JobID)
	}
	text.warnings(r.Warnings)
	for _, s := range tellingFirst(r.Services) {
		word := string(s.Action)
		if s.Status != rollout.Pending {
			word = string(s.Status)
		}
		text.add("%s %s on %s%s", word, Printable(s.Name), Printable(s.Host), after(": ", DescribeOutcome(s)))
		if s.Problem != nil && s.Problem.Hint != "" {
			text.add("  hint: %s", Printable(s.Problem.Hint))
		}
		if s.Status == rollout.Pending {
			for _, line := range DescribeChange(s) {
				text.add("  %s", line)
			}
		}
	}
	if r.More > 0 {
		text.add("… and %d more: name them to see them", r.More)
	}
	return text.String()
}
