package plan_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/gitrepo/gittest"
	"homelab/internal/plan"
	"homelab/registry"
)

// deploying is the registry of the tests with a container for each service.
var deploying = strings.NewReplacer(
	`"hints": ["services/ha"`, `"deploy": {"env": {"TZ": "UTC"}}, "hints": ["services/ha"`,
	`"hints": ["services/prom"`, `"deploy": {}, "hints": ["services/prom"`,
	`"hints": ["services/grafana"`, `"deploy": {}, "hints": ["services/grafana"`,
).Replace(homelab)

func newDeploying(t testing.TB) *gittest.Repo {
	r := newHomelab(t)
	r.Write("homelab.json", deploying)
	r.Commit("deploying")
	return r
}

// record is a ledger for tests.
type record map[string]plan.Deployment

func (l record) deployed(_ context.Context, reg *registry.Registry, services []string) (map[string]plan.Deployment, []plan.Warning, error) {
	found := map[string]plan.Deployment{}
	for _, name := range services {
		if reg.Services[name].Deploy == nil {
			panic(name + " is not deployed")
		}
		if d, known := l[name]; known {
			found[name] = d
		}
	}
	return found, nil, nil
}

// from is a deployment of what is committed.
func from(revision string) plan.Deployment {
	return plan.Deployment{There: true, ID: "c", Revision: revision}
}

// deployEdits is a deployment of the work tree as it is.
func deployEdits(t testing.TB, r *gittest.Repo, service string) plan.Deployment {
	t.Helper()
	o, err := planner(t, r).Order(t.Context(), plan.Request{Services: []string{service}}, "")
	require.NoError(t, err)
	require.Equal(t, plan.StateDirty, o.Plan.Head.State)
	require.NotEmpty(t, o.Edits(service))
	return plan.Deployment{There: true, ID: "c", Revision: o.Plan.Head.Commit, Dirty: true, Edits: o.Edits(service)}
}

// askDeployed asks twice, of both engines, whose answers must be equal.
func (l record) ask(t testing.TB, r *gittest.Repo, request plan.Request) *plan.Plan {
	t.Helper()
	p := planner(t, r)
	p.Deployed = l.deployed
	got, err := p.Plan(t.Context(), request)
	require.NoError(t, err)
	alternates := r.Path(".git/objects/info/alternates")
	require.NoError(t, os.WriteFile(alternates, []byte("# none\n"), 0o644))
	p = planner(t, r)
	p.Deployed = l.deployed
	byGit, err := p.Plan(t.Context(), request)
	require.NoError(t, err)
	require.NoError(t, os.Remove(alternates))
	require.Equal(t, "git", byGit.Engine)
	byGit.Engine = got.Engine
	require.Equal(t, got, byGit, "the engines disagree")
	return got
}

// Each service is compared with what it was deployed from.
func TestDeployedRevisions(t *testing.T) {
	t.Parallel()
	r := newDeploying(t)
	one := r.Rev("HEAD")
	r.Write("services/ha/config.yaml", "edited")
	r.Write("services/grafana/g.ini", "edited")
	r.Commit("two")
	two := r.Rev("HEAD")
	got := record{"ha": from(one), "prom": from(two), "grafana": from(two)}.ask(t, r, plan.Request{})
	assert.Equal(t, want(`
		ha rebuild
		  hint M services/ha/config.yaml services/ha
	`), brief(got))
	assert.Equal(t, &plan.Side{Ref: one, Commit: one, State: plan.StateCommit, Relation: "ancestor", Why: "recorded as deployed"}, got.Services[1].Base)
	assert.Equal(t, "HEAD: no branch with an upstream is checked out", got.Base.Why)
	assert.Nil(t, got.Services[2].Base, "the base of the plan is the same commit")

	// One revision of all is the base of the plan.
	got = record{"ha": from(one), "prom": from(one), "grafana": {}}.ask(t, r, plan.Request{})
	assert.Equal(t, one, got.Base.Commit)
	assert.Equal(t, "recorded as deployed", got.Base.Why)
	assert.Equal(t, 2, got.Changes.Count)
	assert.Equal(t, want(`
		grafana rebuild
		  neverDeployed
		  hint M services/grafana/g.ini services/grafana
		ha rebuild
		  hint M services/ha/config.yaml services/ha
	`), brief(got))

	// Of what nothing is known the base of the plan decides.
	got = record{"ha": from(one)}.ask(t, r, plan.Request{})
	assert.Equal(t, plan.Counts{Total: 3, Rebuild: 1, None: 2}, got.Counts)
	assert.Equal(t, two, got.Base.Commit)

	// What runs is another question than what changed.
	for _, request := range []plan.Request{{Base: "HEAD"}, {Head: "HEAD"}, {Base: "HEAD", MergeBase: true}} {
		got = record{"ha": from(one), "grafana": {}}.ask(t, r, request)
		assert.Equal(t, plan.Counts{Total: 3, None: 3}, got.Counts)
	}
}

// A service has in it what its dependencies were when it was deployed.
func TestDependenciesAsDeployed(t *testing.T) {
	t.Parallel()
	r := newDeploying(t)
	one := r.Rev("HEAD")
	r.Write("services/prom/prometheus.yml", "edited")
	r.Commit("two")
	two := r.Rev("HEAD")
	got := record{"ha": from(two), "prom": from(two), "grafana": from(one)}.ask(t, r, plan.Request{})
	assert.Equal(t, want(`
		grafana rebuild
		  dependency via prom
	`), brief(got), "the dependency was deployed since, without it")
	got = record{"ha": from(two), "prom": from(one), "grafana": from(two)}.ask(t, r, plan.Request{})
	assert.Equal(t, want(`
		prom rebuild
		  hint M services/prom/prometheus.yml services/prom
	`), brief(got), "it was deployed since, with its dependency")
	got = record{"ha": from(two), "prom": {}, "grafana": from(two)}.ask(t, r, plan.Request{})
	assert.Equal(t, want(`
		prom rebuild
		  neverDeployed
	`), brief(got))
}

// What is deployed from where, and how, is a part of the plan's id.
func TestPlanIDOfDeployed(t *testing.T) {
	t.Parallel()
	r := newDeploying(t)
	head := from(r.Rev("HEAD"))
	drifted, again := head, head
	drifted.Drift = true
	again.ID = "d"
	ids := map[string]bool{}
	for _, l := range []record{nil, {"ha": head}, {"ha": drifted}, {"ha": again}, {"ha": {}}, {"prom": head}} {
		ids[l.ask(t, r, plan.Request{}).PlanID] = true
	}
	assert.Len(t, ids, 6)
}

func TestRedeploy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, old, new, want string }{
		{"environment", `"TZ": "UTC"`, `"TZ": "CET"`, `
			ha redeploy
			  registry M homelab.json services.ha
		`},
		{"state", `"deploy": {"env": {"TZ": "UTC"}}`, `"deploy": {"env": {"TZ": "UTC"}}, "state": {"items": [{"volume": "ha"}]}`, `
			ha redeploy
			  registry M homelab.json services.ha
		`},
		{"name of the image", `{"x86_64-linux": "packages.x86_64-linux.prom"}`, `{"x86_64-linux": "packages.x86_64-linux.prom"}, "image": "prom"`, `
			prom redeploy
			  registry M homelab.json services.prom
		`},
		{"target", `packages.x86_64-linux.prom`, `packages.x86_64-linux.other`, `
			grafana rebuild
			  dependency via prom
			prom rebuild
			  registry M homelab.json services.prom
		`},
		{"hints", `"services/ha", `, ``, `
			ha rebuild
			  registry M homelab.json services.ha
		`},
		{"both", `"deploy": {"env": {"TZ": "UTC"}}, "hints": ["services/ha", `, `"deploy": {}, "inputs": [], "hints": ["services/ha", `, `
			ha rebuild
			  registry M homelab.json services.ha
		`},
		{"a name for people", `"aliases": ["home"]`, `"aliases": ["house"], "description": "x"`, ``},
		{"its host", `"hosts": {"pi": {"docker": "unix:///a"}}`, `"hosts": {"pi": {"docker": "unix:///b"}}`, `
			prom redeploy
			  registry M homelab.json hosts.pi
		`},
		{"what its host is for people", `"hosts": {"pi": {"docker": "unix:///a"}}`, `"hosts": {"pi": {"docker": "unix:///a", "description": "x"}}`, ``},
		{"the system of its host", `"hosts": {"pi": {"docker": "unix:///a"}}`, `"hosts": {"pi": {"docker": "unix:///a", "system": "x86_64-linux"}}`, `
			grafana rebuild
			  dependency via prom
			prom rebuild
			  registry M homelab.json hosts.pi
		`},
		{"another host, whose system nobody knows", `"deploy": {"host": "pi"}`, `"deploy": {}`, `
			grafana rebuild
			  dependency via prom
			prom rebuild
			  registry M homelab.json services.prom
		`},
		{"another host of the same system", `"deploy": {"host": "one"}`, `"deploy": {"host": "two"}`, `
			grafana redeploy
			  registry M homelab.json services.grafana
		`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newHomelab(t)
			text := strings.NewReplacer(
				`"services": {`, `"hosts": {"pi": {"docker": "unix:///a"}, "one": {"docker": "unix:///1", "system": "x86_64-linux"}, "two": {"docker": "unix:///2", "system": "x86_64-linux"}}, "services": {`,
				`"deploy": {}, "hints": ["services/prom"`, `"deploy": {"host": "pi"}, "hints": ["services/prom"`,
				`"deploy": {}, "hints": ["services/grafana"`, `"deploy": {"host": "one"}, "hints": ["services/grafana"`,
			).Replace(deploying)
			if strings.HasPrefix(c.old, `"hosts"`) { // as one of three
				c.old, c.new = strings.TrimSuffix(c.old, "}"), strings.TrimSuffix(c.new, "}")
			}
			require.Contains(t, text, c.old)
			r.Write("homelab.json", text)
			r.Commit("hosts")
			r.Write("homelab.json", strings.Replace(text, c.old, c.new, 1))
			assert.Equal(t, want(c.want), brief(ask(t, r, plan.Request{})))
		})
	}
}

// What a registry only says of containers is nothing to a service without one.
func TestNothingToRedeploy(t *testing.T) {
	t.Parallel()
	r := newHomelab(t)
	r.Write("homelab.json", strings.Replace(homelab, `"hints": ["services/prom"]`, `"hints": ["services/prom"], "state": {"items": [{"path": "/srv"}]}`, 1))
	assert.Empty(t, brief(ask(t, r, plan.Request{})))
}

func TestDrift(t *testing.T) {
	t.Parallel()
	r := newDeploying(t)
	head, drifted := from(r.Rev("HEAD")), from(r.Rev("HEAD"))
	drifted.Drift = true
	l := record{"ha": head, "prom": drifted, "grafana": head}
	got := l.ask(t, r, plan.Request{})
	assert.Equal(t, want(`
		prom redeploy
		  drift
	`), brief(got), "what depends on it has the same image")
	assert.Equal(t, plan.Counts{Total: 3, Redeploy: 1, None: 2}, got.Counts)
	assert.True(t, got.Complete)

	r.Write("services/prom/prometheus.yml", "edited")
	assert.Equal(t, want(`
		grafana rebuild
		  dependency via prom
		prom rebuild
		  hint M services/prom/prometheus.yml services/prom
		  drift
	`), brief(l.ask(t, r, plan.Request{})))

	// It cannot be deployed where it cannot be built.
	r.Write("services/prom/prometheus.yml", "services/prom/prometheus.yml\n")
	got = l.ask(t, r, plan.Request{System: "aarch64-linux"})
	assert.Equal(t, plan.Blocked, got.Services[2].Decision)
	assert.Equal(t, "noTarget", got.Services[2].Problem.Code)
}

// Before the first commit everything is an edit.
func TestDeployedBeforeTheFirstCommit(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	r.Write("homelab.json", deploying)
	for _, path := range []string{"services/ha/config.yaml", "services/ha/docs/README.md", "services/prom/x", "services/grafana/x", "lib/oci.nix", "shared/a.nix"} {
		r.Write(path, "x")
	}
	r.Git("add", "-A")
	l := record{}
	for _, name := range []string{"ha", "prom", "grafana"} {
		l[name] = deployEdits(t, r, name)
		assert.Empty(t, l[name].Revision)
	}
	assert.Empty(t, brief(l.ask(t, r, plan.Request{})))
	r.Commit("one")
	assert.Empty(t, brief(l.ask(t, r, plan.Request{})))
	r.Write("services/prom/x", "edited")
	got := l.ask(t, r, plan.Request{})
	assert.Equal(t, []plan.Decision{plan.Rebuild, plan.None, plan.Rebuild}, []plan.Decision{got.Services[0].Decision, got.Services[1].Decision, got.Services[2].Decision})
}

// Without what it was deployed from nothing can be told of a service.
func TestDeployedFromWhatIsNotHere(t *testing.T) {
	t.Parallel()
	r := newDeploying(t)
	head := from(r.Rev("HEAD"))
	lost := strings.Repeat("1", 40)
	for _, revision := range []string{lost, "", "v1", "--all", strings.Repeat("z", 40)} {
		got := record{"ha": from(revision), "prom": head, "grafana": head}.ask(t, r, plan.Request{})
		assert.Equal(t, want(`
			ha unknown
			  baseMissing
			  ! baseMissing
			warning baseMissing
		`), brief(got), revision)
		assert.Contains(t, got.Services[1].Problem.Message, "ha")
		assert.False(t, got.Complete)
	}
	got := record{"ha": from(""), "prom": from(""), "grafana": from("")}.ask(t, r, plan.Request{})
	assert.Equal(t, plan.Counts{Total: 3, Unknown: 3}, got.Counts)
}

// Services that are not deployed are asked about by nobody.
func TestNothingDeployed(t *testing.T) {
	t.Parallel()
	r := newHomelab(t)
	p := planner(t, r)
	p.Deployed = func(context.Context, *registry.Registry, []string) (map[string]plan.Deployment, []plan.Warning, error) {
		t.Error("asked what is deployed")
		return nil, nil, nil
	}
	edit(r)
	got, err := p.Plan(t.Context(), plan.Request{})
	require.NoError(t, err)
	assert.Equal(t, want(haEdited), brief(got))
}

// In mode exact what runs is compared, by the output that is on record: with edits
// that were deployed and are gone the commit would tell nothing.
func TestExactlyDeployed(t *testing.T) {
	t.Parallel()
	const config = "services/ha/config.yaml"
	r, n, p := newContent(t, deploying)
	outOf := func(service int) string {
		got, err := p.Plan(t.Context(), plan.Request{Mode: plan.Exact, Base: "HEAD"})
		require.NoError(t, err)
		return got.Services[service].Out.New
	}
	committed := outOf(1)
	r.Write(config, "edited")
	edited := outOf(1)
	require.NotEqual(t, committed, edited)
	head := from(r.Rev("HEAD"))
	with := func(d plan.Deployment, out string) plan.Deployment {
		d.Out = out
		return d
	}
	prom, grafana := with(head, outOf(2)), with(head, outOf(0))
	ask := func(ha plan.Deployment, mode plan.Mode) string {
		p.Deployed = record{"ha": ha, "prom": prom, "grafana": grafana}.deployed
		got, err := p.Plan(t.Context(), plan.Request{Mode: mode})
		require.NoError(t, err)
		return decisions(got)
	}
	dirty := with(head, edited)
	dirty.Dirty = true
	n.evals = nil
	assert.Empty(t, ask(dirty, plan.Exact))
	lost := dirty
	lost.Revision = strings.Repeat("1", 40)
	assert.Equal(t, "warning baseMissing\n", ask(lost, plan.Exact), "the output says it all")
	assert.Empty(t, n.evals, "only the head counts, and that is known")
	drifted := dirty
	drifted.Drift = true
	assert.Equal(t, "ha redeploy\n  drift\n", ask(drifted, plan.Exact))
	assert.Equal(t, want(`
		ha rebuild
		  output
		  hint M services/ha/config.yaml services/ha
	`), ask(with(head, committed), plan.Exact))
	assert.Equal(t, want(`
		ha rebuild
		  hint M services/ha/config.yaml services/ha
	`), ask(with(dirty, ""), plan.Exact), "by hints, when no output is on record")
	r.Write(config, config+"\n")
	assert.Equal(t, "ha rebuild\n  output\n", ask(dirty, plan.Exact), "taken back")
	assert.Empty(t, ask(dirty, plan.Audit), "an audit is of what changed")
}
