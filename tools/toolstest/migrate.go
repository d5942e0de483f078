package toolstest

import (
	"context"

	"homelab/internal/deploy"
	"homelab/internal/state"
	"homelab/internal/swap"
	"homelab/registry"
	"homelab/tools"
)

func migrateState(_ context.Context, r state.MigrateRequest, _ tools.Report) (*state.MigrateReport, error) {
	answer := Migrated()
	answer.Service, answer.To = r.Service, r.ToHost
	switch {
	case r.Confirm == "":
		answer.State, answer.JobID, answer.Done, answer.Image = "preview", "", nil, nil
	case deploy.Confirms(r.Confirm, PreviewID) != nil:
		return nil, deploy.Confirms(r.Confirm, PreviewID)
	case r.Background:
		answer.State, answer.Done, answer.Image = "running", nil, nil
	}
	answer.Todo = []string{}
	answer.TellMoved("pi", &registry.State{Restore: "Log in once as admin."})
	return answer, nil
}

// Migrated is a migration that is over.
func Migrated() *state.MigrateReport {
	const out = "/nix/store/6p1v0zs2sfpb1q9w8cyhxk5kqjb0bnq6-image-home-assistant.tar.gz"
	answer := &state.MigrateReport{
		State: "succeeded", JobID: "state_migrate-20260302-101500000-k3r8", Service: "home-assistant", From: "pi", To: "nas", Todo: []string{},
		Preview: &state.MigratePreview{
			PreviewID: PreviewID, Container: "ha", Revision: commitB, Runs: out, Out: out, Budget: 60, Left: []string{"ha-cache"},
			Items: []state.MigrateItem{
				{Name: "ha", Path: "/var/lib/docker/volumes/ha/_data", Comes: swap.Amount{Entries: 1312, Bytes: 191 << 20}, Free: 12 << 30},
				{Name: "/srv/" + Hostile, Path: "/srv/" + Hostile, Comes: swap.Amount{Entries: 100_000, Bytes: 3 << 30, More: true}, There: swap.Amount{Entries: 12, Bytes: 2 << 20}, Free: 12 << 30},
			},
		},
		Image: &deploy.Loaded{ID: "sha256:" + PreviewID, Names: []string{"homelab/home-assistant:latest", "homelab/home-assistant:nix-6p1v0zs2sfpb1q9w8cyhxk5kqjb0bnq6"}, Sent: 58 << 20, Layers: 4, Reused: 1, Seconds: 3.2},
		Done: &state.Migrated{
			ID: "20260302T101500Z-5d6e7f80", Container: "ha", Generation: 8, Kept: "ha.g7-moved-to-nas", Passes: 3, Entries: 101_312, Bytes: 3 << 30, LastBytes: 2 << 20,
			Outage: 4.2, Parts: state.Outage{Freeze: 1.1, Copy: 0.61, Wake: 2.49, Predicted: 4.6},
		},
		Warnings: []string{"/srv/" + Hostile + " may be written to while it is captured, by what is not put to rest: container nightly"},
	}
	return answer
}
