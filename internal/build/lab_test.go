package build_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"homelab/internal/build"
	"homelab/internal/gitrepo"
	"homelab/internal/gitrepo/gittest"
	"homelab/internal/plan"
)

func TestMain(m *testing.M) {
	gittest.Hermetic()
	os.Exit(m.Run())
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
