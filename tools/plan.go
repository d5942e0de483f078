package tools

import (
	"context"
	"strings"

	"homelab/internal/plan"
)

func planTool(core Core) Tool {
	return New(Tool{
		Name:  "plan",
		Title: "What a change touches",
		Description: "Which services does a change touch, and why? Compares base (default: what is deployed) with head (default: the work tree) and decides for each service: " +
			"rebuild, redeploy (only its configuration changed), none, unknown (build it to be sure) or blocked (its problem says what to do). " +
			"By the registry's hints, or with mode exact by what Nix evaluates.",
		Guidance: "Use it before building, or to explain a commit or a pull request. " +
			"When staleHints or unmatched are not empty, call registry_check next. " +
			"Mode exact is the truth and takes seconds the first time; mode audit also says which hints are wrong, with a patch.",
		Command:     []string{"plan"},
		Positional:  "services",
		Complete:    serviceNames(core),
		Annotations: looks,
		Examples: []Example{
			{"what the edits of the work tree touch", "homelab plan", `{}`},
			{"what a pull request into main touches", "homelab plan --base main --merge-base", `{"base":"main","mergeBase":true}`},
			{"what the last commit touched", "homelab plan --base HEAD~1 --head HEAD", `{"base":"HEAD~1","head":"HEAD"}`},
			{"two services for a Raspberry Pi, touched or not", "homelab plan home-assistant grafana --system aarch64-linux", `{"services":["home-assistant","grafana"],"system":"aarch64-linux"}`},
			{"whose output differs, as Nix evaluates it, whatever the hints say", "homelab plan --mode exact", `{"mode":"exact"}`},
			{"which hints are wrong about this branch", "homelab plan --base main --merge-base --mode audit", `{"base":"main","mergeBase":true,"mode":"audit"}`},
		},
	}, Work[plan.Request, plan.Plan]{
		Run: func(ctx context.Context, in plan.Request, _ Report) (*plan.Plan, error) {
			return core.Plan(ctx, in)
		},
		Text: planText,
	})
}

// planText says first what to know before trusting the answer, since what is
// cut from a long one is its end: the services that need nothing.
func planText(p *plan.Plan) string {
	var text lines
	text.add("%s.", Headline(p.Counts))
	text.add("base: %s", DescribeBase(p.Base))
	text.add("head: %s", DescribeSide(p.Head))
	if !p.Complete {
		text.add("The answer is not complete: something could not be read or compared.")
	}
	text.warnings(p.Warnings)
	if p.Audit != nil {
		text.audit(p.Audit)
	}
	if n := p.StaleHintCount; n > 0 {
		text.add("%s nothing, such as %s", hintsMatch(n), Printable(p.StaleHints[0].Hint))
	}
	if n := p.Unmatched.Count; n > 0 {
		text.add("%s under no hint, such as %s", Plural(n, "changed file"), Printable(p.Unmatched.Paths[0]))
	}

	const detailed, named = 12, 20
	var more, untouched []string
	shown := 0
	for _, service := range p.Services {
		switch {
		case service.Decision == plan.None:
			untouched = append(untouched, service.Name)
		case shown == detailed:
			more = append(more, service.Name)
		default:
			shown++
			text.add("%s %s", service.Decision, serviceText(service))
		}
	}
	if len(more) > 0 {
		text.add("touched as well: %s", Some(more, named))
	}
	if len(untouched) > 0 {
		text.add("none: %s", Some(untouched, named))
	}
	return text.String()
}

// audit says where hints and outputs disagree.
func (l *lines) audit(f *plan.Findings) {
	const most = 5
	for _, finding := range []struct {
		what string
		list []string
	}{
		{"rebuilt by hints, though the output is the same", Described(f.OverWide, DescribeOverWide)},
		{"missing hints, the output changed", Described(f.Missing, DescribeMissing)},
		{"built from the flake's whole source", Described(f.WholeFlake, DescribeWholeFlake)},
	} {
		for i, line := range finding.list {
			if i == most {
				l.add("… and %d more", len(finding.list)-most)
				break
			}
			l.add("%s: %s", finding.what, line)
		}
	}
	if f.Patch != nil {
		l.add("audit.patch adds the missing hints (%s)", f.Patch.Format)
	}
}

func serviceText(s plan.Service) string {
	text := Printable(s.Name)
	where := []string{}
	for _, part := range []string{s.Target.System, s.Host} {
		if part != "" {
			where = append(where, part)
		}
	}
	if len(where) > 0 {
		text += " (" + strings.Join(where, " on ") + ")"
	}
	if why := DescribeWhy(s, 3); why != "" {
		text += ": " + why
	}
	if s.Problem != nil && s.Problem.Hint != "" {
		text += "; " + Printable(s.Problem.Hint)
	}
	return text
}

func hintsMatch(n int) string {
	if n == 1 {
		return "1 hint matches"
	}
	return Plural(n, "hint") + " match"
}

func (l *lines) warnings(warnings []plan.Warning) {
	const most = 5
	for i, w := range warnings {
		if i == most {
			l.add("… and %d more of them", len(warnings)-most)
			return
		}
		line := "warning: " + Printable(w.Message)
		if w.Hint != "" {
			line += "; " + Printable(w.Hint)
		}
		l.add("%s", line)
	}
}
