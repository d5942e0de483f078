package plan_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"homelab/internal/fault"
	"homelab/internal/gitrepo/gittest"
	"homelab/internal/plan"
	"homelab/registry"
)

const lock = `{
  "nodes": {
    "root": {"inputs": {"nixpkgs": "nixpkgs", "home-manager": "home-manager", "agenix": "agenix"}},
    "nixpkgs": {"locked": {"rev": "NIXPKGS"}},
    "agenix": {"locked": {"rev": "AGENIX"}},
    "home-manager": {"inputs": {"nixpkgs": ["nixpkgs"], "utils": "utils"}, "locked": {"rev": "HM"}},
    "utils": {"locked": {"rev": "UTILS"}}
  },
  "root": "root", "version": 7
}`

// withInputs gives ha the inputs home-manager, prom those of agenix, and leaves
// grafana to the global hint on flake.lock.
func withInputs(t *testing.T) *gittest.Repo {
	r := newHomelab(t)
	text := strings.Replace(homelab, `{"path": "lib"}`, `{"path": "flake.lock"}`, 1)
	text = strings.Replace(text, `"aliases": ["home"],`, `"inputs": ["home-manager"],`, 1)
	text = strings.Replace(text, `"hints": ["services/prom"]`, `"hints": ["services/prom"], "inputs": ["agenix"]`, 1)
	r.Write("homelab.json", strings.Replace(text, `"dependsOn": ["prom"],`, ``, 1))
	r.Write("flake.lock", lock)
	r.Commit("inputs")
	return r
}

func TestFlakeInputs(t *testing.T) {
	t.Parallel()
	grafana := "grafana rebuild\n  global M flake.lock flake.lock\n"
	cases := []struct {
		name, from, to string
		moved          []plan.InputChange
		want           string
	}{
		{"an input's input", "UTILS", "x", []plan.InputChange{{Name: "home-manager", Status: "M"}},
			grafana + "ha rebuild\n  input M flake.lock home-manager\n"},
		{"what an input follows", "NIXPKGS", "x", []plan.InputChange{{Name: "home-manager", Status: "M"}, {Name: "nixpkgs", Status: "M"}},
			grafana + "ha rebuild\n  input M flake.lock home-manager\n"},
		{"only formatting", `"version": 7`, `"version":  7`, []plan.InputChange{}, grafana},
		{"another one", "AGENIX", "x", []plan.InputChange{{Name: "agenix", Status: "M"}},
			grafana + "prom rebuild\n  input M flake.lock agenix\n"},
		{"one less", `, "agenix": "agenix"`, ``, []plan.InputChange{{Name: "agenix", Status: "D"}},
			grafana + "prom rebuild\n  input M flake.lock agenix\nwarning unknownInput\n"},
		{"not JSON", `"version"`, `version`, []plan.InputChange{{Name: "agenix", Status: "D"}, {Name: "home-manager", Status: "D"}, {Name: "nixpkgs", Status: "D"}},
			grafana + "ha rebuild\n  input M flake.lock home-manager\nprom rebuild\n  input M flake.lock agenix\nwarning lockUnreadable\n"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := withInputs(t)
			r.Write("flake.lock", strings.Replace(lock, c.from, c.to, 1))
			got := ask(t, r, plan.Request{})
			assert.Equal(t, c.want, strings.ReplaceAll(brief(got), "warning registryFallback\n", ""))
			assert.Equal(t, c.moved, got.InputChanges)
		})
	}
}

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

func TestTargets(t *testing.T) {
	t.Parallel()
	r := newHomelab(t)
	r.Write("homelab.json", strings.NewReplacer(
		`"x86_64-linux": "packages.x86_64-linux.ha"`, `"x86_64-linux": "packages.x86_64-linux.ha", "aarch64-linux": "packages.aarch64-linux.ha"`,
		`"services": {`, `"hosts": {"nas": {"system": "riscv64-linux"}, "pi": {}}, "services": {`,
		`"hints": ["services/prom"]`, `"hints": ["services/prom"], "deploy": {"host": "nas"}`,
	).Replace(homelab))
	edit(r)
	environment := map[string]string{}
	p := planner(t, r)
	p.Getenv = func(name string) string { return environment[name] }
	target := func(system string) plan.Target {
		t.Helper()
		got, err := p.Plan(t.Context(), plan.Request{System: system})
		require.NoError(t, err)
		return got.Services[1].Target
	}
	const x86, arm = "packages.x86_64-linux.ha", "packages.aarch64-linux.ha"
	assert.Equal(t, plan.Target{System: "x86_64-linux", Attr: x86, DecidedBy: "machine"}, target(""))
	p.SystemOf = func(context.Context, string, registry.Host) (string, error) { return "aarch64-linux", nil }
	assert.Equal(t, plan.Target{System: "aarch64-linux", Attr: arm, DecidedBy: "daemon"}, target(""))
	environment["HOMELAB_SYSTEM"] = "x86_64-linux"
	assert.Equal(t, plan.Target{System: "x86_64-linux", Attr: x86, DecidedBy: "HOMELAB_SYSTEM"}, target(""))
	environment["NIX_HOME_TARGET"] = "aarch64-linux"
	assert.Equal(t, plan.Target{System: "aarch64-linux", Attr: arm, DecidedBy: "NIX_HOME_TARGET"}, target(""))
	environment["NIX_HOME_TARGET"] = ".#legacyPackages.armv7l-linux.special"
	assert.Equal(t, plan.Target{System: "armv7l-linux", Attr: "legacyPackages.armv7l-linux.special", DecidedBy: "NIX_HOME_TARGET"}, target(""))
	assert.Equal(t, plan.Target{System: "x86_64-linux", Attr: x86, DecidedBy: "argument"}, target("x86_64-linux"))
	environment = map[string]string{}

	got, err := p.Plan(t.Context(), plan.Request{Services: []string{"prom"}})
	require.NoError(t, err)
	assert.Equal(t, plan.Blocked, got.Services[0].Decision)
	assert.Equal(t, plan.Target{System: "riscv64-linux", DecidedBy: "host"}, got.Services[0].Target)
	assert.Equal(t, "prom has no target for riscv64-linux (chosen by host); it has: x86_64-linux", got.Services[0].Problem.Message)

	for variable, value := range map[string]string{"HOMELAB_SYSTEM": "bogus", "NIX_HA_TARGET": "aarch64-lnux"} {
		environment = map[string]string{variable: value}
		_, err = p.Plan(t.Context(), plan.Request{})
		assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err))
		assert.ErrorContains(t, err, variable)
	}
	environment = map[string]string{}

	p.SystemOf = func(context.Context, string, registry.Host) (string, error) { return "", errors.New("no answer") }
	got, err = p.Plan(t.Context(), plan.Request{})
	require.NoError(t, err)
	assert.Equal(t, "machine", got.Services[1].Target.DecidedBy)
	assert.Contains(t, brief(got), "warning hostSystemAssumed")
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

// manyHosts is a registry of n services on hosts of their own.
func manyHosts(n int) string {
	hosts, services := make([]string, n), make([]string, n)
	for i := range n {
		hosts[i] = fmt.Sprintf(`"h%03d": {"docker": "ssh://h%03d"}`, i, i)
		services[i] = fmt.Sprintf(`"s%03d": {"build": {"targets": {"x86_64-linux": "a"}}, "hints": ["s"], "deploy": {"host": "h%03d"}}`, i, i)
	}
	return fmt.Sprintf(`{"version": 1, "hosts": {%s}, "services": {%s}}`, strings.Join(hosts, ","), strings.Join(services, ","))
}

func TestManyHostsAreAskedAFewAtATime(t *testing.T) {
	t.Parallel()
	r := newHomelab(t)
	r.Write("homelab.json", manyHosts(100))
	p := planner(t, r)
	var now, most, asked atomic.Int32
	p.SystemOf = func(context.Context, string, registry.Host) (string, error) {
		asked.Add(1)
		for n := now.Add(1); ; {
			seen := most.Load()
			if n <= seen || most.CompareAndSwap(seen, n) {
				break
			}
		}
		time.Sleep(time.Millisecond)
		now.Add(-1)
		return "", errors.New("connection refused\nand more")
	}
	got, err := p.Plan(t.Context(), plan.Request{})
	require.NoError(t, err)
	assert.EqualValues(t, 100, asked.Load())
	assert.LessOrEqual(t, most.Load(), int32(16))
	assert.Greater(t, most.Load(), int32(1), "side by side")
	assert.Equal(t, []plan.Warning{{
		Code:    "hostSystemAssumed",
		Message: "the Docker engines of 100 hosts (h000, h001, h002, h003, h004 and 95 more) did not say what runs there (connection refused): assumed x86_64-linux, as this machine",
		Hint:    "start them, or set hosts.h000.system in the registry, or pass system",
	}}, slices.DeleteFunc(got.Warnings, func(w plan.Warning) bool { return w.Code != "hostSystemAssumed" }))
}

// Hosts that never answer do not hold up the plan for longer than this.
func TestHostsHaveSoMuchTime(t *testing.T) {
	r := newHomelab(t)
	p := planner(t, r)
	p.SystemOf = func(ctx context.Context, _ string, _ registry.Host) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		got, err := p.Get(t.Context(), plan.GetRequest{Name: "ha"})
		require.NoError(t, err)
		assert.Equal(t, 30*time.Second, time.Since(start))
		require.Len(t, got.Warnings, 1)
		assert.Equal(t, "the Docker engine of host local did not say what runs there (all hosts together have 30s to answer): assumed x86_64-linux, as this machine", got.Warnings[0].Message)
	})
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

// An input that the flake never had may be anything, so it counts as moved
// whenever the lock file changes.
func TestUnknownInputMovesWithTheLock(t *testing.T) {
	t.Parallel()
	r := withInputs(t)
	text, err := os.ReadFile(r.Path("homelab.json"))
	require.NoError(t, err)
	r.Write("homelab.json", strings.NewReplacer(`["home-manager"]`, `["nowhere"]`, `["agenix"]`, `["agenix/nowhere"]`).Replace(string(text)))
	r.Commit("unknown inputs")
	r.Write("flake.lock", strings.Replace(lock, "UTILS", "x", 1))
	assert.Equal(t, want(`
		grafana rebuild
		  global M flake.lock flake.lock
		ha rebuild
		  input M flake.lock nowhere
		prom rebuild
		  input M flake.lock agenix/nowhere
		warning unknownInput
		warning unknownInput
	`), brief(ask(t, r, plan.Request{})))
}

// Paths of inputs that lead through each other twice at every step end soon.
func TestTangledLock(t *testing.T) {
	t.Parallel()
	inputs, back := []string{}, []string{}
	const deep = 60
	for i := range deep {
		inputs = append(inputs, fmt.Sprintf(`"l%02d": ["l%02d", "s%02d"]`, i, i+1, i+1))
		back = append(back, fmt.Sprintf(`"s%02d": ["l%02d"]`, i+1, i+1))
	}
	inputs = append(inputs, fmt.Sprintf(`"l%02d": "N"`, deep))
	tangled := func(rev string) string {
		return fmt.Sprintf(`{"root": "root", "nodes": {"root": {"inputs": {%s}}, "N": {"inputs": {%s}, "locked": {"rev": %q}}}}`,
			strings.Join(inputs, ","), strings.Join(back, ","), rev)
	}
	r := withInputs(t)
	r.Write("flake.lock", tangled("one"))
	r.Commit("tangled")
	r.Write("flake.lock", tangled("two"))
	assert.NotEmpty(t, ask(t, r, plan.Request{}).InputChanges)
}

// A lock file whose inputs follow themselves is not valid, and no reason to hang.
func TestLockThatFollowsItself(t *testing.T) {
	t.Parallel()
	r := withInputs(t)
	follows := strings.Replace(lock, `"agenix": "agenix"`, `"agenix": ["agenix", "self"]`, 1)
	r.Write("flake.lock", follows)
	got := ask(t, r, plan.Request{})
	assert.Equal(t, []plan.InputChange{{Name: "agenix", Status: "D"}}, got.InputChanges)
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
