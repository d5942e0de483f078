package tools

import (
	"context"
	"strings"

	"homelab/internal/plan"
)

func registryGetTool(core Core) Tool {
	return New(Tool{
		Name:        "registry_get",
		Title:       "Show one service",
		Description: "What is one service made of? Its entry of the registry with the build target chosen for its host, and the services that depend on it.",
		Guidance:    "Use it before changing or deploying a service; plan says whether a change touches it.",
		Command:     []string{"registry", "get"},
		Positional:  "name",
		Complete:    serviceNames(core),
		Annotations: looks,
		Examples: []Example{
			{"by name or alias", "homelab registry get home-assistant", `{"name":"home-assistant"}`},
			{"as built for another system", "homelab registry get ha --system x86_64-linux", `{"name":"ha","system":"x86_64-linux"}`},
		},
	}, Work[plan.GetRequest, plan.Resolved]{
		Run: func(ctx context.Context, in plan.GetRequest, _ Report) (*plan.Resolved, error) {
			return core.Get(ctx, in)
		},
		Text: resolvedText,
	})
}

func resolvedText(r *plan.Resolved) string {
	const most = 20
	var text lines
	text.add("%s on %s: %s", Printable(r.Name), r.Host, describeTarget(r.Target))
	if r.Service.Description != "" {
		text.add("%s", Printable(r.Service.Description))
	}
	text.add("hints: %s", Some(r.Service.Hints, most))
	if len(r.Service.Exclude) > 0 {
		text.add("exclude: %s", Some(r.Service.Exclude, most))
	}
	if len(r.Service.DependsOn) > 0 {
		text.add("depends on: %s", Some(r.Service.DependsOn, most))
	}
	if len(r.Dependents) > 0 {
		text.add("needed by: %s", Some(r.Dependents, most))
	}
	if d := r.Service.Deploy; d != nil {
		text.add("container: %s", strings.Join(compact(r.Service.ContainerOf(r.Name), strings.Join(d.Ports, " "), strings.Join(d.Networks, " ")), ", "))
	}
	if s := r.Service.State; s != nil {
		text.add("state: %s", Plural(len(s.Items), "item"))
	}
	text.warnings(r.Warnings)
	return text.String()
}

func describeTarget(t plan.Target) string {
	if t.Attr == "" {
		return "no target for " + Printable(t.System)
	}
	text := "builds " + Printable(t.Attr)
	if t.System != "" {
		text += " for " + t.System
	}
	if t.DecidedBy != "" {
		text += " (decided by " + Printable(t.DecidedBy) + ")"
	}
	return text
}

// compact drops the empty ones.
func compact(parts ...string) []string {
	kept := parts[:0]
	for _, part := range parts {
		if part != "" {
			kept = append(kept, Printable(part))
		}
	}
	return kept
}
