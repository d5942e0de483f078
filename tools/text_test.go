package tools_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"homelab/internal/plan"
	"homelab/tools"
	"homelab/tools/toolstest"
)

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"":                           "",
		"services/ha/größe 50%.yaml": "services/ha/größe 50%.yaml",
		"日本語/ファイル":                   "日本語/ファイル",
		"a\nb":                       `a\nb`,
		"a\tb":                       `a\tb`,
		"\x1b[2J":                    `\x1b[2J`,
		"a\u202eb":                   `a\u202eb`,
		"zero\u200bwidth":            `zero\u200bwidth`,
		"bad\xffutf8":                `bad\xffutf8`,
		"\x7f\u0085":                 `\x7f\u0085`,
	} {
		assert.Equal(t, want, tools.Printable(in))
	}
}

func TestSome(t *testing.T) {
	assert.Equal(t, "a, b", tools.Some([]string{"a", "b"}, 2))
	assert.Equal(t, "a and 2 more", tools.Some([]string{"a", "b", "c"}, 1))
	assert.Equal(t, "", tools.Some(nil, 3))
}

func TestPlural(t *testing.T) {
	assert.Equal(t, "1 service", tools.Plural(1, "service"))
	assert.Equal(t, "0 services", tools.Plural(0, "service"))
	assert.Equal(t, "3 passes", tools.Plural(3, "pass"))
	assert.Equal(t, "2 entries", tools.Plural(2, "entry"))
}

func TestDescribeSide(t *testing.T) {
	const commit = "1f0c2a7be4d95360c8a1b2d3e4f5061728394a5b"
	for want, side := range map[string]plan.Side{
		"main (1f0c2a7be4d9)":                   {Ref: "main", Commit: commit, State: plan.StateCommit},
		"1f0c2a7be4d9":                          {Ref: commit, Commit: commit, State: plan.StateCommit},
		"the work tree, clean, at 1f0c2a7be4d9": {Commit: commit, State: plan.StateClean},
		"the work tree, with uncommitted changes, on 1f0c2a7be4d9": {Commit: commit, State: plan.StateDirty},
		"the work tree; nothing is committed yet":                  {State: plan.StateDirty},
		"the empty tree":                 {State: plan.StateEmpty},
		"release, which is missing here": {Ref: "release", State: plan.StateMissing},
	} {
		assert.Equal(t, want, tools.DescribeSide(side))
	}
	assert.Equal(t, "main (1f0c2a7be4d9), diverged from the head: as asked",
		tools.DescribeBase(plan.Side{Ref: "main", Commit: commit, State: plan.StateCommit, Relation: "diverged", Why: "as asked"}))
	assert.Equal(t, "HEAD (1f0c2a7be4d9): the branch has no upstream",
		tools.DescribeBase(plan.Side{Ref: "HEAD", Commit: commit, State: plan.StateCommit, Relation: "same", Why: "HEAD: the branch has no upstream"}))
	assert.Equal(t, "the empty tree",
		tools.DescribeBase(plan.Side{State: plan.StateEmpty, Relation: "unrelated", Why: "nothing has been committed yet"}))
}

func TestDescribeReason(t *testing.T) {
	for want, reason := range map[string]plan.Reason{
		"a/b modified":                                         {Kind: plan.ByHint, Path: "a/b", Status: plan.Modified},
		"flake.lock modified (a global hint)":                  {Kind: plan.ByGlobal, Path: "flake.lock", Status: plan.Modified, Hint: "flake.lock"},
		"global hint lib/** changed":                           {Kind: plan.ByGlobal, Hint: "lib/**"},
		"flake input nixpkgs moved":                            {Kind: plan.ByInput, Hint: "nixpkgs"},
		"depends on a → b":                                     {Kind: plan.ByDependency, Via: []string{"a", "b"}},
		"submodule vendor/x deleted":                           {Kind: plan.BySubmodule, Path: "vendor/x", Status: plan.Deleted},
		"asked for":                                            {Kind: plan.ByExplicit},
		"its output differs":                                   {Kind: plan.ByOutput},
		"deployed with edits that are not there any more":      {Kind: plan.ByEdits},
		"its container is not configured as the registry says": {Kind: plan.ByDrift},
		"not deployed yet":                                     {Kind: plan.ByNeverDeployed},
		"the base is missing here":                             {Kind: plan.ByBaseMissing},
		"its entry in the registry changed":                    {Kind: plan.ByRegistry},
		"new in the registry":                                  {Kind: plan.ByRegistry, Hint: "services.ha", Status: plan.Added},
		"the registry's entry of its host changed":             {Kind: plan.ByRegistry, Hint: "hosts.pi"},
	} {
		assert.Equal(t, want, tools.DescribeReason(reason))
	}
}

func TestDescribeFindings(t *testing.T) {
	audit := toolstest.Audit().Audit
	assert.Equal(t, []string{`home-assistant: modules (modules/oci.nix, services/\x1b[2Jevil\nname\u202e)`,
		"proxy: rebuilt only because of its dependency prometheus"}, tools.Described(audit.OverWide, tools.DescribeOverWide))
	assert.Equal(t, []string{"grafana: made from dashboards/house.json", "prometheus: changed with lib/a.nix, lib/b.nix and 28 more"},
		tools.Described(audit.Missing, tools.DescribeMissing))
	assert.Equal(t, "a: rebuilt only because of its dependencies b, c", tools.DescribeOverWide(plan.OverWide{Service: "a", Via: []string{"b", "c"}}))
	assert.Equal(t, "a: made from the same files as before: Nix code changed it, perhaps in x, y, or it has the flake's revision or time in it",
		tools.DescribeMissing(plan.Missing{Service: "a", Candidates: []plan.Path{"x", "y"}, Count: 2, SameSources: true}))
	assert.Equal(t, "a: made from the same files as before: perhaps it has the flake's revision or time in it",
		tools.DescribeMissing(plan.Missing{Service: "a", SameSources: true}))
	assert.Equal(t, "a: no changed file explains it (its exclude takes that out)", tools.DescribeMissing(plan.Missing{Service: "a", Excluded: true}))
}
