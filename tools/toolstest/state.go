package toolstest

import (
	"context"
	"time"

	"homelab/internal/build"
	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/state"
	"homelab/internal/swap"
	"homelab/registry"
	"homelab/tools"
)

// BundleID is the bundle that there is.
const BundleID = "20260301T101500Z-1f2e3d4c"

func bundleState(_ context.Context, r state.BundleRequest, _ tools.Report) (*state.BundleReport, error) {
	answer := Bundled()
	if r.All {
		return bundleAll(r), nil
	}
	answer.Service = r.Service
	if r.Store != "" {
		answer.Store = r.Store
	}
	if r.Host != "" {
		answer.Host = r.Host
	}
	if r.Background {
		return &state.BundleReport{State: "running", JobID: answer.JobID, Service: answer.Service, Host: answer.Host, Store: answer.Store, Warnings: []string{}}, nil
	}
	return answer, nil
}

func bundleAll(r state.BundleRequest) *state.BundleReport {
	if r.Background {
		return &state.BundleReport{State: "running", JobID: Bundled().JobID, Warnings: []string{}}
	}
	answer := AllBundled()
	if !r.Due {
		answer = state.SumBundles(answer.All.Services[:1])
	}
	if r.Store != "" {
		answer.All.Services[0].Store = r.Store
	}
	return answer
}

// AllBundled has a service of everything that can come of one.
func AllBundled() *state.BundleReport {
	of := Bundled()
	made := state.ServiceBundle{Service: of.Service, JobID: of.JobID, Store: of.Store, Newest: "2026-02-28T10:15:00Z"}
	made.Tell(of)
	return state.SumBundles([]state.ServiceBundle{
		made,
		{Service: "home-assistant", Status: state.BundleNotDue, Store: of.Store, Newest: "2026-03-01T03:00:12Z"},
		{Service: "mosquitto", Status: state.BundleNoStore},
		{Service: "prometheus", Status: state.BundlePending, Store: of.Store},
		{Service: "zigbee", Status: state.BundleFailed, Store: "sftp://nas.lan/bundles", Problem: Bundles().Stores[1].Problem},
	})
}

// Bundled is a bundle of a service that could not be put to rest.
func Bundled() *state.BundleReport {
	about := about()
	return &state.BundleReport{
		State: "succeeded", JobID: "state_bundle-20260301-101500000-d5m9", Service: "grafana", Host: "pi", Store: "/srv/bundles", Bundle: BundleID,
		Index: "9d41e6a3b7c05f2e8a1b4c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9012", Size: 48 << 20, Entries: 1312, Bytes: 191 << 20, Outage: 0.42, Passes: 3,
		Parts:   &state.Outage{Freeze: 0.02, Copy: 0.3, Wake: 0.1, Predicted: 0.6},
		Skipped: 1, Sealed: true, About: &about, Warnings: []string{"not captured, as it is neither file, folder nor link: grafana-data/" + Hostile + " (socket)"},
		Problem: &build.Problem{Code: fault.Precondition, Message: "sqlite3 in container grafana ended with status 1: " + Hostile, Hint: "try it by hand"},
	}
}

func about() state.About {
	return state.About{
		Service: "grafana", Host: "pi", Container: "grafana", Generation: 4, Revision: commitA, Out: "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-grafana",
		Image: "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef", Spec: "36fbb166cfe5", Consistency: "none", Unsettled: 2, Skipped: 1, Noted: []string{"grafana-data/" + Hostile + " (socket)"}, Left: []string{"grafana-cache"},
		Reauth: []registry.Reauth{{Name: "OAuth client", Policy: "reissue", Instructions: "make one " + Hostile}},
		Backup: "Dashboards are in the repository as well.", Restore: "Log in once as admin.",
	}
}

func listBundles(_ context.Context, r state.ListRequest) (*state.Listing, error) {
	answer := Bundles()
	if r.Service != "" {
		answer.Bundles = answer.Bundles[:1]
		answer.Bundles[0].Service = r.Service
	}
	if r.Store != "" {
		answer.Stores = []state.StoreState{{Name: r.Store, Problem: answer.Stores[1].Problem}}
	}
	if r.Limit > 0 {
		answer.Bundles = answer.Bundles[:min(r.Limit, len(answer.Bundles))]
	}
	return answer, nil
}

// Bundles has one that is verified, one that is not, and a store that does not answer.
func Bundles() *state.Listing {
	return &state.Listing{
		Count: 7,
		Bundles: []state.Listed{
			{ID: BundleID, Service: "grafana", Store: "/srv/bundles", Created: "2026-03-01T10:15:00Z", Size: 48 << 20, Verified: "2026-03-01T10:16:00Z", Author: "SHA256:47DEQpj8HBSa"},
			{ID: "20260228T101500Z-5b6c7d8e", Service: "home-assistant", Store: "/srv/bundles", Created: "2026-02-28T10:15:00Z", Size: 3 << 30},
		},
		Stores: []state.StoreState{
			{Name: "/srv/bundles", Answers: true, Bundles: 7},
			{Name: "sftp://nas.lan/bundles", Problem: &build.Problem{Code: fault.HostUnreachable, Message: "ssh cannot reach " + Hostile, Hint: "try it by hand"}},
		},
	}
}

func verifyBundle(_ context.Context, r state.VerifyRequest, _ tools.Report) (*state.VerifyReport, error) {
	answer := &state.VerifyReport{
		Bundle: r.Bundle, Service: "grafana", Store: "/srv/bundles", Created: "2026-03-01T10:15:00Z", Size: 48 << 20, Deep: r.Deep,
		Entries: 1312, Bytes: 191 << 20, Items: []string{"grafana", "/srv/" + Hostile}, About: about(),
	}
	if r.Store != "" {
		answer.Store = r.Store
	}
	if r.Deep {
		answer.Index, answer.Author = Bundled().Index, "SHA256:47DEQpj8HBSa"
	}
	return answer, nil
}

func drillBundle(_ context.Context, r state.DrillRequest, _ tools.Report) (*state.DrillReport, error) {
	about := about()
	answer := &state.DrillReport{
		State: "passed", JobID: "state_drill-20260301-101500000-w8r2", Bundle: r.Bundle, Service: "grafana", Host: "pi", Store: "/srv/bundles",
		Image: about.Image, ImageFrom: "container", Items: []string{"grafana", "/srv/" + Hostile}, Entries: 1312, Bytes: 191 << 20, Index: Bundled().Index,
		Author: "SHA256:47DEQpj8HBSa", Gate: "http", Seconds: 3.2, Log: []string{}, About: &about, Warnings: []string{"grafana-cache was empty in the copy: the bundle does not have it"},
	}
	if r.Store != "" {
		answer.Store = r.Store
	}
	if r.Host != "" {
		answer.Host = r.Host
	}
	switch {
	case r.Background:
		return &state.DrillReport{State: "running", JobID: answer.JobID, Bundle: r.Bundle, Service: answer.Service, Host: answer.Host, Store: answer.Store, Items: []string{}, Log: []string{}, Warnings: []string{}}, nil
	case r.Bundle == SickBundleID:
		answer.State, answer.Log = "failed", []string{"2026-03-01T10:15:02.000Z " + Hostile, "2026-03-01T10:15:03.000Z database is locked"}
		answer.Problem = &build.Problem{Code: fault.Unhealthy, Message: "not healthy after 1m0s: GET / says 500", Hint: "its last words: " + Hostile}
		answer.Left = &build.Problem{Code: fault.Conflict, Message: "of a drill there is still volume homelab-state_drill-0", Hint: "run homelab deploy repair"}
	}
	return answer, nil
}

// SickBundleID is a bundle that its service does not start with.
const SickBundleID = "20260228T101500Z-5b6c7d8e"

func pruneBundles(_ context.Context, r state.PruneRequest, _ tools.Report) (*state.PruneReport, error) {
	answer := PrunableBundles()
	folder := &answer.Stores[0]
	if r.Service != "" {
		folder.Goes[0].Service = r.Service
	}
	if r.Store != "" {
		folder.Name = r.Store
	}
	folder.Kept += r.Last + r.Daily + r.Weekly + r.Monthly
	switch {
	case r.Confirm == "":
		return answer, nil
	case deploy.Confirms(r.Confirm, PreviewID) != nil:
		return nil, deploy.Confirms(r.Confirm, PreviewID)
	}
	folder.Goes[0].Status = state.Pruned
	folder.Goes[1].Status, folder.Goes[1].Problem = state.PruneFailed, &build.Problem{
		Code: fault.Denied, Message: folder.Name + " holds " + Hostile + " locked until 2026-04-01", Hint: "wait until it is free, or release it at the server",
	}
	answer.Settle()
	answer.JobID = "state_prune-20260301-100000000-h2v6"
	return answer, nil
}

// PrunableBundles has bundles that go and that stay, and a store that does not answer.
func PrunableBundles() *state.PruneReport {
	one := func(id, service string, size int64, why ...string) state.PruneBundle {
		b := state.PruneBundle{ID: id, Service: service, Size: size, Status: state.PruneKeep, Why: why}
		if len(why) == 0 {
			b.Status, b.Why = state.PrunePending, []string{}
		}
		return b
	}
	answer, err := state.SumPrune([]state.PruneStore{
		{
			Name: "/srv/bundles", Answers: true,
			Goes: []state.PruneBundle{one("20260103T101500Z-0a1b2c3d", "grafana", 47<<20), one("20260104T101500Z-4e5f6071", "home-assistant", 3<<30)},
			Stays: []state.PruneBundle{
				one(BundleID, "grafana", 48<<20, "last", "daily", "last verified"), one("20260228T101500Z-5b6c7d8e", "home-assistant", 3<<30, "newest, and none is verified"),
			},
		},
		{Name: "sftp://nas.lan/bundles", Goes: []state.PruneBundle{}, Stays: []state.PruneBundle{}, Problem: Bundles().Stores[1].Problem},
	})
	if err != nil {
		panic(err)
	}
	answer.PreviewID = PreviewID
	answer.Stores[0].More = 3
	return answer
}

func restoreState(_ context.Context, r state.RestoreRequest, _ tools.Report) (*state.RestoreReport, error) {
	answer := Restored(r.Action())
	if r.Service != "" {
		answer.Service = r.Service
	}
	if r.Host != "" {
		answer.Host = r.Host
	}
	if r.Store != "" {
		answer.Store = r.Store
	}
	if r.Bundle != "" {
		answer.Preview.Bundle = r.Bundle
	}
	if len(r.Items) > 0 {
		answer.Preview.Items, answer.Preview.Untouched = answer.Preview.Items[:1], append(answer.Preview.Untouched, "/srv/"+Hostile)
	}
	if r.Undo+r.Commit != "" {
		answer.Preview.Items[0].Kept[0].ID = r.Undo + r.Commit + ".0"
	}
	switch {
	case r.Confirm == "":
		answer.State, answer.JobID, answer.Done = "preview", "", nil
		answer.Tell(true)
	case deploy.Confirms(r.Confirm, PreviewID) != nil:
		return nil, deploy.Confirms(r.Confirm, PreviewID)
	case r.Background:
		answer.State, answer.Preview, answer.Done, answer.Todo = "running", nil, nil, []string{}
	}
	return answer, nil
}

// Restored is a restore that is over, or its undoing, or its commit.
func Restored(action string) *state.RestoreReport {
	const id = "20260302T090000Z-5d6e7f80"
	about := about()
	kept := func(part string) []swap.Kept {
		return []swap.Kept{{ID: id + part, Step: swap.Swapped, Begun: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC), Amount: swap.Amount{Entries: 1290, Bytes: 187 << 20}}}
	}
	answer := &state.RestoreReport{
		State: "succeeded", Action: action, JobID: "state_restore-20260302-101500000-k3r8", Service: "grafana", Host: "pi", Todo: []string{}, Warnings: []string{},
		Preview: &state.RestorePreview{
			PreviewID: PreviewID, Service: "grafana", Stops: true, Untouched: []string{},
			Items: []state.RestoreItem{
				{Name: "grafana", Path: "/var/lib/docker/volumes/grafana/_data", There: swap.Amount{Entries: 1312, Bytes: 191 << 20}, Comes: swap.Amount{Entries: 1290, Bytes: 187 << 20}, Free: 12 << 30, Kept: kept(".0")},
				{Name: "/srv/" + Hostile, Path: "/srv/" + Hostile, There: swap.Amount{Entries: 100_000, Bytes: 3 << 30, More: true}, Free: 12 << 30, Kept: []swap.Kept{}},
			},
		},
		Done: &state.Restored{ID: id, Items: []state.RestoredItem{{Name: "grafana", Path: "/var/lib/docker/volumes/grafana/_data"}}, Placed: 1290, Stripped: 2, Outage: 1.42},
	}
	switch action {
	case state.ActionCommit:
		answer.Done, answer.Preview.Stops = nil, false
	case state.ActionRestore:
		answer.Store, answer.About = "/srv/bundles", &about
		answer.Preview.Bundle, answer.Preview.Created, answer.Preview.Untouched = BundleID, time.Date(2026, 3, 1, 10, 15, 0, 0, time.UTC), []string{"grafana-cache"}
		answer.Warnings = []string{"grafana does not mount volume " + Hostile + ": deploy what the registry says first"}
	}
	answer.Tell(true)
	return answer
}
