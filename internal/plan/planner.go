package plan

import (
	"context"
	"homelab/internal/fault"
)

// Planner answers questions about one repository and its registry.
type Planner struct{}

func (p *Planner) Plan(ctx context.Context, r Request) (*Plan, error) {
	return nil, fault.New(fault.Internal, "pending", "")
}
func (p *Planner) List(ctx context.Context, r ListRequest) (*Listing, error) {
	return nil, fault.New(fault.Internal, "pending", "")
}
func (p *Planner) Get(ctx context.Context, r GetRequest) (*Resolved, error) {
	return nil, fault.New(fault.Internal, "pending", "")
}
func (p *Planner) Check(ctx context.Context, r CheckRequest) (*Check, error) {
	return nil, fault.New(fault.Internal, "pending", "")
}
