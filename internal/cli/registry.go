package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"homelab/internal/plan"
	"homelab/registry"
	"homelab/tools"
)

func (p *page) listing(l *plan.Listing) {
	p.styled(bold, tools.Plural(l.Count, "service")+" in "+tools.Printable(l.Source))
	if len(l.Services) > 0 {
		p.blank()
		rows := make([][]cell, 0, len(l.Services))
		for _, s := range l.Services {
			rows = append(rows, []cell{
				{s.Name, bold}, text(strings.Join(s.Aliases, " ")), text(s.Host), text(s.State),
				text(s.Image), text(strings.Join(s.Systems, " ")),
			})
		}
		p.table([]string{"SERVICE", "ALIASES", "HOST", "STATE", "IMAGE", "SYSTEMS"}, rows)
		if more := l.Count - len(l.Services); more > 0 {
			p.line(fmt.Sprintf("… and %d more; see --limit", more))
		}
	}
	if len(l.Hosts) > 0 {
		p.blank()
		rows := make([][]cell, 0, len(l.Hosts))
		for _, h := range l.Hosts {
			rows = append(rows, []cell{{h.Name, bold}, text(fmt.Sprint(h.Services)), text(h.System), text(h.Docker)})
		}
		p.table([]string{"HOST", "SERVICES", "SYSTEM", "DOCKER"}, rows)
		if more := l.HostCount - len(l.Hosts); more > 0 {
			p.line(fmt.Sprintf("… and %d more; see --limit", more))
		}
	}
	p.list("Paths that touch many services", first(l.Globals, len(l.Globals), l.GlobalCount))
}

func (p *page) resolved(r *plan.Resolved) {
	s := r.Service
	p.styled(bold, r.Name)
	if s.Description != "" {
		p.line(tools.Printable(s.Description))
	}
	p.blank()
	for _, system := range slices.Sorted(maps.Keys(s.Build.Targets)) {
		mark := ""
		if system == r.Target.System {
			mark = fmt.Sprintf("  ← decided by %s", r.Target.DecidedBy)
		}
		p.field("target", fmt.Sprintf("%-15s%s%s", system, s.Build.Targets[system], mark))
	}
	p.field("image", s.Build.Image)
	p.field("host", r.Host)
	p.field("aliases", strings.Join(s.Aliases, " "))
	p.field("depends on", strings.Join(s.DependsOn, " "))
	p.field("needed by", strings.Join(r.Dependents, " "))
	p.field("inputs", strings.Join(s.Inputs, " "))
	if s.Deploy != nil {
		p.deploy(r.Name, s)
	}
	if s.State != nil {
		p.state(*s.State)
	}
	p.list("Hints", s.Hints)
	p.list("Except", s.Exclude)
	p.warnings(r.Warnings)
}

func (p *page) deploy(name string, s registry.Service) {
	p.field("container", s.ContainerOf(name))
	p.field("ports", strings.Join(s.Deploy.Ports, " "))
	for _, v := range s.Deploy.Volumes {
		p.field("volume", v.Name+" at "+v.Target)
	}
	for _, m := range s.Deploy.Mounts {
		p.field("mount", m.Source+" at "+m.Target)
	}
	p.field("networks", strings.Join(s.Deploy.Networks, " "))
	p.field("strategy", s.Deploy.Strategy)
	if s.Deploy.Health != nil {
		p.field("health", s.Deploy.Health.Kind)
	}
}

func (p *page) state(s registry.State) {
	for _, item := range s.Items {
		class := item.Class
		if class == "" {
			class = "durable"
		}
		p.field("state", strings.TrimSpace(item.Volume+item.Path)+", "+class)
	}
	p.field("stores", strings.Join(s.Stores, " "))
}

// field puts down a named value, unless it is empty.
func (p *page) field(name, value string) {
	if value != "" {
		p.line(fmt.Sprintf("%-12s%s", name, tools.Printable(value)))
	}
}

func (p *page) check(c *plan.Check) {
	if c.Valid {
		p.styled(green, "valid: "+tools.Printable(c.Source))
	} else {
		p.styled(red, fmt.Sprintf("not valid, %s: %s", tools.Plural(len(c.Problems), "problem"), tools.Printable(c.Source)))
	}
	for _, problem := range c.Problems {
		p.blank()
		p.styled(bold, tools.Printable(problem.Path))
		message := problem.Message
		if problem.Value != "" {
			message += " (" + problem.Value + ")"
		}
		p.line("  " + tools.Printable(message))
		if problem.Fix != "" {
			p.line("  " + tools.Printable(problem.Fix))
		}
	}

	stale, folders, shared, untracked := []string{}, []string{}, []string{}, []string{}
	for _, hint := range c.StaleHints {
		stale = append(stale, tools.DescribeStale(hint))
	}
	for _, folder := range c.Uncovered.Folders {
		folders = append(folders, fmt.Sprintf("%s: %s", folder.Path, tools.Plural(folder.Files, "file")))
	}
	for _, hint := range c.Shared.Hints {
		shared = append(shared, fmt.Sprintf("%s: %s", hint.Hint, tools.Some(hint.Services, 5)))
	}
	for _, file := range c.Untracked.Files {
		untracked = append(untracked, file.Path)
	}
	p.list("Targets that the flake does not have", tools.Described(c.MissingAttributes, tools.DescribeMissingAttribute))
	p.list("Targets built from the flake's whole source: every commit rebuilds them", tools.Described(c.WholeFlake, tools.DescribeWholeFlake))
	p.list("Hints that match nothing", stale)
	p.list(fmt.Sprintf("Folders with tracked files that no hint covers (%s)", tools.Plural(c.Uncovered.Count, "file")), folders)
	p.list("Hints that several services share", first(shared, len(shared), c.Shared.Count))
	p.list("Untracked files under a hint: Nix cannot see them until git add", first(untracked, len(untracked), c.Untracked.Count))
	p.warnings(c.Warnings)
}
