package plan_test

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"homelab/internal/fault"
	"homelab/internal/gitrepo/gittest"
	"homelab/internal/plan"
)

func TestGlobalHints(t *testing.T) {
	t.Parallel()
	r := newHomelab(t)
	r.Write("homelab.json", strings.Replace(strings.Replace(homelab,
		`{"path": "lib"}`, `{"path": "lib"}, {"path": "modules/**", "services": ["prom"]}`, 1),
		`"services/ha/docs"`, `"services/ha/docs", "lib/prom-*"`, 1))
	r.Write("modules/x/y.nix", "x")
	r.Write("lib/prom-1.nix", "x")
	r.Write("lib/prom-2.nix", "x")
	r.Commit("globals")
	r.Write("modules/x/y.nix", "edited")
	r.Write("lib/prom-1.nix", "edited")
	r.Write("lib/prom-2.nix", "edited")
	got := ask(t, r, plan.Request{})
	assert.Equal(t, want(`
		grafana rebuild
		  global M lib/prom-1.nix lib
		  dependency via prom
		prom rebuild
		  global M lib/prom-1.nix lib
		  global M modules/x/y.nix modules/**
	`), brief(got), "ha excludes all that changed under lib")
	assert.Equal(t, []plan.GlobalChange{
		{Hint: "lib", Services: []string{}, Count: 2, Files: []plan.File{{Path: "lib/prom-1.nix", Status: "M"}, {Path: "lib/prom-2.nix", Status: "M"}}},
		{Hint: "modules/**", Services: []string{"prom"}, ServiceCount: 1, Count: 1, Files: []plan.File{{Path: "modules/x/y.nix", Status: "M"}}},
	}, got.GlobalChanges, "said once")
}

// An answer is bounded, however many services have one thing wrong.
func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	const many = 300
	r := newHomelab(t)
	globals, services, hosts, named := make([]string, many), make([]string, many), make([]string, many), make([]string, many)
	for i := range many {
		globals[i] = fmt.Sprintf(`{"path": "g/%03d", "services": [%%s]}`, i)
		hosts[i] = fmt.Sprintf(`"h%03d": {"system": "x86_64-linux"}`, i)
		named[i] = fmt.Sprintf(`"s%03d"`, i)
		services[i] = fmt.Sprintf(`%s: {"inputs": ["nixpgks", "own%03d"], "build": {"targets": {"x86_64-linux": "a"}}, "hints": ["s"]}`, named[i], i)
		r.Write(fmt.Sprintf("g/%03d", i), "x")
	}
	r.Write("flake.lock", lock)
	r.Write("homelab.json", fmt.Sprintf(`{"version": 1, "globalHints": [%s], "hosts": {%s}, "services": {%s}}`,
		strings.ReplaceAll(strings.Join(globals, ","), "%s", strings.Join(named, ",")), strings.Join(hosts, ","), strings.Join(services, ",")))
	p := planner(t, r)
	got, err := p.Plan(t.Context(), plan.Request{Limit: 10})
	require.NoError(t, err)
	assert.Len(t, got.GlobalChanges, 10)
	assert.Equal(t, many, got.GlobalChangeCount)
	assert.Len(t, got.GlobalChanges[0].Services, 20)
	assert.Equal(t, many, got.GlobalChanges[0].ServiceCount)
	whole, err := p.Plan(t.Context(), plan.Request{Limit: 10000})
	require.NoError(t, err)
	assert.Len(t, whole.GlobalChanges, many)
	assert.Equal(t, whole.PlanID, got.PlanID, "how much is listed does not matter")

	check, err := p.Check(t.Context(), plan.CheckRequest{})
	require.NoError(t, err)
	resolved, err := p.Get(t.Context(), plan.GetRequest{Name: "s000", System: "aarch64-linux"})
	require.NoError(t, err)
	assert.Len(t, resolved.Warnings, 1)
	for _, warnings := range [][]plan.Warning{got.Warnings, check.Warnings} {
		require.Len(t, warnings, 50)
		assert.Equal(t, "truncated", warnings[49].Code)
		told := 0
		for _, w := range warnings[:49] {
			if strings.Contains(w.Message, "nixpgks") {
				told++
				assert.Equal(t, `300 services (s000, s001, s002, s003, s004 and 295 more) name the flake input "nixpgks", which flake.lock does not have`, w.Message)
				assert.Equal(t, "did you mean nixpkgs?", w.Hint)
			}
		}
		assert.Equal(t, 1, told)
	}

	list, err := p.List(t.Context(), plan.ListRequest{Limit: 10})
	require.NoError(t, err)
	assert.Len(t, list.Hosts, 10)
	assert.Equal(t, many+1, list.HostCount, "and the local one")
	assert.Len(t, list.Globals, 10)
	assert.Equal(t, many, list.GlobalCount)
}

// The id depends on content, and on nothing else of place or time.
func TestPlanID(t *testing.T) {
	t.Parallel()
	r := newHomelab(t)
	copied := clone(t, r)
	copied.Git("branch", "--unset-upstream")
	edit(r)
	edit(copied)
	first := ask(t, r, plan.Request{})
	assert.Equal(t, first, ask(t, copied, plan.Request{}), "another place, another time")
	assert.Equal(t, first.PlanID, ask(t, r, plan.Request{Limit: 1}).PlanID)
	assert.Equal(t, ask(t, r, plan.Request{Services: []string{"prom", "ha"}}).PlanID,
		ask(t, r, plan.Request{Services: []string{"home", "prom", "prom"}}).PlanID, "the same services")
	r.Write("services/ha/config.yaml", "edited again")
	second := ask(t, r, plan.Request{})
	assert.Equal(t, brief(first), brief(second))
	assert.NotEqual(t, first.PlanID, second.PlanID)
}

// What is staged counts where the work tree has nothing to show for it.
func TestPlanIDOfStagedContent(t *testing.T) {
	t.Parallel()
	r := newHomelab(t)
	stage := func(digit string) string {
		r.Git("update-index", "--add", "--cacheinfo", "160000,"+strings.Repeat(digit, 40)+",services/ha/lib")
		require.NoError(t, os.MkdirAll(r.Path("services/ha/lib"), 0o755))
		return ask(t, r, plan.Request{}).PlanID
	}
	assert.NotEqual(t, stage("a"), stage("b"))
}

func TestDependencyChains(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	var services []string
	const long = 40
	for i := range long {
		needs := ""
		if i > 0 {
			needs = fmt.Sprintf(`"dependsOn": ["s%02d"],`, i-1)
		}
		services = append(services, fmt.Sprintf(`"s%02d": {%s "hints": ["s/%02d"], "build": {"targets": {"x86_64-linux": "a"}}}`, i, needs, i))
	}
	r.Write("homelab.json", `{"version": 1, "services": {`+strings.Join(services, ",")+`}}`)
	for i := range long {
		r.Write(fmt.Sprintf("s/%02d", i), "x")
	}
	r.Commit("one")
	r.Write("s/00", "edited")
	got := ask(t, r, plan.Request{})
	assert.Equal(t, plan.Counts{Total: long, Rebuild: long}, got.Counts)
	assert.Equal(t, []string{"s01", "s00"}, got.Services[2].Reasons[0].Via)
	last := got.Services[long-1].Reasons[0].Via
	assert.Len(t, last, 16)
	assert.Equal(t, []string{"…", "s00"}, last[14:])
}

// Ten thousand services are planned like ten, and the answer names those that
// matter.
func TestManyServices(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	var text strings.Builder
	text.WriteString(`{"version": 1, "services": {"s0": {"hints": ["s/0"], "build": {"targets": {"x86_64-linux": "a"}}}`)
	const many = 10_000
	for i := 1; i < many; i++ {
		fmt.Fprintf(&text, `,"s%d": {"hints": ["s/%d", "lib/*.nix"], "build": {"targets": {"x86_64-linux": "a"}}}`, i, i)
	}
	text.WriteString(`}}`)
	r.Write("homelab.json", text.String())
	r.Write("s/7", "x")
	r.Commit("one")
	r.Write("s/7", "edited")
	got := ask(t, r, plan.Request{})
	assert.Equal(t, plan.Counts{Total: many, Rebuild: 1, None: many - 1}, got.Counts)
	assert.Len(t, got.Services, 1)
	assert.Len(t, got.StaleHints, plan.DefaultLimit)
	assert.Equal(t, 2*many-2, got.StaleHintCount, "all but the folder that is there, and lib once each")

	// All of them touched come in pages, each once.
	r.Write("lib/x.nix", "new")
	request, names := plan.Request{}, []string{}
	for range many/plan.MaxServices + 1 {
		got = ask(t, r, request)
		assert.Equal(t, many-1, got.Counts.Rebuild)
		assert.LessOrEqual(t, len(got.Services), plan.MaxServices)
		for _, s := range got.Services {
			names = append(names, s.Name)
		}
		if request.Cursor = got.NextCursor; request.Cursor == "" {
			break
		}
	}
	assert.Len(t, names, many-1)
	assert.True(t, slices.IsSorted(names))
	assert.Len(t, slices.Compact(names), many-1)
}

// A registry that is no file, or may not be read, is said to be just that.
func TestUnreadableRegistry(t *testing.T) {
	t.Parallel()
	r := newHomelab(t)
	r.Remove("homelab.json")
	require.NoError(t, unix.Mkfifo(r.Path("homelab.json"), 0o644))
	_, err := planner(t, r).Plan(t.Context(), plan.Request{})
	assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err))
	assert.ErrorContains(t, err, "not a file")
	r.Remove("homelab.json")
	r.Write("homelab.json/x", "a folder")
	_, err = planner(t, r).Plan(t.Context(), plan.Request{})
	assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err))
}

// A folder that cannot be read may have changed: unknown, never unchanged. Root
// reads everything, so the question is asked by another user.
func TestUnreadable(t *testing.T) {
	if os.Getenv("HOMELAB_TEST_UNREADABLE") != "" {
		r := &gittest.Repo{T: t, Dir: os.Getenv("HOMELAB_TEST_UNREADABLE")}
		assert.Equal(t, want(`
			grafana unknown
			  dependency via prom
			  ! dependencyUnknown
			ha unknown
			  hint X services/ha/closed services/ha
			  hint X services/ha/docs/ services/ha
			  hint X services/ha/new/below/ services/ha
			  hint X services/ha/secret/ services/ha
			  hint X services/ha/shut services/ha
			  ! unreadable
			prom unknown
			  global X modules/closed/ modules
			  ! unreadable
		`), brief(ask(t, r, plan.Request{})))
		return
	}
	require.Zero(t, os.Getuid(), "this test must run as root, as make test does")
	dir, err := os.MkdirTemp("", "homelab-unreadable-*")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	r := &gittest.Repo{T: t, Dir: dir}
	r.Git("init", "-q", "-b", "main")
	r.Write("homelab.json", strings.Replace(homelab, `{"path": "lib"}`, `{"path": "lib"}, {"path": "modules", "services": ["prom"]}`, 1))
	for _, path := range []string{"services/ha/docs/x", "services/prom/x", "services/grafana/x", "lib/x", "shared/x.nix", "modules/closed/x"} {
		r.Write(path, "x")
	}
	r.Write("services/ha/closed", "x")
	r.Write(".gitignore", "data/\n")
	r.Commit("one")
	r.Write("services/ha/shut", "x")
	r.Write("services/ha/secret/x", "x")
	r.Write("services/ha/new/below/x", "x")
	r.Write("services/ha/data/x", "x")
	const nobody = 65534
	for _, path := range []string{"services/ha/docs", "services/ha/secret", "services/ha/new/below", "services/ha/data", "services/ha/closed", "services/ha/shut", "modules/closed"} {
		require.NoError(t, os.Chmod(r.Path(path), 0))
	}
	binary, err := os.Executable()
	require.NoError(t, err)
	test := r.Path("../" + strings.TrimPrefix(dir, os.TempDir()+"/") + ".test")
	content, err := os.ReadFile(binary)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(test, content, 0o755)) //nolint:gosec // another user runs it
	t.Cleanup(func() { assert.NoError(t, os.Remove(test)) })
	require.NoError(t, exec.Command("chown", "-R", "65534:65534", dir).Run())
	cmd := exec.Command(test, "-test.run=^TestUnreadable$", "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOMELAB_TEST_UNREADABLE="+dir, "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	assert.NoError(t, err, "%s", out)
	assert.Contains(t, string(out), "--- PASS: TestUnreadable")
}
