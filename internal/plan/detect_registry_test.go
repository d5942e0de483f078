package plan_test

import (
	"strings"
	"testing"

	"homelab/internal/gitrepo/gittest"
	"homelab/internal/plan"
)

// registryChanges are of the registry, and what it says of files and services.
var registryChanges = []detection{
	{"global hint", func(_ *testing.T, r *gittest.Repo) {
		r.Write("lib/oci.nix", "edited")
	}, plan.Request{}, `
		grafana rebuild
		  global M lib/oci.nix lib
		  dependency via prom
		ha rebuild
		  global M lib/oci.nix lib
		prom rebuild
		  global M lib/oci.nix lib
	`},

	{"excluded path", func(_ *testing.T, r *gittest.Repo) {
		r.Write("services/ha/docs/README.md", "edited")
	}, plan.Request{}, ``},

	{"changed file that no hint covers", func(_ *testing.T, r *gittest.Repo) {
		r.Write("README.md", "edited")
		r.Write("shared/deep/x.nix", "x")
		r.Git("add", "-A")
	}, plan.Request{}, `
		unmatched README.md
		unmatched shared/deep/x.nix
	`},

	{"only services whose entry of the registry changed", func(_ *testing.T, r *gittest.Repo) {
		r.Write("homelab.json", strings.Replace(homelab, `linux.ha"`, `linux.house"`, 1))
	}, plan.Request{}, `
		ha rebuild
		  registry M homelab.json services.ha
	`},

	{"registry only reformatted", func(_ *testing.T, r *gittest.Repo) {
		r.Write("homelab.json", strings.ReplaceAll(homelab, "\n", " "))
	}, plan.Request{}, ``},

	{"registry new since the base", func(_ *testing.T, r *gittest.Repo) {
		r.Remove("homelab.json")
		r.Commit("without")
		r.Write("homelab.json", homelab)
		r.Commit("with")
	}, plan.Request{Base: "HEAD~1"}, `
		grafana rebuild
		  registry A homelab.json services.grafana
		  dependency via prom
		ha rebuild
		  registry A homelab.json services.ha
		prom rebuild
		  registry A homelab.json services.prom
	`},

	{"registry of the base invalid", func(_ *testing.T, r *gittest.Repo) {
		r.Write("homelab.json", "{")
		r.Commit("broken")
		r.Write("homelab.json", homelab)
		r.Commit("mended")
	}, plan.Request{Base: "HEAD~1", Services: []string{"ha"}}, `
		ha rebuild
		  explicit
		  registry M homelab.json services.ha
		warning baseRegistryUnreadable
	`},

	{"no services named means all", func(_ *testing.T, r *gittest.Repo) { edit(r) }, plan.Request{Services: []string{}}, haEdited},

	{"registry in a linked file", func(_ *testing.T, r *gittest.Repo) {
		r.Write("config/services.json", homelab)
		r.Remove("homelab.json")
		r.Link("config/services.json", "homelab.json")
		r.Commit("linked")
		r.Write("config/services.json", strings.Replace(homelab, `linux.ha"`, `linux.house"`, 1))
		r.Commit("edited")
	}, plan.Request{Base: "HEAD~1", Head: "HEAD"}, `
		ha rebuild
		  registry M homelab.json services.ha
		unmatched config/services.json
	`},

	{"registry that git ignores by now", func(_ *testing.T, r *gittest.Repo) {
		r.Git("rm", "-q", "--cached", "homelab.json")
		r.Write(".gitignore", "homelab.json\n")
		r.Git("add", ".gitignore")
		r.Git("commit", "-q", "-m", "ignored")
	}, plan.Request{Services: []string{"ha"}}, `
		ha rebuild
		  explicit
		  registry A homelab.json services.ha
		warning registryUntracked
	`},

	{"registry that git does not track, behind a link", func(_ *testing.T, r *gittest.Repo) {
		r.Remove("homelab.json")
		r.Link("private/homelab.json", "homelab.json")
		r.Write(".gitignore", "private\n")
		r.Commit("linked")
		r.Write("private/homelab.json", homelab)
	}, plan.Request{Services: []string{"ha"}}, `
		ha rebuild
		  explicit
		  registry A homelab.json services.ha
		warning registryUntracked
	`},

	{"registry taken for unchanged, and edited", func(_ *testing.T, r *gittest.Repo) {
		r.Git("update-index", "--assume-unchanged", "homelab.json")
		r.Write("homelab.json", strings.Replace(homelab, `linux.ha"`, `linux.house"`, 1))
	}, plan.Request{}, `
		ha rebuild
		  registry M homelab.json services.ha
	`},

	{"explicit, by alias", func(*testing.T, *gittest.Repo) {}, plan.Request{Services: []string{"home"}}, `
		ha rebuild
		  explicit
	`},
}
