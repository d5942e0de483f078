package toolstest

import (
	"encoding/json"

	"homelab/internal/build"
	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/image"
	"homelab/internal/job"
	"homelab/internal/plan"
	"homelab/tools"
)

// The jobs that there are.
const (
	JobID     = "build-20260301-090000000-k7q2"
	LoadJobID = "docker_load-20260301-091000000-p4d8"
)

// Built has a service of every status that a build can end with.
func Built() *build.Report {
	target := func(name string) plan.Target {
		return plan.Target{System: pi, Attr: "packages." + pi + "." + name, DecidedBy: "host"}
	}
	store := "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-"
	return &build.Report{
		JobID: JobID, State: "failed", PlanID: "5b2e8f",
		Head:   plan.Side{Commit: commitB, State: plan.StateDirty, Why: "the work tree"},
		Counts: build.Counts{Total: 4, Built: 1, Cached: 1, Failed: 1, Skipped: 1},
		Services: []build.Outcome{
			{
				Name: "adguard", Status: build.Failed, Target: target("adguard"), Drv: store + "adguard.drv", Out: store + "adguard",
				Log: "/state/jobs/" + JobID + "/adguard.log",
				Problem: &build.Problem{
					Code: fault.BuildFailed, Kind: "builderFailed", Message: "the builder of adguard failed with exit status 3", Hint: "read the last lines", Exit: 3,
					Tail: []string{"unpacking", "cp: cannot stat '" + Hostile + "'"},
				},
			},
			{
				Name: "grafana", Status: build.Built, Target: target("grafana"), Drv: store + "grafana.drv", Out: store + "grafana", Seconds: 12.4,
				Root: "/state/roots/grafana/grafana",
				Artifact: &build.Artifact{
					Kind: image.DockerArchive, Compression: image.Gzip, Name: "homelab/grafana", Tag: "latest",
					Digest:       "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
					Architecture: "arm64", OS: "linux", Layers: 3, Size: 41_943_040, NarHash: "sha256-LCa0a2j/xo/5m0U8HTBBNBNCLXBkg7+g+YpeiGJm564=", NarSize: 41_943_152,
				},
			},
			{
				Name: "home-assistant", Status: build.Cached, Target: target("home-assistant"), Drv: store + "ha.drv", Out: store + "ha", Root: "/state/roots/home-assistant/ha",
				Artifact: &build.Artifact{
					Kind: image.Stream, Name: "homelab/home-assistant", Tag: "2026.3", Size: 2048,
					NarHash: "sha256-LCa0a2j/xo/5m0U8HTBBNBNCLXBkg7+g+YpeiGJm564=", NarSize: 2160,
				},
			},
			{
				Name: "zigbee", Status: build.Skipped, Target: target("zigbee"),
				Problem: &build.Problem{Code: fault.Canceled, Message: "another service failed", Hint: "build it again"},
			},
		},
		Warnings: []plan.Warning{{Code: "untracked", Message: "1 untracked under a hint", Hint: "git add it"}},
	}
}

// Loads has an image of every status that a load can end with.
func Loads() *deploy.LoadReport {
	const store = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-"
	const id = "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
	names := func(name string) []string {
		return []string{name + ":latest", name + ":nix-0123456789abcdfghijklmnpqrsvwxyz"}
	}
	return &deploy.LoadReport{
		JobID: LoadJobID, State: "failed",
		Images: []deploy.LoadOutcome{
			{
				Service: "adguard", Host: "nas", Status: deploy.Failed, Out: store + "adguard",
				Problem: &build.Problem{Code: fault.EngineUnavailable, Message: "no Docker engine at " + Hostile, Hint: "start Docker"},
			},
			{
				Service: "grafana", Host: "pi", Status: deploy.Sent, Out: store + "grafana",
				Image: &deploy.Loaded{ID: id, Names: names("homelab/grafana"), Sent: 12_582_912, Layers: 3, Reused: 2, Seconds: 1.4},
			},
			{
				Service: "home-assistant", Host: "pi", Status: deploy.Present, Out: store + "ha",
				Image: &deploy.Loaded{ID: id, Names: names("homelab/home-assistant"), Skipped: true, Layers: 5, Reused: 5, Seconds: 0.1},
			},
			{Service: "zigbee", Host: "pi", Status: deploy.Skipped},
		},
	}
}

// Ran is a service that took the place of its earlier version.
func Ran() *deploy.RunReport {
	loads := Loads().Images[1]
	return &deploy.RunReport{
		JobID: "docker_run-20260301-092000000-w3c1", Service: loads.Service, Host: loads.Host, Out: loads.Out, Image: loads.Image,
		Run: &deploy.Switched{
			Changed: true, Container: "grafana", ID: "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef", Generation: 4, Before: 3, Downtime: 1.62,
			Repaired: "a switch to generation 3 was broken off before the step \"gate\", and is undone",
		},
	}
}

// Status has a service of every state.
func Status() *deploy.StatusReport {
	return deploy.Gather([]deploy.HostStatus{
		{Name: "pi", Answers: true, Services: 3},
		{Name: "attic", Services: 1, Problem: &build.Problem{Code: fault.HostUnreachable, Message: "ssh cannot reach " + Hostile, Hint: "try it by hand"}},
	}, []deploy.ServiceStatus{
		{
			Name: "grafana", Host: "pi", State: deploy.ServiceRunning, Container: "grafana", Health: "healthy", Generation: 4, Kept: 2, Revision: commitA, WorkTree: "dirty",
			Out: "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-grafana", Image: "homelab/grafana:nix-0123456789abcdfghijklmnpqrsvwxyz", Since: "2026-03-01T09:21:00Z",
			Drift: []deploy.Difference{{Field: "env.TZ", Want: "Europe/Berlin", Is: "UTC"}},
		},
		{Name: "home-assistant", Host: "pi", State: deploy.ServiceStopped, Container: "ha", Generation: 2, Revision: commitB, Exit: 137, Restarts: 3, Since: "2026-03-01T08:00:00Z", BrokenOff: "gate"},
		{Name: "prometheus", Host: "pi", State: deploy.ServiceMissing, Container: "prometheus"},
		{Name: "zigbee", Host: "attic", State: deploy.ServiceUnknown, Container: "zigbee"},
	}, deploy.Wish{Plan: Plan(), Outs: map[string]string{"grafana": "/nix/store/zyxwvsrqpnmlkjihgfdcba9876543210-grafana"}})
}

// Job is a build that is over.
func Job() *tools.JobAnswer {
	result, err := json.Marshal(Built())
	if err != nil {
		panic(err)
	}
	return &tools.JobAnswer{Job: Jobs().Jobs[1], Result: result}
}

// Jobs are one that runs and one that is over.
func Jobs() *job.Listing {
	return &job.Listing{Count: 7, Jobs: []job.Job{
		{
			ID: "build-20260301-091500000-x2m7", Tool: "build", Services: []string{"grafana", "prometheus"}, State: job.Running, Background: true,
			Created: "2026-03-01T09:15:00Z", Progress: job.Progress{Done: 1, Total: 2, Message: "grafana: building " + Hostile},
		},
		{
			ID: JobID, Tool: "build", Services: []string{"adguard", "grafana", "home-assistant", "zigbee"}, State: job.Failed,
			Created: "2026-03-01T09:00:00Z", Finished: "2026-03-01T09:00:31Z", Progress: job.Progress{Done: 4, Total: 4},
		},
	}}
}
