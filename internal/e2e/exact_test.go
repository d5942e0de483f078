package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/command"
	"homelab/internal/fault"
	"homelab/internal/plan"
)

// decided are the services of a plan by decision.
func decided(p plan.Plan, d plan.Decision) []string {
	names := []string{}
	for _, s := range p.Services {
		if s.Decision == d {
			names = append(names, s.Name)
		}
	}
	return names
}

// counted is the lab with a log of every process of Nix.
func (l *lab) counted() (*lab, func() []string) {
	l.t.Helper()
	folder := l.t.TempDir() // two run at the same time: each has a file
	scripts := map[string]string{}
	for _, name := range []string{"nix", "nix-store"} {
		program := command.Look(name)
		require.NotEmpty(l.t, program)
		scripts[name] = `echo "` + name + ` $*" >` + folder + `/$$; exec ` + program + ` "$@"`
	}
	return l.path(scripts), func() []string {
		ran := []string{}
		files, err := filepath.Glob(filepath.Join(folder, "*"))
		require.NoError(l.t, err)
		for _, file := range files {
			ran = append(ran, readFile(l.t, file))
			require.NoError(l.t, os.Remove(file))
		}
		return ran
	}
}

// The truth is what Nix would build, whatever hints say.
func TestExactPlans(t *testing.T) {
	t.Parallel()
	l := newLab(t).building()
	all := []string{"grafana", "home-assistant", "prometheus"}
	exact := func() plan.Plan { return l.plan("--mode", "exact") }
	assert.Empty(t, decided(exact(), plan.Rebuild))

	l.edit("services/home-assistant/README.md")
	assert.Empty(t, decided(exact(), plan.Rebuild), "excluded")
	l.commit()

	l.edit("modules/oci/default.nix")
	assert.Equal(t, all, decided(l.plan(), plan.Rebuild), "by hints")
	p := exact()
	assert.Equal(t, all, decided(p, plan.None), "a comment changes no output")
	assert.Equal(t, p.Services[0].Out.Old, p.Services[0].Out.New)
	f := l.plan("--mode", "audit").Audit
	require.Len(t, f.OverWide, 3)
	assert.Equal(t, plan.OverWide{Service: "grafana", Hints: []string{"modules/oci"}, Paths: []plan.Path{"modules/oci/default.nix"}, Count: 1}, f.OverWide[0])
	l.commit()

	l.edit("modules/oci/build.sh")
	p = exact()
	assert.Equal(t, all, decided(p, plan.Rebuild), "the builder of all of them")
	assert.NotEqual(t, p.Services[0].Out.Old, p.Services[0].Out.New)
	l.commit()

	l.edit(metrics)
	assert.Equal(t, []string{"prometheus"}, decided(exact(), plan.Rebuild), "an image does not have its dependencies in it")
	assert.Equal(t, []plan.OverWide{{Service: "grafana", Hints: []string{}, Paths: []plan.Path{}, Via: []string{"prometheus"}}},
		l.plan("--mode", "audit").Audit.OverWide)
	report, exit := l.build("prometheus")
	require.Zero(t, exit)
	assert.Equal(t, exact().Services[2].Out.New, report.Services[0].Out)
	l.commit()

	l.git("mv", "services/grafana", "services/boards")
	l.replace("flake.nix", "./services/grafana", "./services/boards")
	assert.Equal(t, all, decided(l.plan(), plan.Rebuild), "by hints")
	assert.Empty(t, decided(exact(), plan.Rebuild), "the same content under another name")
	assert.Equal(t, []string{"prometheus"}, decided(l.plan("--mode", "exact", "--base", "HEAD~1", "--head", "HEAD"), plan.Rebuild))
}

// One process for each side, and none for what is known.
func TestExactProcesses(t *testing.T) {
	t.Parallel()
	lab := newLab(t).building()
	l, ran := lab.counted()
	l.edit(metrics)
	l.plan()
	ran()
	first := l.plan("--mode", "exact")
	log := ran()
	require.Len(t, log, 2, "%q", log)
	assert.NotEqual(t, strings.Contains(log[0], "rev="), strings.Contains(log[1], "rev="))

	start := time.Now()
	assert.Equal(t, first, l.plan("--mode", "exact"))
	t.Logf("a second exact plan: %v", time.Since(start))
	assert.Empty(t, ran())

	l.edit(metrics)
	l.plan("--mode", "exact")
	for _, line := range ran() {
		assert.NotContains(t, line, "rev=", "the base is known")
	}
}

// Every finding of an audit, and the patch that mends it.
func TestExactAudit(t *testing.T) {
	t.Parallel()
	l := newLab(t).building()
	l.write("dashboards/house/rooms.json", "{}\n")
	l.write("dashboards/house/run.sh", "exit\n")
	require.NoError(t, os.Chmod(filepath.Join(l.dir, "dashboards/house/run.sh"), 0o755))
	l.write("motd.txt", "hello\n")
	l.write("flake.nix", strings.NewReplacer(
		"homelab-grafana-oci = import ./services/grafana { inherit oci; };",
		`homelab-grafana-oci = derivation { name = "grafana"; inherit (import ./services/grafana { inherit oci; }) system builder; house = ./dashboards/house; };`,
		"homelab-prometheus-oci = import ./services/prometheus { inherit oci; };",
		`homelab-prometheus-oci = derivation { name = "prometheus"; inherit (import ./services/prometheus { inherit oci; }) system builder; motd = builtins.path { name = "welcome"; path = ./motd.txt; }; };`,
		"homelab-ha-oci = import ./services/home-assistant { inherit oci; };",
		`homelab-ha-oci = derivation { name = "ha"; inherit (import ./services/home-assistant { inherit oci; }) system builder; src = ./.; };`,
	).Replace(l.read("flake.nix")))
	evaluated := l.run("nix", "--extra-experimental-features", "nix-command flakes", "eval", "--json", ".#homelab")
	var indented bytes.Buffer
	require.NoError(t, json.Indent(&indented, evaluated.Stdout, "", "  "), "%s", evaluated.Stderr)
	l.write("homelab.json", indented.String())
	l.commit()

	l.write("dashboards/house/rooms.json", "[]\n")
	l.write("motd.txt", "good morning\n")
	want := []plan.Missing{
		{Service: "grafana", Causes: []plan.Path{"dashboards/house"}, Candidates: []plan.Path{}, Hints: []string{"dashboards/house"}},
		{Service: "home-assistant", Causes: []plan.Path{"."}, Candidates: []plan.Path{}, Hints: []string{}},
		{Service: "prometheus", Causes: []plan.Path{"motd.txt"}, Candidates: []plan.Path{}, Hints: []string{"motd.txt"}},
	}
	f := l.plan("--mode", "audit").Audit
	assert.Equal(t, want, f.Missing)
	require.Len(t, f.WholeFlake, 1)
	assert.Equal(t, "home-assistant", f.WholeFlake[0].Service)
	assert.Regexp(t, "^/nix/store/.*-source$", f.WholeFlake[0].Source)
	assert.Equal(t, &plan.Patch{Format: "nix", Text: "# add to these lists of flake .#homelab\n" +
		"services.grafana.hints = [ \"dashboards/house\" ];\nservices.prometheus.hints = [ \"motd.txt\" ];\n"}, f.Patch)
	l.commit()

	byFile := l.with("HOMELAB_REGISTRY=homelab.json")
	f = byFile.plan("--mode", "audit", "--base", "HEAD~1", "--head", "HEAD").Audit
	assert.Equal(t, want, f.Missing)
	require.Equal(t, "diff", f.Patch.Format)
	file := filepath.Join(t.TempDir(), "patch")
	require.NoError(t, os.WriteFile(file, []byte(f.Patch.Text), 0o644))
	l.git("apply", file)
	f = byFile.plan("--mode", "audit", "--base", "HEAD~1").Audit
	require.Len(t, f.Missing, 1)
	assert.Equal(t, "home-assistant", f.Missing[0].Service)

	var check plan.Check
	require.NoError(t, json.Unmarshal(l.json("registry", "check", "--evaluate"), &check))
	assert.Len(t, check.WholeFlake, 2, "for both systems")
	assert.Empty(t, check.MissingAttributes)
	l.replace("registry.nix", `targets "homelab-ha-oci"`, `targets "homelab-haa-oci"`)
	require.NoError(t, json.Unmarshal(l.json("registry", "check", "--evaluate"), &check))
	require.Len(t, check.MissingAttributes, 2)
	assert.Equal(t, "packages.aarch64-linux.homelab-haa-oci", check.MissingAttributes[0].Attr)
	assert.Contains(t, check.MissingAttributes[0].Hint, "homelab-ha-oci")
}

// Of a commit Nix leaves an empty folder for a submodule, of edits only the
// folder above it.
func TestExactAuditWithSubmodule(t *testing.T) {
	t.Parallel()
	l := newLab(t).building()
	l.replace("flake.nix", "homelab-ha-oci = import ./services/home-assistant { inherit oci; };",
		`homelab-ha-oci = derivation { name = "ha"; inherit (import ./services/home-assistant { inherit oci; }) system builder; src = ./.; };`)
	require.NoError(t, os.MkdirAll(filepath.Join(l.dir, "vendor/sub"), 0o755))
	l.git("update-index", "--add", "--cacheinfo", "160000,"+l.git("rev-parse", "HEAD")+",vendor/sub")
	l.commit()
	l.write("motd.txt", "hello\n")
	l.commit()
	want := []plan.Missing{{Service: "home-assistant", Causes: []plan.Path{"."}, Candidates: []plan.Path{}, Hints: []string{}}}
	for _, args := range [][]string{{"--base", "HEAD~1"}, {"--base", "HEAD~1", "--head", "HEAD"}} {
		f := l.plan(append(args, "--mode", "audit")...).Audit
		assert.Equal(t, want, f.Missing, "%q", args)
		assert.Len(t, f.WholeFlake, 1, "%q", args)
		assert.Nil(t, f.Patch, "%q", args)
	}
	var check plan.Check
	require.NoError(t, json.Unmarshal(l.json("registry", "check", "--evaluate"), &check))
	assert.Len(t, check.WholeFlake, 2, "for both systems")
	l.write("motd.txt", "good morning\n")
	f := l.plan("--mode", "audit").Audit
	assert.Equal(t, want, f.Missing)
	assert.Len(t, f.WholeFlake, 1)
}

// What does not evaluate is unknown, with the error; a flake that does not
// evaluate is an error at the head, and a warning at the base.
func TestExactFaults(t *testing.T) {
	t.Parallel()
	l := newLab(t).building()
	l.write("services/grafana/default.nix", `_: throw "not today"`)
	l.edit(metrics)
	p := l.plan("--mode", "exact")
	assert.False(t, p.Complete)
	assert.Equal(t, []string{"grafana"}, decided(p, plan.Unknown))
	assert.Equal(t, []string{"prometheus"}, decided(p, plan.Rebuild))
	assert.Contains(t, p.Services[0].Problem.Message, "not today")
	assert.NotEmpty(t, p.Services[0].Problem.Hint)
	l.git("checkout", "--quiet", ".")

	good := l.read("flake.nix")
	byFile := func() *lab {
		evaluated := l.run("nix", "--extra-experimental-features", "nix-command flakes", "eval", "--json", ".#homelab")
		require.Zero(t, evaluated.Exit, "%s", evaluated.Stderr)
		l.write("homelab.json", string(evaluated.Stdout))
		return l.with("HOMELAB_REGISTRY=homelab.json")
	}()
	l.write("flake.nix", "{ outputs = _: { ")
	failed := byFile.fails("plan", "--mode", "exact")
	assert.Equal(t, string(fault.EvalFailed), failed.Code)
	assert.Equal(t, 10, failed.Exit)
	l.commit()
	l.write("flake.nix", good)
	p = byFile.plan("--mode", "exact")
	assert.Len(t, decided(p, plan.Unknown), 3)
	assert.Equal(t, "baseEvalFailed", p.Services[0].Problem.Code)
	assert.Equal(t, "baseEvalFailed", p.Warnings[len(p.Warnings)-1].Code)

	git := command.Look("git")
	bin := t.TempDir()
	require.NoError(t, os.Symlink(git, filepath.Join(bin, "git")))
	failed = byFile.with("PATH="+bin).fails("plan", "--mode", "exact")
	assert.Equal(t, string(fault.Precondition), failed.Code)
	assert.Contains(t, failed.Hint, "install Nix")
}
