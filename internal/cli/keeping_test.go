package cli_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/cli"
	"homelab/internal/deploy"
	"homelab/internal/rollout"
	"homelab/tools"
	"homelab/tools/toolstest"
)

// Where nobody can be asked a preview ends with how to go on.
func TestPreviewsAsk(t *testing.T) {
	for name, line := range map[string]string{
		"rollback_preview":             "homelab rollback grafana",
		"docker_prune_preview":         "homelab docker prune",
		"state_prune_preview":          "homelab state prune",
		"state_restore_preview":        "homelab state restore 20260301T101500Z-1f2e3d4c",
		"state_restore_commit_preview": "homelab state restore --service grafana --commit 20260302T090000Z-5d6e7f80",
	} {
		got := typed(t, line)
		assert.Zero(t, got.status, name)
		assert.Equal(t, "\nNothing was done. To do it, run it again with --confirm 36fbb166cfe5, or with --yes\n", got.err, name)
		toolstest.Golden(t, name+".txt", got.out)
	}
}

// A tool can have subcommands; a service of such a name is named after --.
func TestToolWithSubcommands(t *testing.T) {
	var preview rollout.Report
	require.NoError(t, json.Unmarshal([]byte(typed(t, "homelab deploy --json -- repair").out), &preview))
	assert.Equal(t, "repair", preview.Head.Ref)
	require.NoError(t, json.Unmarshal([]byte(typed(t, "homelab deploy --json ha").out), &preview))
	assert.Equal(t, "ha", preview.Head.Ref)
	var repaired deploy.RepairReport
	require.NoError(t, json.Unmarshal([]byte(typed(t, "homelab deploy repair ha --json").out), &repaired))
	assert.Equal(t, "ha", repaired.Services[0].Service)

	assert.Equal(t, typed(t, "homelab deploy --help").out, typed(t, "homelab help deploy").out)
	assert.Contains(t, typed(t, "homelab help deploy repair").out, "homelab deploy repair [SERVICE]\n")
	assert.Contains(t, typed(t, "homelab __complete deploy re").out, "repair\tRepair")
	assert.Contains(t, typed(t, "homelab __complete deploy g").out, "grafana\n")
}

// A server does what is left to do while it answers, and tells of it; a program that
// only hands over does not.
func TestServerStarts(t *testing.T) {
	said := make(chan bool)
	core := toolstest.Core()
	core.Starting = func(ctx context.Context, say func(string)) {
		say("grafana: " + toolstest.Hostile)
		close(said)
		<-ctx.Done()
		say("the end")
	}
	app := cli.App{
		Open:  func(cli.Settings) tools.Core { return core },
		Serve: func(context.Context, []tools.Tool, cli.Streams) error { <-said; return nil },
	}
	got := run(t, app, "homelab mcp")
	assert.Zero(t, got.status)
	assert.Equal(t, "homelab mcp: grafana: services/\\x1b[2Jevil\\nname\\u202e\nhomelab mcp: the end\n", got.err, "it has ended when the server has")
	assert.Empty(t, got.out, "which is the protocol's")

	core.Starting = func(context.Context, func(string)) { t.Error("it was for the other program") }
	app.HandOver = func() error { return nil }
	app.Serve = func(context.Context, []tools.Tool, cli.Streams) error { return nil }
	assert.Zero(t, run(t, app, "homelab mcp").status)
}

func TestListedCommands(t *testing.T) {
	help := typed(t, "homelab --help").out
	assert.Equal(t, 1, strings.Count(help, "\n  deploy [SERVICE…] "))
	assert.Equal(t, 1, strings.Count(help, "\n  deploy repair [SERVICE] "))
}
