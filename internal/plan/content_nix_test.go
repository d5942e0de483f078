package plan_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/gitrepo"
	"homelab/internal/gitrepo/gittest"
	"homelab/internal/nar"
	"homelab/internal/plan"
)

// contentNix evaluates packages.SYSTEM.NAME to what flake/NAME says: a line for
// each path that it is made from. A line "filtered PATH" is a source that is not
// all of the path, "text X" is no source, "rev" is the revision, "throw" fails. Without that file there
// is no such attribute; with a file flake/broken nothing evaluates.
type contentNix struct {
	r *gittest.Repo

	mu      sync.Mutex
	evals   []string // commit or "work", and the names
	drvs    map[string][]plan.StoreSource
	editing func() // while it evaluates
}

func (n *contentNix) Available(context.Context) error { return nil }

func (n *contentNix) Identity() string { return "content" }

func (n *contentNix) GitRef(_, commit, _ string) string {
	return commit
}

func (n *contentNix) EvalJSON(_ context.Context, ref, _ string) ([]byte, error) {
	raw, err := n.read(ref, "homelab.json")
	if err != nil {
		return nil, fault.New(fault.NotFound, "no registry", "")
	}
	return raw, nil
}

// read is a file as of a commit, or of the work tree.
func (n *contentNix) read(commit, path string) ([]byte, error) {
	if commit == "" {
		return os.ReadFile(n.r.Path(path))
	}
	cmd := exec.Command("git", "show", commit+":"+path)
	cmd.Dir = n.r.Dir
	return cmd.Output()
}

// files are the tracked files at and below a path.
func (n *contentNix) files(commit, path string) []nar.File {
	args := []string{"ls-files", "--stage", "--", path}
	if commit == "" && n.r.Git("status", "--porcelain", "-uno") == "" {
		commit = "HEAD" // Nix takes a clean work tree for its commit
	}
	if commit != "" {
		args = []string{"ls-tree", "-r", "-z", commit, "--", path}
	} else {
		args = slices.Insert(args, 1, "-z")
	}
	var files []nar.File
	for line := range strings.SplitSeq(strings.TrimSuffix(n.r.Git(args...), "\x00"), "\x00") {
		meta, name, _ := strings.Cut(line, "\t")
		below := strings.TrimPrefix(strings.TrimPrefix(name, path), "/")
		if path == "." {
			below = name
		}
		if strings.HasPrefix(meta, "160000") {
			// Nix has an empty folder in its place, of edits the folder above it.
			if commit == "" {
				below = filepath.Dir(below)
			}
			if below != "." {
				files = append(files, nar.File{Path: below, Folder: true})
			}
			continue
		}
		executable := strings.HasPrefix(meta, "100755")
		if commit == "" {
			info, err := os.Lstat(n.r.Path(name))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			executable = info.Mode()&0o100 != 0
		}
		content, err := n.read(commit, name)
		files = append(files, nar.File{
			Path: below, Executable: executable, Size: int64(len(content)),
			Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), err },
		})
	}
	return files
}

func (n *contentNix) Targets(_ context.Context, commit string, attrs []string) (map[string]plan.Evaluated, error) {
	n.mu.Lock()
	names := []string{}
	for _, attr := range attrs {
		names = append(names, attr[strings.LastIndexByte(attr, '.')+1:])
	}
	state := "base"
	if commit == "" {
		state = "work"
	}
	n.evals = append(n.evals, state+" "+strings.Join(names, " "))
	n.mu.Unlock()
	if n.editing != nil && commit == "" {
		n.editing()
	}
	if _, err := n.read(commit, "flake/broken"); err == nil {
		return nil, fault.New(fault.EvalFailed, "syntax error in flake.nix", "mend it")
	}
	found := map[string]plan.Evaluated{}
	for i, attr := range attrs {
		e, err := n.target(commit, names[i])
		e.Err = err
		found[attr] = e
	}
	return found, nil
}

func (n *contentNix) target(commit, name string) (plan.Evaluated, error) {
	recipe, err := n.read(commit, "flake/"+name)
	if err != nil {
		return plan.Evaluated{}, fault.New(fault.NotFound, "the flake has no attribute "+name, "near names")
	}
	out := sha256.New()
	var sources []plan.StoreSource
	for line := range strings.Lines(string(recipe)) {
		what, path, _ := strings.Cut(strings.TrimSpace(line), " ")
		if what == "throw" {
			return plan.Evaluated{}, fault.New(fault.EvalFailed, "thrown by "+name, "look at it")
		}
		fmt.Fprintln(out, what)
		if what == "text" {
			fmt.Fprintln(out, path)
			continue
		}
		if what == "rev" {
			fmt.Fprintln(out, cmp.Or(commit, "dirty"))
			continue
		}
		if path == "" {
			path = what
		}
		files := n.files(commit, path)
		hash, err := nar.Hash(files)
		if err != nil {
			return plan.Evaluated{}, err
		}
		fmt.Fprintln(out, hash)
		source := plan.StoreSource{Path: "/nix/store/" + hash[7:15] + "-" + filepath.Base(path), NarHash: hash, NarSize: nar.Size(files)}
		if what == "filtered" {
			source.NarHash = "sha256-filtered " + hash
		}
		sources = append(sources, source)
	}
	digest := fmt.Sprintf("%.8x", out.Sum(nil))
	drv := "/nix/store/" + digest + "-" + name + ".drv"
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drvs[drv] = sources
	return plan.Evaluated{Drv: drv, Out: "/nix/store/" + digest + "-image"}, nil
}

func (n *contentNix) Sources(_ context.Context, drvs []string) (map[string][]plan.StoreSource, error) {
	found := map[string][]plan.StoreSource{}
	for _, drv := range drvs {
		sources, ok := n.drvs[drv]
		if !ok {
			return nil, fault.New(fault.NotFound, drv+" is not valid", "")
		}
		found[drv] = sources
	}
	return found, nil
}

// newContent is the homelab of the other tests, with what its services are made
// from.
func newContent(t *testing.T, registry string) (*gittest.Repo, *contentNix, *plan.Planner) {
	r := newHomelab(t)
	r.Write("homelab.json", registry)
	r.Write("flake/ha", "services/ha\nlib/oci.nix\n")
	r.Write("flake/prom", "services/prom/prometheus.yml\nlib/oci.nix\n")
	r.Write("flake/grafana", "services/grafana\n")
	r.Commit("flake")
	n := &contentNix{r: r, drvs: map[string][]plan.StoreSource{}}
	return r, n, contentPlanner(t, r, n, t.TempDir())
}

func contentPlanner(t *testing.T, r *gittest.Repo, n *contentNix, cache string) *plan.Planner {
	repo, err := gitrepo.Open(t.Context(), r.Dir)
	require.NoError(t, err)
	return &plan.Planner{
		Repo: repo, Source: &plan.Source{Setting: filepath.Join(repo.Root(), "homelab.json"), Root: repo.Root(), Nix: n, CacheDir: cache},
		Machine: "x86_64-linux",
	}
}
