package tools

import "homelab/internal/rollout"

func rollbackTool(core Core) Tool {
	return New(Tool{
		Name:        "rollback",
		Title:       "Back to an earlier version of a service",
		Description: "Has a generation of a service that is kept on its host run again. Says first what changes; with confirm it does that. When it is not healthy, what ran before runs again.",
		Guidance:    "Use it without confirm first. Data stays as it is.",
		Command:     []string{"rollback"},
		Positional:  "service",
		Complete:    serviceNames(core),
		Engines:     true,
		Annotations: replaces,
		Examples: []Example{
			{"to the one before", "homelab rollback ha", `{"service":"ha"}`},
			{"what was previewed", "homelab rollback ha --confirm 36fbb166cfe5", `{"service":"ha","confirm":"36fbb166cfe5"}`},
		},
	}, Work[rollout.RollbackRequest, rollout.Report]{
		Run:         core.Rollback,
		Text:        rolloutText,
		Verdict:     (*rollout.Report).Code,
		Unconfirmed: (*rollout.Report).Unconfirmed,
	})
}
