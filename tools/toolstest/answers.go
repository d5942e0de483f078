package toolstest

import (
	"homelab/internal/doctor"
	"homelab/internal/plan"
	"homelab/registry"
)

const (
	commitA = "1f0c2a7be4d95360c8a1b2d3e4f5061728394a5b"
	commitB = "9d41e6a3b7c0582f6e1d2c3b4a59687716253443"
	pi      = "aarch64-linux"
)

// Hostile is a file name that tries to speak to the terminal.
const Hostile = "services/\x1b[2Jevil\nname\u202e"

// Plan has a service of every decision and something of everything else.
func Plan() *plan.Plan {
	target := func(name string) plan.Target {
		return plan.Target{System: pi, Attr: "packages." + pi + "." + name, DecidedBy: "host"}
	}
	return &plan.Plan{
		PlanID: "5b2e8f", Engine: "go-git", Complete: true,
		Base:   plan.Side{Ref: "origin/main", Commit: commitA, State: plan.StateCommit, Relation: "ancestor", Why: "merge base with the upstream branch"},
		Head:   plan.Side{Commit: commitB, State: plan.StateDirty, Why: "the work tree"},
		Counts: plan.Counts{Total: 6, Rebuild: 2, Redeploy: 1, None: 1, Unknown: 1, Blocked: 1},
		Services: []plan.Service{
			{
				Name: "adguard", Decision: plan.Blocked, Host: "pi", Target: plan.Target{System: pi, DecidedBy: "host"},
				Reasons: []plan.Reason{{Kind: plan.ByHint, Path: "services/adguard/filter.txt", Status: plan.Added, Hint: "services/adguard"}}, ReasonCount: 1,
				Problem: &plan.Warning{Code: "noTarget", Message: "no target for aarch64-linux", Hint: "add build.targets.aarch64-linux, or pass system: x86_64-linux"},
			},
			{
				Name: "grafana", Decision: plan.Rebuild, Host: "pi", Target: target("grafana"),
				Reasons: []plan.Reason{{Kind: plan.ByDependency, Via: []string{"prometheus"}}}, ReasonCount: 1,
			},
			{Name: "home-assistant", Decision: plan.None, Host: "pi", Target: target("home-assistant"), Reasons: []plan.Reason{}},
			{
				Name: "prometheus", Decision: plan.Rebuild, Host: "pi", Target: target("prometheus"),
				Reasons: []plan.Reason{
					{Kind: plan.ByHint, Path: "services/prometheus/rules.yml", Status: plan.Modified, Hint: "services/prometheus"},
					{Kind: plan.ByHint, Path: Hostile, Status: plan.Untracked, Hint: "services/prometheus"},
				}, ReasonCount: 14,
			},
			{
				Name: "proxy", Decision: plan.Redeploy, Host: "pi", Target: target("proxy"),
				Base:    &plan.Side{Ref: commitB, Commit: commitB, State: plan.StateCommit, Relation: "ancestor", Why: "recorded as deployed"},
				Reasons: []plan.Reason{{Kind: plan.ByDrift}}, ReasonCount: 1,
			},
			{
				Name: "zigbee", Decision: plan.Unknown, Host: "attic", Target: target("zigbee"),
				Reasons: []plan.Reason{{Kind: plan.ByBaseMissing}}, ReasonCount: 1,
				Problem: &plan.Warning{Code: "baseMissing", Message: "its base is not here", Hint: "git fetch --unshallow"},
			},
		},
		GlobalChanges: []plan.GlobalChange{},
		InputChanges:  []plan.InputChange{{Name: "nixpkgs", Status: plan.Modified}},
		Changes: plan.FileList{Count: 3, Files: []plan.File{
			{Path: "README.md", Status: plan.Modified},
			{Path: "services/adguard/filter.txt", Status: plan.Added},
			{Path: "services/prometheus/rules.yml", Status: plan.Modified},
		}},
		StaleHints: []plan.StaleHint{{Service: "zigbee", Hint: "services/zigbe/**"}},
		Unmatched:  plan.PathList{Count: 1, Paths: []plan.Path{"README.md"}},
		Warnings:   []plan.Warning{{Code: "untracked", Message: "1 untracked file: Nix cannot see it", Hint: "git add it"}},
	}
}

// Audit is a plan with a finding of every kind.
func Audit() *plan.Plan {
	p := Plan()
	p.Mode = plan.Audit
	p.Services[1].Out = &plan.Outputs{Old: "/nix/store/aaa-grafana.tar", New: "/nix/store/bbb-grafana.tar"}
	p.Services[1].Reasons = []plan.Reason{{Kind: plan.ByOutput}}
	p.Services[2].Out = &plan.Outputs{Old: "/nix/store/ccc-ha.tar", New: "/nix/store/ccc-ha.tar"}
	p.Audit = &plan.Findings{
		OverWide: []plan.OverWide{
			{Service: "home-assistant", Hints: []string{"modules"}, Paths: []plan.Path{"modules/oci.nix", Hostile}, Count: 2},
			{Service: "proxy", Hints: []string{}, Paths: []plan.Path{}, Via: []string{"prometheus"}},
		},
		Missing: []plan.Missing{
			{Service: "grafana", Causes: []plan.Path{"dashboards/house.json"}, Candidates: []plan.Path{}, Hints: []string{"dashboards/house.json"}},
			{Service: "prometheus", Causes: []plan.Path{}, Candidates: []plan.Path{"lib/a.nix", "lib/b.nix"}, Count: 30, Hints: []string{}},
		},
		WholeFlake: []plan.WholeFlake{{Service: "zigbee", System: pi, Attr: "packages." + pi + ".zigbee", Source: "/nix/store/ddd-source"}},
		Patch:      &plan.Patch{Format: "nix", Text: "# add to these lists of flake .#homelab\nservices.grafana.hints = [ \"dashboards/house.json\" ];\n"},
	}
	return p
}

// Listing has a service with everything and one with nothing.
func Listing() *plan.Listing {
	return &plan.Listing{
		Source: "homelab.json", Count: 2, HostCount: 1,
		Services: []plan.ListedEntry{
			{Name: "grafana", Aliases: []string{}, Host: "pi", Systems: []string{pi}, DependsOn: []string{}, State: "none"},
			{
				Name: "home-assistant", Aliases: []string{"ha"}, Description: "Lights & heating", Host: "pi", Image: "homelab/ha",
				Systems: []string{pi, "x86_64-linux"}, DependsOn: []string{"grafana"}, State: "durable",
			},
		},
		Hosts:   []plan.ListedHost{{Name: "pi", Docker: "ssh://root@pi", System: pi, Services: 2}},
		Globals: []string{"flake.lock", "lib/**"}, GlobalCount: 2,
	}
}

// Resolved is a service with everything.
func Resolved() *plan.Resolved {
	return &plan.Resolved{
		Name: "home-assistant", Source: "homelab.json", Host: "pi",
		Target: plan.Target{System: pi, Attr: "packages." + pi + ".ha", DecidedBy: "daemon"},
		Service: registry.Service{
			Description: "Lights & heating", Aliases: []string{"ha"}, DependsOn: []string{"mqtt"},
			Build:   registry.Build{Targets: map[string]string{pi: "packages." + pi + ".ha", "x86_64-linux": "packages.x86_64-linux.ha"}, Image: "homelab/ha"},
			Hints:   []string{"services/ha", "modules/*.nix"},
			Exclude: []string{"services/ha/README.md"},
			Deploy: &registry.Deploy{
				Host: "pi", Ports: []string{"8123:8123"}, Volumes: []registry.Volume{{Name: "ha-config", Target: "/config"}},
				Mounts: []registry.Mount{{Source: "/dev/ttyUSB0", Target: "/dev/ttyUSB0"}}, Networks: []string{"home"},
				Health: &registry.Health{Kind: "http", Port: 8123},
			},
			State: &registry.State{Items: []registry.StateItem{{Volume: "ha-config"}}, Stores: []string{"/backup"}},
		},
		Dependents: []string{"dashboard"},
		Warnings:   []plan.Warning{},
	}
}

// Check is a valid registry with something of every finding.
func Check() *plan.Check {
	return &plan.Check{
		Source: "homelab.json", Valid: true, Problems: []registry.Problem{},
		StaleHints:        []plan.StaleHint{{Service: "zigbee", Hint: "services/zigbe/**"}, {Hint: "secrets/*", Ignored: true}},
		Uncovered:         plan.FolderList{Count: 12, Folders: []plan.Folder{{Path: "docs", Files: 11}, {Path: ".", Files: 1}}},
		Shared:            plan.SharedList{Count: 1, Hints: []plan.SharedHint{{Hint: "modules/*.nix", Count: 3, Services: []string{"a", "b", "c"}}}},
		Untracked:         plan.FileList{Count: 1, Files: []plan.File{{Path: "services/ha/new.yaml", Status: plan.Untracked}}},
		Evaluated:         true,
		MissingAttributes: []plan.MissingAttribute{{Service: "ha", System: pi, Attr: "packages." + pi + ".haa", Hint: "add it to the outputs in flake.nix, or did you mean ha?"}},
		WholeFlake:        []plan.WholeFlake{{Service: "zigbee", System: pi, Attr: "packages." + pi + ".zigbee", Source: "/nix/store/ddd-source"}},
		Warnings:          []plan.Warning{},
	}
}

// BrokenCheck is an invalid registry.
func BrokenCheck() *plan.Check {
	return &plan.Check{
		Source: "homelab.json",
		Problems: []registry.Problem{
			{Path: "$.services.ha.hint", Message: "unknown field", Fix: "did you mean hints?"},
			{Path: "$.hosts.pi.system", Value: `"arm"`, Message: "not a Nix system", Fix: "write aarch64-linux"},
		},
		StaleHints:        []plan.StaleHint{},
		Uncovered:         plan.FolderList{Folders: []plan.Folder{}},
		Shared:            plan.SharedList{Hints: []plan.SharedHint{}},
		Untracked:         plan.FileList{Files: []plan.File{}},
		MissingAttributes: []plan.MissingAttribute{}, WholeFlake: []plan.WholeFlake{},
		Warnings: []plan.Warning{},
	}
}

// Report has a check of every status.
func Report() *doctor.Report {
	return &doctor.Report{OK: false, Checks: []doctor.Check{
		{Name: "git", Status: doctor.OK, Version: "2.39.5"},
		{Name: "repository", Status: doctor.Warn, Detail: "the history is cut", Fix: "git fetch --unshallow"},
		{Name: "nix", Status: doctor.Absent, Detail: "nix is not installed", Fix: "install Nix 2.8 or newer"},
		{Name: "docker:pi", Status: doctor.Fail, Detail: "no answer within 10s", Fix: "is the host up?"},
	}}
}
