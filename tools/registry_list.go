package tools

import (
	"context"
	"slices"
	"strings"

	"homelab/internal/plan"
)

func registryListTool(core Core) Tool {
	return New(Tool{
		Name:        "registry_list",
		Title:       "List the services",
		Description: "Which services and hosts are there? Names, aliases, host, image, systems, dependencies and the most precious class of state.",
		Guidance:    "Use it first, to learn the names that the other tools take; registry_get shows one service whole.",
		Command:     []string{"registry", "list"},
		Annotations: looks,
		Examples: []Example{
			{"every service and host", "homelab registry list", `{}`},
			{"the first ten", "homelab registry list --limit 10", `{"limit":10}`},
		},
	}, Work[plan.ListRequest, plan.Listing]{
		Run: func(ctx context.Context, in plan.ListRequest, _ Report) (*plan.Listing, error) {
			return core.List(ctx, in)
		},
		Text: listingText,
	})
}

func listingText(l *plan.Listing) string {
	const most = 60
	var text lines
	text.add("%s in %s", Plural(l.Count, "service"), Printable(l.Source))
	for _, s := range l.Services[:min(len(l.Services), most)] {
		line := Printable(s.Name)
		if len(s.Aliases) > 0 {
			line += " (" + strings.Join(s.Aliases, ", ") + ")"
		}
		line += " on " + s.Host
		if s.State != "" && s.State != "none" {
			line += ", " + s.State + " state"
		}
		if len(s.DependsOn) > 0 {
			line += ", depends on " + strings.Join(s.DependsOn, ", ")
		}
		text.add("%s", line)
	}
	if more := l.Count - min(len(l.Services), most); more > 0 {
		text.add("… and %d more", more)
	}
	for _, host := range l.Hosts[:min(len(l.Hosts), most)] {
		text.add("host %s: %s", Printable(host.Name), Plural(host.Services, "service"))
	}
	if more := l.HostCount - min(len(l.Hosts), most); more > 0 {
		text.add("… and %s more", Plural(more, "host"))
	}
	return text.String()
}

// serviceNames offers the names and aliases of all services.
func serviceNames(core Core) func(context.Context) ([]string, error) {
	return func(ctx context.Context) ([]string, error) {
		listing, err := core.List(ctx, plan.ListRequest{Limit: plan.MaxLimit})
		if err != nil {
			return nil, err
		}
		names := []string{}
		for _, service := range listing.Services {
			names = append(names, service.Name)
			names = append(names, service.Aliases...)
		}
		slices.Sort(names)
		return names, nil
	}
}
