package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/cli"
	"homelab/internal/fault"
	"homelab/internal/plan"
	"homelab/tools"
	"homelab/tools/toolstest"
)

// outcome is what one command line did.
type outcome struct {
	status   int
	out, err string
}

// typed runs one command line, given as in a shell without quotes.
func typed(t *testing.T, line string) outcome {
	t.Helper()
	return typedAt(t, toolstest.Core(), line)
}

func typedAt(t *testing.T, core tools.Core, line string) outcome {
	t.Helper()
	return run(t, cli.App{Open: func(cli.Settings) tools.Core { return core }}, line)
}

func run(t *testing.T, app cli.App, line string) outcome {
	t.Helper()
	var out, err bytes.Buffer
	app.Version = cli.Version{Number: "v1.2.3", Commit: "1f0c2a7be4d95360c8a1b2d3e4f5061728394a5b"}
	app.Streams = cli.Streams{In: strings.NewReader(""), Out: &out, Err: &err}
	status := app.Run(t.Context(), strings.Fields(line)[1:])
	return outcome{status, out.String(), err.String()}
}

func TestEveryExampleIsTheCallItSaysItIs(t *testing.T) {
	for _, tool := range tools.Catalog(toolstest.Core()) {
		for _, example := range tool.Examples {
			want, err := tool.Call(t.Context(), json.RawMessage(example.Input), nil)
			require.NoError(t, err)
			value, err := want.JSON()
			require.NoError(t, err)
			var indented bytes.Buffer
			require.NoError(t, json.Indent(&indented, value, "", "  "))

			got := typed(t, example.Command+" --json")
			assert.Equal(t, indented.String()+"\n", got.out, example.Command)
			assert.Empty(t, got.err, example.Command)
		}
	}
}

func TestViews(t *testing.T) {
	for name, line := range map[string]string{
		"plan":                   "homelab plan",
		"plan_audit":             "homelab plan --mode audit",
		"registry_list":          "homelab registry list",
		"registry_get":           "homelab registry get home-assistant",
		"registry_check":         "homelab registry check",
		"registry_check_invalid": "homelab registry check --limit 10000",
		"doctor":                 "homelab doctor",
		"build":                  "homelab build",
		"docker_load":            "homelab docker load --job-id build-20260301-090000000-k7q2",
		"docker_run":             "homelab docker run grafana",
		"deploy_preview":         "homelab deploy --dry-run --confirm 36fbb166cfe5",
		"deploy":                 "homelab deploy --confirm 36fbb166cfe5",
		"deploy_background":      "homelab deploy --confirm 36fbb166cfe5 --background",
		"rollback":               "homelab rollback grafana --confirm 36fbb166cfe5",
		"docker_prune":           "homelab docker prune --confirm 36fbb166cfe5",
		"deploy_repair":          "homelab deploy repair",
		"deploy_repair_none":     "homelab deploy repair prometheus",
		"help_deploy":            "homelab deploy --help",
		"status":                 "homelab status",
		"logs":                   "homelab logs grafana",
		"state_bundle":           "homelab state bundle grafana",
		"state_all":              "homelab state bundle --all --due",
		"state_all_background":   "homelab state bundle --all --background",
		"state_background":       "homelab state bundle grafana --background",
		"state_list":             "homelab state list",
		"state_prune":            "homelab state prune --confirm 36fbb166cfe5",
		"state_restore":          "homelab state restore 20260301T101500Z-1f2e3d4c --confirm 36fbb166cfe5",
		"state_restore_later":    "homelab state restore 20260301T101500Z-1f2e3d4c --confirm 36fbb166cfe5 --background",
		"state_restore_undone":   "homelab state restore --service grafana --undo 20260302T090000Z-5d6e7f80 --confirm 36fbb166cfe5",
		"state_drill":            "homelab state drill 20260301T101500Z-1f2e3d4c",
		"state_drill_failed":     "homelab state drill 20260228T101500Z-5b6c7d8e",
		"state_verify":           "homelab state verify 20260301T101500Z-1f2e3d4c",
		"state_verify_deep":      "homelab state verify 20260301T101500Z-1f2e3d4c --deep",
		"logs_none":              "homelab logs grafana --grep nothing",
		"build_background":       "homelab build --background",
		"job_list":               "homelab job list",
		"job_get":                "homelab job get build-20260301-090000000-k7q2",
		"job_cancel":             "homelab job cancel build-20260301-090000000-k7q2",
		"help_build":             "homelab build --help",
		"help":                   "homelab --help",
		"help_registry":          "homelab registry",
		"help_plan":              "homelab help plan",
		"help_get":               "homelab registry get --help",
	} {
		t.Run(name, func(t *testing.T) {
			got := typed(t, line)
			assert.Empty(t, got.err)
			assert.NotContains(t, got.out, "\x1b", "no colour where there is no terminal, and no name of a file speaks to one")
			toolstest.Golden(t, name+".txt", got.out)
		})
	}
}

func TestNamesDoNotSpeakToTheTerminal(t *testing.T) {
	core := toolstest.Core()
	core.List = func(context.Context, plan.ListRequest) (*plan.Listing, error) {
		listing := toolstest.Listing()
		listing.Source, listing.Globals = toolstest.Hostile, []string{toolstest.Hostile}
		listing.Services[0].Name, listing.Hosts[0].Docker = toolstest.Hostile, toolstest.Hostile
		return listing, nil
	}
	out := typedAt(t, core, "homelab registry list").out
	assert.Equal(t, 4, strings.Count(out, `services/\x1b[2Jevil\nname\u202e`), out)
	assert.NotContains(t, out, "\x1b")
}

func TestStatusFollowsTheVerdict(t *testing.T) {
	assert.Equal(t, 0, typed(t, "homelab registry check").status)
	broken := typed(t, "homelab registry check --limit 10000 --json")
	assert.Equal(t, 2, broken.status)
	assert.Contains(t, broken.out, `"valid": false`)
	assert.Empty(t, broken.err, "the result says it all")
	assert.Equal(t, 5, typed(t, "homelab doctor").status)
}

func TestUsageErrors(t *testing.T) {
	for line, want := range map[string]string{
		"homelab pln":                "homelab: there is no command \"homelab pln\"\nhint: did you mean plan?\n",
		"homelab list":               "homelab: there is no command \"homelab list\"\nhint: did you mean job list, registry list, state list?\n",
		"homelab registry gt":        "homelab: there is no command \"homelab registry gt\"\nhint: did you mean get?\n",
		"homelab help registry gt":   "homelab: there is no command \"homelab registry gt\"\nhint: did you mean get?\n",
		"homelab plan --bse main":    "homelab: \"homelab plan\" has no flag --bse\nhint: did you mean --base?\n",
		"homelab plan -q":            "homelab: \"homelab plan\" has no flag -q\nhint: valid: --base, --cursor, --head, --help, --json, --limit, --merge-base, --mode, --nix-option, --no-color, --registry, --repo, --system\n",
		"homelab plan --base":        "homelab: --base needs a value\nhint: see homelab plan --help\n",
		"homelab plan --limit many":  "homelab: --limit takes an integer, not \"many\"\nhint: see homelab plan --help\n",
		"homelab plan --limit 99999": "homelab: limit: number out of range (99999)\nhint: write a number from 1 to 10000\n",
		"homelab registry get":       "homelab: NAME is missing\nhint: usage: homelab registry get NAME\n",
		"homelab state migrate web":  "homelab: --to-host is missing\nhint: usage: homelab state migrate SERVICE --to-host HOST\n",
		"homelab state migrate":      "homelab: SERVICE is missing\nhint: usage: homelab state migrate SERVICE --to-host HOST\n",
		"homelab registry get a b":   "homelab: \"homelab registry get\" takes one NAME, got 2\nhint: usage: homelab registry get NAME\n",
		"homelab doctor now":         "homelab: \"homelab doctor\" takes no arguments, got \"now\"\nhint: usage: homelab doctor\n",
		"homelab completion":         "homelab: SHELL is missing\nhint: usage: homelab completion SHELL\n",
		"homelab completion bsh":     "homelab: there are no completions for \"bsh\"\nhint: did you mean bash, zsh, fish?\n",
		"homelab --json=maybe plan":  "homelab: --json takes true or false, not \"maybe\"\nhint: see homelab plan --help\n",
	} {
		got := typed(t, line)
		assert.Equal(t, 2, got.status, line)
		assert.Empty(t, got.out, line)
		assert.Equal(t, want, got.err, line)
	}
}

func TestFailuresOfEveryCode(t *testing.T) {
	for _, row := range fault.Codes {
		core := toolstest.Core()
		core.Plan = func(context.Context, plan.Request) (*plan.Plan, error) {
			return nil, fault.New(row.Code, "it did\nnot \x1b[2Jwork", "try \u202eharder")
		}
		got := typedAt(t, core, "homelab plan")
		assert.Equal(t, outcome{row.Exit, "", "homelab: it did\nnot \\x1b[2Jwork\nhint: try \\u202eharder\n"}, got, row.Code)

		got = typedAt(t, core, "homelab plan --json")
		assert.Equal(t, row.Exit, got.status)
		assert.Empty(t, got.out)
		var failure tools.Failure
		require.NoError(t, json.Unmarshal([]byte(got.err), &failure))
		assert.Equal(t, tools.Failure{Code: row.Code, Message: "it did\nnot \x1b[2Jwork", Hint: "try \u202eharder", Retryable: row.Retryable}, failure)
		assert.Equal(t, 1, strings.Count(got.err, "\n"), "one object, one line")
	}
}

func TestErrorsAreJSONAlsoWhenTheFlagsDoNotParse(t *testing.T) {
	got := typed(t, "homelab plan --bse main --json")
	var failure tools.Failure
	require.NoError(t, json.Unmarshal([]byte(got.err), &failure))
	assert.Equal(t, fault.InvalidArgument, failure.Code)
}

func TestPanicShowsWhereItHappened(t *testing.T) {
	got := typed(t, "homelab plan --base "+toolstest.PanickingBase)
	assert.Equal(t, 1, got.status)
	assert.Contains(t, got.err, "homelab: plan: panic: this base panics\nhint: this is a defect of homelab")
	assert.Contains(t, got.err, "toolstest.answerPlan")
}

func TestSettingsComeFromFlagsThenTheEnvironment(t *testing.T) {
	t.Setenv("HOMELAB_REPO", "/env/repo")
	t.Setenv("HOMELAB_REGISTRY", "env.json")
	var opened []cli.Settings
	app := cli.App{Open: func(s cli.Settings) tools.Core {
		opened = append(opened, s)
		return toolstest.Core()
	}}
	for _, line := range []string{"homelab plan", "homelab --repo /flag plan --registry flake:.#x", "homelab version"} {
		require.Equal(t, 0, run(t, app, line).status)
	}
	assert.Equal(t, []cli.Settings{
		{Repo: "/env/repo", Registry: "env.json", Version: "v1.2.3"},
		{Repo: "/flag", Registry: "flake:.#x", Version: "v1.2.3"},
	}, opened, "and what needs no core opens none")
}

func TestCompletionOffersServicesOnce(t *testing.T) {
	offered := func(line string) []string {
		got := typed(t, line)
		require.Equal(t, 0, got.status)
		return strings.Fields(strings.Split(got.out, ":")[0])
	}
	assert.Equal(t, []string{"grafana", "ha", "home-assistant"}, offered("homelab __complete plan ''"))
	assert.Equal(t, []string{"ha", "home-assistant"}, offered("homelab __complete plan grafana ''"), "what is named already is not offered again")
	assert.Empty(t, offered("homelab __complete registry get ha ''"))
	assert.Contains(t, offered("homelab __complete completion f"), "fish")
}

func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		got := typed(t, "homelab completion "+shell)
		assert.Equal(t, 0, got.status, shell)
		assert.Contains(t, got.out, "__complete", shell)
	}
}

func TestVersion(t *testing.T) {
	for _, line := range []string{"homelab version", "homelab --version"} {
		assert.Regexp(t, `^homelab version v1\.2\.3 \(1f0c2a7be4d9\) go\S+ \S+/\S+\n$`, typed(t, line).out)
	}
	var version map[string]string
	require.NoError(t, json.Unmarshal([]byte(typed(t, "homelab version --json").out), &version))
	assert.Equal(t, "v1.2.3", version["version"])
	assert.Equal(t, "1f0c2a7be4d95360c8a1b2d3e4f5061728394a5b", version["commit"])
}

func TestServeGetsTheStreamsAndTheCatalogue(t *testing.T) {
	var served []tools.Tool
	app := cli.App{
		Open: func(cli.Settings) tools.Core { return toolstest.Core() },
		Serve: func(_ context.Context, catalog []tools.Tool, streams cli.Streams) error {
			served = catalog
			_, err := io.WriteString(streams.Out, "protocol")
			return err
		},
	}
	assert.Equal(t, outcome{0, "protocol", ""}, run(t, app, "homelab mcp"))
	assert.Len(t, served, len(tools.Catalog(tools.Core{})))
}

func TestWhatCannotBeWrittenIsAFailure(t *testing.T) {
	for _, line := range []string{"plan", "plan --json", "version", "help plan", "plan --help", "", "registry", "completion bash"} {
		status, err := runInto(t, unwritable{syscall.ENOSPC}, line)
		assert.Equal(t, 5, status, line)
		assert.Contains(t, err, "cannot write the result: no space left on device", line)
		assert.Contains(t, err, "make room, or write elsewhere", line)
	}
}

// Who closes the pipe has read enough: that is nobody's failure, and the verdict
// stands.
func TestClosedPipeIsNoFailure(t *testing.T) {
	for line, want := range map[string]int{"plan": 0, "plan --json": 0, "help plan": 0, "--help": 0, "registry check --limit 10000": 2} {
		status, err := runInto(t, unwritable{&os.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}}, line)
		assert.Equal(t, want, status, line)
		assert.Empty(t, err, line)
	}
}

func runInto(t *testing.T, out io.Writer, line string) (status int, said string) {
	t.Helper()
	var err bytes.Buffer
	app := cli.App{
		Open:    func(cli.Settings) tools.Core { return toolstest.Core() },
		Streams: cli.Streams{Out: out, Err: &err},
	}
	return app.Run(t.Context(), strings.Fields(line)), err.String()
}

// unwritable is a file that fails in its own way.
type unwritable struct{ err error }

func (u unwritable) Write([]byte) (int, error) { return 0, u.err }

func TestInterruptedCommandExitsWith130(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	var out, err bytes.Buffer
	app := cli.App{
		Open:    func(cli.Settings) tools.Core { return toolstest.Core() },
		Streams: cli.Streams{Out: &out, Err: &err},
	}
	assert.Equal(t, 130, app.Run(ctx, []string{"plan", "--base", toolstest.HangingBase}))
	assert.Equal(t, "homelab: the call was canceled\n", err.String())
	assert.Empty(t, out.String())
}
