package tools

import (
	"context"

	"homelab/internal/doctor"
	"homelab/internal/plan"
)

// Core is what the tools are bound to. Which repository and which registry it
// speaks of was settled when the process started: an agent never passes a path.
type Core struct {
	Plan   func(context.Context, plan.Request) (*plan.Plan, error)
	List   func(context.Context, plan.ListRequest) (*plan.Listing, error)
	Get    func(context.Context, plan.GetRequest) (*plan.Resolved, error)
	Check  func(context.Context, plan.CheckRequest) (*plan.Check, error)
	Doctor func(ctx context.Context, done func(doctor.Check)) (*doctor.Report, error)
}

// Catalog is every tool there is, in the order they are shown to people.
func Catalog(core Core) []Tool {
	return []Tool{
		planTool(core),
		registryListTool(core),
		registryGetTool(core),
		registryCheckTool(core),
		doctorTool(core),
	}
}
