package build_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/build"
	"homelab/internal/fault"
	"homelab/internal/gitrepo"
	"homelab/internal/gitrepo/gittest"
	"homelab/internal/plan"
)

func TestMain(m *testing.M) {
	gittest.Hermetic()
	os.Exit(m.Run())
}

// fakeNix evaluates NAME to NAME.drv, with an output in a folder of its own, and
// builds it by writing a program there. It plays both parts of Nix.
type fakeNix struct {
	plan.Evaluator // what is not asked here

	dir       string
	version   int           // of everything
	hang      chan struct{} // closed when a builder hangs
	remote    bool          // the store is on another machine
	edit      func()        // what somebody does while it evaluates
	fail      error         // of every evaluation
	tail      []string      // of every builder that fails; nil: one line
	hash      string        // of everything; empty: its name
	vanishing string        // collected as garbage when a root is made for it

	mu          sync.Mutex
	evaluated   []string
	evaluations int
	built       []string
	collected   map[string]bool // derivations that garbage collection took
}

func (n *fakeNix) Available(context.Context) error { return nil }
func (n *fakeNix) Identity() string                { return "fake" }
func (n *fakeNix) GitRef(_, commit, _ string) string {
	return "flake?" + commit
}

func (n *fakeNix) out(attr string) string {
	return filepath.Join(n.dir, fmt.Sprintf("%s-v%d", attr, n.version))
}

func (n *fakeNix) Targets(_ context.Context, _ string, attrs []string) (map[string]plan.Evaluated, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.evaluated = append(n.evaluated, attrs...)
	n.evaluations++
	if n.edit != nil {
		n.edit()
	}
	n.collected = map[string]bool{}
	if n.fail != nil {
		return nil, n.fail
	}
	found := map[string]plan.Evaluated{}
	for _, attr := range attrs {
		if strings.HasPrefix(attr, "throws") {
			found[attr] = plan.Evaluated{Err: fault.New(fault.EvalFailed, "it throws (at flake.nix:3:1)", "mend it")}
			continue
		}
		found[attr] = plan.Evaluated{Drv: attr + ".drv", Out: n.out(attr), Output: "out", System: "x86_64-linux", ImageName: "homelab/" + attr, ImageTag: "v1", Executable: true}
	}
	return found, nil
}

func (n *fakeNix) Valid(_ context.Context, paths []string) ([]string, error) {
	return slices.DeleteFunc(slices.Clone(paths), func(path string) bool {
		_, err := os.Stat(path)
		return err == nil || strings.HasSuffix(path, ".drv") && !n.collected[path]
	}), nil
}

func (n *fakeNix) File(storePath string) string {
	if n.remote {
		return ""
	}
	return storePath
}

func (n *fakeNix) Hashes(_ context.Context, paths []string) (map[string]build.PathInfo, error) {
	infos := map[string]build.PathInfo{}
	for _, path := range paths {
		infos[path] = build.PathInfo{NarHash: "sha256-" + cmp.Or(n.hash, filepath.Base(path)), NarSize: 120}
	}
	return infos, nil
}

func (n *fakeNix) AddRoot(_ context.Context, path, link string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if filepath.Base(path) == n.vanishing {
		n.vanishing = ""
		return errors.Join(os.Remove(path), fault.New(fault.NotFound, "it is not there", "build it first"))
	}
	_ = os.Remove(link)
	return os.Symlink(path, link)
}

func (n *fakeNix) Realise(ctx context.Context, asked []build.Realisation, how build.How) ([]build.Realised, error) {
	done := make([]build.Realised, len(asked))
	for i, r := range asked {
		if done[i] = n.realise(ctx, r, how); done[i].Err == nil && ctx.Err() == nil {
			continue
		}
		if ctx.Err() != nil || how.FailFast {
			for rest := i + 1; rest < len(asked); rest++ {
				done[rest].Skipped = true
			}
			done[i].Skipped = ctx.Err() != nil
			return done, ctx.Err()
		}
	}
	return done, nil
}

func (n *fakeNix) realise(ctx context.Context, r build.Realisation, how build.How) build.Realised {
	attr := strings.TrimSuffix(r.Drv, ".drv")
	n.built = append(n.built, attr)
	how.Step(build.Step{Drv: r.Drv, Name: attr})
	defer how.Step(build.Step{Drv: r.Drv, Name: attr, Ended: true})
	how.Warn("the cache is down")
	fmt.Fprintf(r.Log, "this is %s\n", attr)
	content, tail := "#!/bin/sh\n", n.tail
	if tail == nil {
		tail = []string{"this is " + attr}
	}
	switch {
	case n.collected[r.Drv]:
		return build.Realised{Err: fault.New(fault.Precondition, "no such derivation", "build again")}
	case strings.HasPrefix(attr, "fails"):
		return build.Realised{Err: &build.Failure{
			Err: fault.New(fault.BuildFailed, "the builder failed", "read the log"), Kind: "builderFailed", Drv: "dependency.drv", Exit: 3, Tail: tail,
		}}
	case strings.HasPrefix(attr, "hangs"):
		close(n.hang)
		<-ctx.Done()
		return build.Realised{}
	case strings.HasPrefix(attr, "odd"):
		content = "no image"
	}
	err := os.WriteFile(n.out(attr), []byte(content), 0o755)
	if err == nil {
		err = n.AddRoot(ctx, n.out(attr), r.Root)
	}
	return build.Realised{Built: !strings.HasPrefix(attr, "fetched"), Fetched: strings.HasPrefix(attr, "fetched"), Err: err}
}

// lab is a repository with a service for each attribute, all of them edited.
type lab struct {
	t       *testing.T
	r       *gittest.Repo
	nix     *fakeNix
	planner *plan.Planner
	builder *build.Builder
	logs    string
	said    []string
}

func newLab(t *testing.T, attrs ...string) *lab {
	t.Helper()
	l := &lab{t: t, r: gittest.New(t), nix: &fakeNix{dir: t.TempDir(), hang: make(chan struct{})}, logs: t.TempDir()}
	l.write(attrs...)
	for _, attr := range attrs {
		l.r.Write(attr+"/file", "old")
	}
	l.r.Commit("one")
	for _, attr := range attrs {
		l.r.Write(attr+"/file", "new")
	}
	repo, err := gitrepo.Open(t.Context(), l.r.Dir)
	require.NoError(t, err)
	l.planner = &plan.Planner{Repo: repo, Source: &plan.Source{Root: l.r.Dir, Nix: l.nix, CacheDir: t.TempDir()}, Machine: "x86_64-linux"}
	l.builder = &build.Builder{Nix: l.nix, Roots: filepath.Join(t.TempDir(), "roots"), Cache: t.TempDir()}
	return l
}

func (l *lab) write(attrs ...string) {
	services := []string{}
	for _, attr := range attrs {
		services = append(services, fmt.Sprintf(`%q: {"build": {"targets": {"x86_64-linux": %q}}, "hints": [%q]}`, attr, attr, attr))
	}
	l.r.Write("homelab.json", `{"version": 1, "services": {`+strings.Join(services, ",")+`}}`)
}

func (l *lab) build(ctx context.Context, r build.Request) (*build.Report, error) {
	l.t.Helper()
	order, err := l.planner.Order(ctx, r.Plan(), r.PlanID)
	if err != nil {
		return nil, err
	}
	return l.builder.Build(ctx, order, r, build.Watch{Logs: l.logs, Report: func(done, total int, message string) {
		l.said = append(l.said, fmt.Sprintf("%d/%d %s", done, total, message))
	}})
}

func (l *lab) want(r build.Request) *build.Report {
	l.t.Helper()
	report, err := l.build(l.t.Context(), r)
	require.NoError(l.t, err)
	return report
}

// brief is NAME STATUS for each service.
func brief(r *build.Report) []string {
	lines := []string{}
	for _, s := range r.Services {
		lines = append(lines, s.Name+" "+string(s.Status))
	}
	return lines
}

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
	assert.Contains(t, l.said, "1/4 fails finished")

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

// A plan that is not what there is to do any more is not carried out.
func TestPlanThatMoved(t *testing.T) {
	t.Parallel()
	l := newLab(t, "a", "b")
	first, err := l.planner.Plan(t.Context(), plan.Request{})
	require.NoError(t, err)
	assert.Equal(t, first.PlanID, l.want(build.Request{PlanID: first.PlanID, DryRun: true}).PlanID)
	l.r.Write("a/file", "newer")
	_, err = l.build(t.Context(), build.Request{PlanID: first.PlanID})
	assert.Equal(t, fault.Conflict, fault.CodeOf(err))
	assert.Empty(t, l.nix.built)
}

// A derivation that was remembered may have been collected as garbage.
func TestCollectedDerivation(t *testing.T) {
	t.Parallel()
	l := newLab(t, "a", "b", "c")
	l.want(build.Request{DryRun: true})
	l.nix.collected = map[string]bool{"a.drv": true, "b.drv": true}
	l.nix.evaluations = 0
	assert.Equal(t, []string{"a built", "b built", "c built"}, brief(l.want(build.Request{})))
	assert.Equal(t, []string{"a", "b", "c", "a", "b"}, l.nix.evaluated)
	assert.Equal(t, 1, l.nix.evaluations, "all that are gone at once")
}

// The last three artifacts of a service are kept; those of what is no service
// any more for a while.
func TestRoots(t *testing.T) {
	t.Parallel()
	l := newLab(t, "a", "b")
	l.want(build.Request{})
	for version := 1; version < 5; version++ {
		l.nix.version = version
		l.r.Write("a/file", fmt.Sprint(version))
		l.want(build.Request{Services: []string{"a"}})
	}
	l.nix.version = 2
	l.r.Write("a/file", "2")
	assert.Equal(t, []string{"a cached"}, brief(l.want(build.Request{Services: []string{"a"}})), "an older one once more")
	l.nix.version = 5
	l.r.Write("a/file", "5")
	l.write("a")
	l.want(build.Request{Services: []string{"a"}})
	assert.Equal(t, []string{"a/a-v2", "a/a-v4", "a/a-v5", "b/b-v0"}, l.roots())

	old := time.Now().Add(-31 * 24 * time.Hour)
	require.NoError(t, os.Chtimes(filepath.Join(l.builder.Roots, "b"), old, old))
	require.NoError(t, os.Chtimes(filepath.Join(l.builder.Roots, "a"), old, old))
	l.want(build.Request{Services: []string{"a"}})
	assert.Equal(t, []string{"a/a-v2", "a/a-v4", "a/a-v5"}, l.roots())
}

// roots are the links, as SERVICE/NAME.
func (l *lab) roots() []string {
	kept, err := filepath.Glob(filepath.Join(l.builder.Roots, "*", "*"))
	require.NoError(l.t, err)
	for i := range kept {
		kept[i], err = filepath.Rel(l.builder.Roots, kept[i])
		require.NoError(l.t, err)
	}
	return kept
}

// What is no image takes no place of one that is.
func TestRootsOfWhatIsNoImage(t *testing.T) {
	t.Parallel()
	l := newLab(t, "odd")
	for version := range 4 {
		l.nix.version = version
		l.r.Write("odd/file", fmt.Sprint(version))
		report := l.want(build.Request{})
		assert.Equal(t, []string{"odd failed"}, brief(report))
		assert.Empty(t, report.Services[0].Root)
	}
	assert.Empty(t, l.roots())
}

// A store path may be built anew with other bytes, and a link may lead out of
// the store: the answer tells what is there.
func TestEvidenceIsOfWhatIsThere(t *testing.T) {
	t.Parallel()
	l := newLab(t, "a")
	l.want(build.Request{})
	require.NoError(t, os.WriteFile(l.nix.out("a"), []byte("#!/bin/sh\nother\n"), 0o755))
	l.nix.hash = "other"
	assert.EqualValues(t, 16, l.want(build.Request{}).Services[0].Artifact.Size)

	outside := filepath.Join(t.TempDir(), "outside")
	require.NoError(t, os.WriteFile(outside, []byte("#!/bin/sh\n"), 0o755))
	require.NoError(t, os.Remove(l.nix.out("a")))
	require.NoError(t, os.Symlink(outside, l.nix.out("a")))
	l.nix.hash = "link"
	report := l.want(build.Request{})
	assert.Equal(t, []string{"a failed"}, brief(report))
	assert.Contains(t, report.Services[0].Problem.Message, "leads out of the Nix store")
}

// What is collected as garbage while it is looked at is built; a root that
// cannot be made is a failure of its service alone.
func TestCachedThatIsGone(t *testing.T) {
	t.Parallel()
	l := newLab(t, "a", "b", "c")
	l.want(build.Request{})
	require.NoError(t, os.RemoveAll(l.builder.Roots))
	l.nix.vanishing = "a-v0"
	require.NoError(t, os.MkdirAll(l.builder.Roots, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(l.builder.Roots, "b"), nil, 0o600))
	assert.Equal(t, []string{"a built", "b failed", "c cached"}, brief(l.want(build.Request{})))
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

// What was evaluated while somebody was editing belongs to no state.
func TestEditedWhileEvaluating(t *testing.T) {
	t.Parallel()
	l := newLab(t, "a")
	order, err := l.planner.Order(t.Context(), plan.Request{}, "")
	require.NoError(t, err)
	l.r.Write("a/file", "newer")
	for range 2 {
		_, moved, err := order.Evaluate(t.Context(), []string{"a"}, false)
		require.NoError(t, err)
		assert.True(t, moved)
	}
	assert.Equal(t, []string{"a", "a"}, l.nix.evaluated)

	// It is told, and a plan that was named is not carried out.
	l.nix.edit = func() { l.r.Write("a/file", fmt.Sprint(len(l.nix.evaluated))) }
	report := l.want(build.Request{DryRun: true})
	assert.Equal(t, "edited", report.Warnings[0].Code)
	p, err := l.planner.Plan(t.Context(), plan.Request{})
	require.NoError(t, err)
	_, err = l.build(t.Context(), build.Request{PlanID: p.PlanID})
	assert.Equal(t, fault.Conflict, fault.CodeOf(err))
	assert.Empty(t, l.nix.built)
}

func TestNoPlaceForRoots(t *testing.T) {
	t.Parallel()
	l := newLab(t, "a")
	require.NoError(t, os.WriteFile(l.builder.Roots, nil, 0o600))
	assert.Equal(t, []string{"a failed"}, brief(l.want(build.Request{})))
	assert.Empty(t, l.nix.built)
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
