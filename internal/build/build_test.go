package build_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/build"
	"homelab/internal/fault"
	"homelab/internal/plan"
	"homelab/registry"
)

func TestBuild(t *testing.T) {
	t.Parallel()
	l := newLab(t, "fails", "fetched", "good", "odd", "throws")
	report := l.want(build.Request{MaxJobs: 1})
	assert.Equal(t, []string{"fails failed", "fetched fetched", "good built", "odd failed", "throws failed"}, brief(report))
	assert.Equal(t, build.Counts{Total: 5, Built: 1, Fetched: 1, Failed: 3}, report.Counts)
	assert.Equal(t, "failed", report.State)
	assert.Equal(t, fault.BuildFailed, report.Code())

	fails, good, odd, throws := report.Services[0], report.Services[2], report.Services[3], report.Services[4]
	assert.Equal(t, &build.Problem{
		Code: fault.BuildFailed, Kind: "builderFailed", Message: "the builder failed", Hint: "read the log", Drv: "dependency.drv", Exit: 3, Tail: []string{"this is fails"},
	}, fails.Problem)
	log, err := os.ReadFile(fails.Log)
	require.NoError(t, err)
	assert.Equal(t, "this is fails\n", string(log))
	assert.Empty(t, fails.Root)

	assert.Equal(t, &build.Artifact{Kind: "stream", Name: "homelab/good", Tag: "v1", Size: 10, NarHash: "sha256-good-v0", NarSize: 120}, good.Artifact)
	link, err := os.Readlink(good.Root)
	require.NoError(t, err)
	assert.Equal(t, good.Out, link)
	assert.Equal(t, fault.Precondition, odd.Problem.Code, "what is no image cannot be deployed")
	assert.Equal(t, "it throws (at flake.nix:3:1)", throws.Problem.Message)

	assert.Equal(t, []plan.Warning{{Code: "nix", Message: "the cache is down", Hint: "see the log of the service"}}, report.Warnings, "once")
	assert.Equal(t, "0/0 evaluating", l.said[0])
	assert.Contains(t, l.said, "0/4 building fails", "the one that throws is not to be built")
	assert.Contains(t, l.said, "1/4 fails ended")

	again := l.want(build.Request{MaxJobs: 1})
	assert.Equal(t, []string{"fails failed", "fetched cached", "good cached", "odd failed", "throws failed"}, brief(again))
	assert.Equal(t, good.Artifact, again.Services[2].Artifact)
	assert.Equal(t, []string{"fails", "fetched", "good", "odd", "throws", "throws"}, l.nix.evaluated, "what evaluated is remembered, failures are not")
}

func TestNothingToBuild(t *testing.T) {
	t.Parallel()
	l := newLab(t, "a", "b")
	l.r.Commit("two")
	report := l.want(build.Request{})
	assert.Equal(t, "succeeded", report.State)
	assert.Empty(t, report.Services)
	assert.NotNil(t, report.Services)
	assert.Empty(t, l.nix.evaluated)
	assert.Equal(t, []string{"b built"}, brief(l.want(build.Request{Services: []string{"b"}})), "what is asked for is built all the same")
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	l := newLab(t, "a", "b", "throws")
	l.want(build.Request{Services: []string{"a"}})
	report := l.want(build.Request{DryRun: true})
	assert.Equal(t, []string{"a cached", "b pending", "throws failed"}, brief(report))
	assert.True(t, report.DryRun)
	assert.Equal(t, []string{"a"}, l.nix.built)
}

func TestStopsAtTheFirstFailure(t *testing.T) {
	t.Parallel()
	no := false
	l := newLab(t, "afails", "fails", "z")
	assert.Equal(t, []string{"afails built", "fails failed", "z skipped"}, brief(l.want(build.Request{MaxJobs: 1, KeepGoing: &no})))
	assert.NotContains(t, l.nix.built, "z")

	l = newLab(t, "a", "cached", "throws")
	l.want(build.Request{Services: []string{"cached"}})
	report := l.want(build.Request{KeepGoing: &no})
	assert.Equal(t, []string{"a skipped", "cached cached", "throws failed"}, brief(report))
	assert.Equal(t, "another service failed", report.Services[0].Problem.Message)
	assert.NotNil(t, report.Services[1].Artifact)
	assert.Equal(t, []string{"cached"}, l.nix.built)
}

// What was built before a build is canceled is kept, and told.
func TestCanceled(t *testing.T) {
	t.Parallel()
	l := newLab(t, "a", "hangs", "z")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { <-l.nix.hang; cancel() }()
	report, err := l.build(ctx, build.Request{MaxJobs: 1})
	assert.Equal(t, fault.Canceled, fault.CodeOf(err))
	require.NotNil(t, report)
	assert.Equal(t, "canceled", report.State)
	assert.Equal(t, []string{"a built", "hangs skipped", "z skipped"}, brief(report))
	assert.Equal(t, []string{"a cached"}, brief(l.want(build.Request{Services: []string{"a"}})))
}

// The last lines of many failures are bounded together.
func TestTailsAreBounded(t *testing.T) {
	t.Parallel()
	attrs := []string{}
	for i := range 40 {
		attrs = append(attrs, fmt.Sprintf("fails%02d", i))
	}
	l := newLab(t, attrs...)
	l.nix.tail = slices.Repeat([]string{strings.Repeat("x", 400)}, 25)
	report := l.want(build.Request{})
	total := 0
	for _, s := range report.Services {
		assert.NotEmpty(t, s.Problem.Tail)
		for _, line := range s.Problem.Tail {
			total += len(line)
		}
	}
	assert.Len(t, report.Services[0].Problem.Tail, 25)
	assert.LessOrEqual(t, total, 64<<10+40*400)
}

// What keeps all from evaluating is an error, and the record says what was not
// reached.
func TestNothingEvaluates(t *testing.T) {
	t.Parallel()
	l := newLab(t, "a")
	l.nix.fail = fault.New(fault.EvalFailed, "syntax error", "mend it")
	report, err := l.build(t.Context(), build.Request{})
	assert.Equal(t, fault.EvalFailed, fault.CodeOf(err))
	assert.Equal(t, "failed", report.State)
	assert.Equal(t, "the build ended before it was reached", report.Services[0].Problem.Message)
}

// An image in a store on another machine is built, but cannot be read.
func TestStoreElsewhere(t *testing.T) {
	t.Parallel()
	l := newLab(t, "a", "b")
	l.nix.remote = true
	report := l.want(build.Request{})
	assert.Equal(t, []string{"a built", "b built"}, brief(report))
	assert.Nil(t, report.Services[0].Artifact)
	assert.Equal(t, "storeElsewhere", report.Warnings[len(report.Warnings)-1].Code)
}

// What is only to be deployed again has nothing to build, and what was not committed
// is told of what is built.
func TestRedeployBuildsNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t, "web", "db")
	l.r.Commit("two")
	head := l.r.Rev("HEAD")
	deploying := `{"version": 1, "services": {
		"db": {"build": {"targets": {"x86_64-linux": "db"}}, "hints": ["db"], "deploy": {"env": {"TZ": "UTC"}}},
		"web": {"build": {"targets": {"x86_64-linux": "web"}}, "hints": ["web"], "deploy": {}}}}`
	l.r.Write("homelab.json", deploying)
	l.r.Commit("three")
	l.planner.Deployed = func(_ context.Context, _ *registry.Registry, services []string) (map[string]plan.Deployment, []plan.Warning, error) {
		found := map[string]plan.Deployment{}
		for _, name := range services {
			found[name] = plan.Deployment{There: true, Revision: head, Drift: name == "db"}
		}
		return found, nil, nil
	}
	l.r.Write("web/file", "edited")
	order, err := l.planner.Order(t.Context(), plan.Request{}, "")
	require.NoError(t, err)
	assert.Equal(t, plan.Redeploy, order.Plan.Services[0].Decision)
	assert.Equal(t, []string{"web"}, build.Services(order))
	report := l.want(build.Request{})
	assert.Equal(t, []string{"web built"}, brief(report))
	assert.Equal(t, order.Edits("web"), report.Services[0].Edits)
	assert.Len(t, report.Services[0].Edits, 32)
	l.r.Commit("four")
	assert.Empty(t, l.want(build.Request{}).Services[0].Edits)
}
