package tools

import (
	"context"
	"fmt"
	"strings"

	"homelab/internal/fault"
	"homelab/internal/plan"
)

func registryCheckTool(core Core) Tool {
	return New(Tool{
		Name:  "registry_check",
		Title: "Check the registry and its hints",
		Description: "Is the registry valid, and do its hints say what is so? All problems at once with their fixes; then hints that match nothing, " +
			"tracked files that no hint covers, hints that many services share, and untracked files that Nix cannot see. " +
			"With evaluate: targets that do not exist, and those built from the flake's whole source.",
		Guidance:    "Use it after editing the registry, and when a plan looks wrong.",
		Command:     []string{"registry", "check"},
		Annotations: looks,
		Examples: []Example{
			{"validate and audit; exit status 2 when invalid", "homelab registry check", `{}`},
			{"and whether every target exists, as Nix evaluates it", "homelab registry check --evaluate", `{"evaluate":true}`},
			{"at most five entries a list", "homelab registry check --limit 5", `{"limit":5}`},
		},
	}, Work[plan.CheckRequest, plan.Check]{
		Run: func(ctx context.Context, in plan.CheckRequest, _ Report) (*plan.Check, error) {
			return core.Check(ctx, in)
		},
		Text: checkText,
		Verdict: func(c *plan.Check) fault.Code {
			if c.Valid {
				return ""
			}
			return fault.InvalidArgument
		},
	})
}

func checkText(c *plan.Check) string {
	const most = 10
	var text lines
	if c.Valid {
		text.add("valid: %s", Printable(c.Source))
	} else {
		text.add("not valid, %s: %s", Plural(len(c.Problems), "problem"), Printable(c.Source))
	}
	for i, problem := range c.Problems {
		if i == most {
			text.add("… and %d more", len(c.Problems)-most)
			break
		}
		text.add("%s", Printable(problem.String()))
	}
	if missing := Described(c.MissingAttributes, DescribeMissingAttribute); len(missing) > 0 {
		text.add("%s the flake does not have: %s", Plural(len(missing), "target"), strings.Join(missing[:min(len(missing), most)], "; "))
	}
	if whole := Described(c.WholeFlake, DescribeWholeFlake); len(whole) > 0 {
		text.add("%s built from the flake's whole source, by every commit anew: %s", Plural(len(whole), "target"), Some(whole, most))
	}
	stale := Described(c.StaleHints, DescribeStale)
	if len(stale) > 0 {
		text.add("%s nothing: %s", hintsMatch(len(stale)), Some(stale, most))
	}
	if n := c.Uncovered.Count; n > 0 {
		folders := []string{}
		for _, folder := range c.Uncovered.Folders {
			folders = append(folders, fmt.Sprintf("%s (%d)", folder.Path, folder.Files))
		}
		text.add("%s under no hint, in %s", Plural(n, "tracked file"), Some(folders, most))
	}
	if n := c.Shared.Count; n > 0 {
		shared := []string{}
		for _, hint := range c.Shared.Hints {
			shared = append(shared, fmt.Sprintf("%s (%d services)", hint.Hint, hint.Count))
		}
		text.add("%s shared by several services: %s", Plural(n, "hint"), Some(shared, most))
	}
	if n := c.Untracked.Count; n > 0 {
		paths := []string{}
		for _, file := range c.Untracked.Files {
			paths = append(paths, file.Path)
		}
		text.add("%s under a hint, invisible to Nix until git add: %s", Plural(n, "untracked file"), Some(paths, most))
	}
	text.warnings(c.Warnings)
	return text.String()
}

// DescribeStale says which hint matches nothing.
func DescribeStale(h plan.StaleHint) string {
	owner := h.Service
	if owner == "" {
		owner = "globalHints"
	}
	text := owner + ": " + h.Hint
	if h.Ignored {
		text += " (git ignores it)"
	}
	return text
}
