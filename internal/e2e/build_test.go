package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/build"
	"homelab/internal/command"
	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/registry"
	"homelab/tools/toolstest"
)

// system is what Nix builds for here.
var system = registry.SystemOf("linux", runtime.GOARCH)

// building is the lab for commands that choose this machine's system.
func (l *lab) building() *lab { return l.with("HOMELAB_SYSTEM=" + system) }

// build builds with --json and returns the answer, whatever its exit status.
func (l *lab) build(args ...string) (build.Report, int) {
	l.t.Helper()
	return graded[build.Report](l, "build", append([]string{"build"}, args...)...)
}

// unique is a line that no other run writes, so that there is something to build.
func unique() string { return fmt.Sprintf("# %d %d\n", os.Getpid(), time.Now().UnixNano()) }

// What a plan touches is built, known as an image, kept from garbage
// collection, and not built again.
func TestBuild(t *testing.T) {
	t.Parallel()
	l := newLab(t).building()
	l.write(metrics, unique()+l.read(metrics))
	planned := l.plan()
	report, exit := l.build("--plan-id", planned.PlanID)
	require.Zero(t, exit)
	assert.Equal(t, planned.PlanID, report.PlanID)
	assert.Equal(t, "succeeded", report.State)
	require.Len(t, report.Services, 2)
	built := report.Services[1]
	assert.Equal(t, build.Built, built.Status)
	assert.Equal(t, "homelab/prometheus", built.Artifact.Name)
	assert.Regexp(t, `^sha256:[0-9a-f]{64}$`, built.Artifact.Digest)
	assert.Regexp(t, `^sha256-[A-Za-z0-9+/]{43}=$`, built.Artifact.NarHash)
	hash := l.run("nix", "--extra-experimental-features", "nix-command", "hash", "path", built.Out)
	assert.Equal(t, strings.TrimSpace(string(hash.Stdout)), built.Artifact.NarHash)
	link, err := os.Readlink(built.Root)
	require.NoError(t, err)
	assert.Equal(t, built.Out, link)
	assert.Contains(t, string(l.run("nix-store", "--query", "--roots", built.Out).Stdout), built.Root)

	again, exit := l.build()
	require.Zero(t, exit)
	assert.Equal(t, build.Counts{Total: 2, Cached: 2}, again.Counts)
	assert.Equal(t, built.Artifact, again.Services[1].Artifact)

	toolstest.Fits(t, "job_get", l.json("job", "get", report.JobID))
	var kept struct {
		State  job.State
		Result build.Report
	}
	require.NoError(t, json.Unmarshal(l.json("job", "get", report.JobID), &kept))
	assert.Equal(t, job.Succeeded, kept.State)
	assert.Equal(t, report, kept.Result)

	l.write(metrics, unique()+l.read(metrics))
	assert.Equal(t, string(fault.Conflict), l.fails("build", "--plan-id", planned.PlanID).Code)
}

// workshop is a repository whose services are shell scripts, each for a
// service of its name.
func workshop(t *testing.T, scripts map[string]string) *lab {
	t.Helper()
	l := newLab(t).building()
	var packages strings.Builder
	services := map[string]registry.Service{}
	for name, script := range scripts {
		l.write(name+"/build.sh", unique()+script)
		fmt.Fprintf(&packages, "      %s = image %q ./%s/build.sh;\n", name, name, name)
		services[name] = registry.Service{
			Build: registry.Build{Targets: map[string]string{system: "packages." + system + "." + name}}, Hints: []string{name},
		}
	}
	l.write("flake.nix", fmt.Sprintf(`{
  outputs = _: let
    image = name: script: derivation {
      inherit name; system = %q; builder = "/bin/sh"; args = [ script ]; PATH = "/usr/bin:/bin"; __noChroot = true;
    };
  in {
    packages.%s = {
%s      throws = throw "nothing today";
      foreign = derivation { name = "foreign"; system = "riscv64-linux"; builder = "/bin/sh"; };
    };
  };
}
`, system, system, packages.String()))
	encoded, err := json.Marshal(registry.Registry{Version: 1, Services: services})
	require.NoError(t, err)
	l.write("homelab.json", string(encoded))
	l.commit()
	return l.with("HOMELAB_REGISTRY=homelab.json")
}

// image is the end of a script that made an image, of the smallest kind.
const image = "printf '#!/bin/sh\\n' >$out; chmod +x $out\n"

// One failure of every kind at a time, and what is good is built all the same.
func TestBuildFailures(t *testing.T) {
	t.Parallel()
	l := workshop(t, map[string]string{
		"good":  "echo hello\n" + image,
		"exits": "echo first; echo cannot find the key >&2; exit 3\n",
		"plain": "echo not an image >$out\n",
	})
	l.write("homelab.json", strings.Replace(l.read("homelab.json"), `"services":{`, fmt.Sprintf(`"services":{
		"throws": {"build": {"targets": {%[1]q: "packages.%[1]s.throws"}}, "hints": ["a"]},
		"foreign": {"build": {"targets": {%[1]q: "packages.%[1]s.foreign"}}, "hints": ["b"]},
		"missing": {"build": {"targets": {%[1]q: "packages.%[1]s.goood"}}, "hints": ["c"]},`, system), 1))
	report, exit := l.build("exits", "foreign", "good", "missing", "plain", "throws")
	assert.Equal(t, 10, exit)
	assert.Equal(t, build.Counts{Total: 6, Built: 1, Failed: 5}, report.Counts)
	problems := map[string]*build.Problem{}
	for _, s := range report.Services {
		problems[s.Name] = s.Problem
		if s.Name == "good" {
			assert.Equal(t, build.Built, s.Status)
			log, err := os.ReadFile(s.Log)
			require.NoError(t, err)
			assert.Equal(t, "hello\n", string(log))
		}
	}
	assert.Equal(t, fault.BuildFailed, problems["exits"].Code)
	assert.Equal(t, 3, problems["exits"].Exit)
	assert.Equal(t, []string{"first", "cannot find the key"}, problems["exits"].Tail)
	assert.Equal(t, fault.Precondition, problems["foreign"].Code)
	assert.Equal(t, "platformMismatch", problems["foreign"].Kind)
	assert.Equal(t, fault.NotFound, problems["missing"].Code)
	assert.Contains(t, problems["missing"].Hint, "good")
	assert.Contains(t, problems["plain"].Message, "image")
	assert.Equal(t, fault.EvalFailed, problems["throws"].Code)
	assert.Contains(t, problems["throws"].Message, "nothing today")

	l.write("flake.nix", "{ outputs = _: { ")
	assert.Equal(t, string(fault.EvalFailed), l.fails("build", "good").Code, "and what keeps all from evaluating is said once")
}

// Without Nix a build says what is missing; the rest works.
func TestBuildWithoutNix(t *testing.T) {
	t.Parallel()
	l := workshop(t, map[string]string{"good": image})
	folder := t.TempDir()
	require.NoError(t, os.Symlink(command.Look("git"), filepath.Join(folder, "git")))
	f := l.with("PATH="+folder).fails("build", "good")
	assert.Equal(t, string(fault.Precondition), f.Code)
	assert.Contains(t, f.Message, "nix is not installed")
}

// A store of its own, in a folder: images are read where they are.
func TestBuildInAnotherStore(t *testing.T) {
	t.Parallel()
	l := newLab(t).building()
	busybox := command.Look("busybox")
	require.NotEmpty(t, busybox, "these tests need a static busybox: make test installs it")
	program, err := os.ReadFile(busybox)
	require.NoError(t, err)
	// Its builder sees nothing but the store.
	require.NoError(t, os.Mkdir(filepath.Join(l.dir, "bb"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(l.dir, "bb/busybox"), program, 0o755))
	l.write("flake.nix", fmt.Sprintf(`{ outputs = _: { packages.%s.a = derivation {
  name = "a"; system = %q; builder = "${./bb}/busybox";
  args = [ "sh" "-c" "printf '#!/bin/sh\\n' >$out; ${./bb}/busybox chmod +x $out" ]; unique = %q;
}; }; }`, system, system, unique()))
	l.write("homelab.json", fmt.Sprintf(`{"version": 1, "services": {"a": {"build": {"targets": {%q: "packages.%s.a"}}, "hints": ["a"]}}}`, system, system))
	l.commit()
	store := t.TempDir()
	t.Cleanup(func() { l.run("chmod", "-R", "u+w", store) }) // what Nix made is read-only
	report, exit := l.with("HOMELAB_REGISTRY=homelab.json").build("a", "--nix-option", "store=local?root="+store)
	require.Zero(t, exit, "%+v", report)
	assert.Equal(t, build.Counts{Total: 1, Built: 1}, report.Counts)
	assert.FileExists(t, filepath.Join(store, report.Services[0].Out))
	assert.Equal(t, "stream", string(report.Services[0].Artifact.Kind))
}
