package cli

import (
	"fmt"
	"slices"
	"strings"

	"homelab/internal/plan"
	"homelab/tools"
)

// decisions are the decisions in the order they matter to a reader.
var decisions = []plan.Decision{plan.Rebuild, plan.Redeploy, plan.Blocked, plan.Unknown, plan.None}

var decisionStyle = map[plan.Decision]style{
	plan.Rebuild: yellow, plan.Redeploy: cyan, plan.Blocked: red, plan.Unknown: purple, plan.None: dim,
}

func (p *page) plan(a *plan.Plan) {
	p.styled(bold, tools.Headline(a.Counts))
	if len(a.Services) > 0 {
		p.blank()
		p.table([]string{"SERVICE", "DECISION", "TARGET", "HOST", "WHY"}, planRows(a))
	}
	if len(a.Services) == plan.MaxServices && a.NextCursor != "" {
		p.line("More services with --cursor " + a.NextCursor)
	}
	p.blank()
	p.line("base  " + tools.DescribeBase(a.Base))
	p.line("head  " + tools.DescribeSide(a.Head))
	if a.Base.State == plan.StateMissing {
		p.line("diff  unknown: the base is missing")
	} else {
		p.line("diff  " + tools.Plural(a.Changes.Count, "changed file"))
	}
	if !a.Complete {
		p.styled(yellow, "The answer is not complete: something could not be read or compared.")
	}

	const most = 10
	remedies, inputs, stale := []string{}, []string{}, []string{}
	for _, service := range a.Services {
		if service.Problem != nil && service.Problem.Hint != "" {
			remedies = append(remedies, service.Name+": "+service.Problem.Hint)
		}
	}
	for _, input := range a.InputChanges {
		inputs = append(inputs, input.Name)
	}
	for _, hint := range a.StaleHints {
		stale = append(stale, tools.DescribeStale(hint))
	}
	p.list("What to do", first(remedies, most, len(remedies)))
	p.list("Flake inputs that moved", first(inputs, most, len(inputs)))
	p.list("Hints that match nothing", first(stale, most, a.StaleHintCount))
	p.list("Changed files that no hint covers", first(a.Unmatched.Paths, most, a.Unmatched.Count))
	if a.Audit != nil {
		p.audit(a.Audit)
	}
	p.warnings(a.Warnings)
}

// audit shows where hints and outputs disagree. The patch comes last, so that
// it can be copied whole.
func (p *page) audit(f *plan.Findings) {
	const most = 10
	wide := tools.Described(f.OverWide, tools.DescribeOverWide)
	missing := tools.Described(f.Missing, tools.DescribeMissing)
	whole := tools.Described(f.WholeFlake, tools.DescribeWholeFlake)
	if len(wide)+len(missing)+len(whole) == 0 {
		p.blank()
		p.styled(green, "Hints and outputs agree about this change.")
	}
	p.list("Rebuilt by hints, though the output is the same", first(wide, most, len(wide)))
	p.list("Missing hints: the output changed, and no hint said so", first(missing, most, len(missing)))
	p.list("Built from the flake's whole source: every commit rebuilds them", first(whole, most, len(whole)))
	if f.Patch != nil {
		p.blank()
		p.styled(bold, "The missing hints")
		p.line(strings.TrimRight(f.Patch.Text, "\n"))
	}
}

func planRows(a *plan.Plan) [][]cell {
	services := slices.Clone(a.Services)
	slices.SortStableFunc(services, func(x, y plan.Service) int {
		return slices.Index(decisions, x.Decision) - slices.Index(decisions, y.Decision)
	})
	rows := make([][]cell, 0, len(services))
	reasons := 1
	if a.Mode != "" {
		reasons = 2 // that the output differs, and what changed
	}
	for _, s := range services {
		look := decisionStyle[s.Decision]
		name := cell{s.Name, bold}
		if s.Decision == plan.None {
			name.style = dim
		}
		target := s.Target.System
		if target == "" {
			target = s.Target.Attr
		}
		rows = append(rows, []cell{name, {string(s.Decision), look}, text(target), text(s.Host), text(tools.DescribeWhy(s, reasons))})
	}
	return rows
}

func (p *page) warnings(warnings []plan.Warning) {
	if len(warnings) > 0 {
		p.blank()
	}
	for _, w := range warnings {
		p.styled(yellow, "warning: "+tools.Printable(w.Message))
		if w.Hint != "" {
			p.line("  " + tools.Printable(w.Hint))
		}
	}
}

// first are up to most lines of a list of count, and a line that says how many
// more there are.
func first(lines []string, most, count int) []string {
	shown := slices.Clone(lines[:min(len(lines), most)])
	if more := count - len(shown); more > 0 {
		shown = append(shown, fmt.Sprintf("… and %d more", more))
	}
	return shown
}
