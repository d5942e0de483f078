package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

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
	result := l.homelab(append([]string{"build", "--json"}, args...)...)
	var report build.Report
	require.NoError(l.t, json.Unmarshal(result.Stdout, &report), "%s", result.Stderr)
	toolstest.Fits(l.t, "build", result.Stdout)
	return report, result.Exit
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
		State job.State
		Build build.Report
	}
	require.NoError(t, json.Unmarshal(l.json("job", "get", report.JobID), &kept))
	assert.Equal(t, job.Succeeded, kept.State)
	assert.Equal(t, report, kept.Build)

	l.write(metrics, unique()+l.read(metrics))
	assert.Equal(t, string(fault.Conflict), l.fails("build", "--plan-id", planned.PlanID).Code)
}

// workshop is a repository whose services are shell scripts, each for a
// service of its name.
func workshop(t *testing.T, scripts map[string]string) *lab {
	t.Helper()
	l := newLab(t).building()
	var packages strings.Builder
	services := map[string]any{}
	for name, script := range scripts {
		l.write(name+"/build.sh", unique()+script)
		fmt.Fprintf(&packages, "      %s = image %q ./%s/build.sh;\n", name, name, name)
		services[name] = map[string]any{
			"build": map[string]any{"targets": map[string]string{system: "packages." + system + "." + name}}, "hints": []string{name},
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
	encoded, err := json.Marshal(map[string]any{"version": 1, "services": services})
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

// slow is a service whose builder waits for a file, and the file with the
// builder's process id.
func slow(t *testing.T) (l *lab, release func(), builder func() int) {
	t.Helper()
	folder := t.TempDir()
	require.NoError(t, os.Chmod(folder, 0o777))
	l = workshop(t, map[string]string{
		"quick": image,
		"slow":  fmt.Sprintf("echo $$ >%[1]s/pid; until [ -e %[1]s/go ]; do sleep 0.05; done\n", folder) + image,
	})
	return l, func() { require.NoError(t, os.WriteFile(filepath.Join(folder, "go"), nil, 0o644)) },
		func() int { return pidIn(t, filepath.Join(folder, "pid")) }
}

func gone(t *testing.T, pid int) {
	t.Helper()
	require.Eventually(t, func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH }, 30*time.Second, 20*time.Millisecond,
		"process %d is still there", pid)
}

func (l *lab) jobs() job.Listing {
	l.t.Helper()
	var listing job.Listing
	require.NoError(l.t, json.Unmarshal(l.json("job", "list"), &listing))
	return listing
}

// Whoever kills homelab in the middle of a build kills the builder with it; the
// job is interrupted, and its services are free.
func TestKilledInTheMiddleOfABuild(t *testing.T) {
	t.Parallel()
	l, release, builder := slow(t)
	killed, err := command.Start(context.Background(), l.command(filepath.Join(bin, "homelab"), "build", "slow"))
	require.NoError(t, err)
	pid := builder()
	f := l.fails("build", "slow", "quick")
	assert.Equal(t, string(fault.Locked), f.Code)
	assert.Contains(t, f.Message, l.jobs().Jobs[0].ID)

	require.NoError(t, syscall.Kill(killed.PID, syscall.SIGKILL))
	killed.Wait()
	gone(t, pid)
	require.NoError(t, killed.Close())
	assert.Equal(t, job.Interrupted, l.jobs().Jobs[0].State)
	release()
	report, exit := l.build("slow")
	assert.Zero(t, exit)
	assert.Equal(t, build.Counts{Total: 1, Built: 1}, report.Counts)
	roots, err := filepath.Glob(filepath.Join(filepath.Dir(report.Services[0].Root), "*"))
	require.NoError(t, err)
	assert.Equal(t, []string{report.Services[0].Root}, roots)
}

// A signal ends the build, and leaves no builder. What was built before is told.
func TestInterruptedBuild(t *testing.T) {
	t.Parallel()
	l, _, builder := slow(t)
	p, err := command.Start(context.Background(), l.command(filepath.Join(bin, "homelab"), "build", "--json", "--max-jobs", "2", "quick", "slow"))
	require.NoError(t, err)
	pid := builder()
	require.Eventually(t, func() bool { return l.jobs().Jobs[0].Progress.Done == 1 }, 30*time.Second, 20*time.Millisecond)
	require.NoError(t, syscall.Kill(p.PID, syscall.SIGTERM))
	answer, err := io.ReadAll(p)
	require.NoError(t, err)
	result := p.Wait()
	var report build.Report
	require.NoError(t, json.Unmarshal(answer, &report), "%s", answer)
	assert.Equal(t, "canceled", report.State)
	assert.Equal(t, build.Counts{Total: 2, Built: 1, Skipped: 1}, report.Counts)
	assert.Equal(t, fault.Canceled.Exit(), result.Exit, "%s", result.Stderr)
	gone(t, pid)
	require.NoError(t, p.Close())
	assert.Equal(t, job.Canceled, l.jobs().Jobs[0].State)
}

// A build in the background outlives the server that began it, and the next one
// sees it.
func TestBackgroundOutlivesTheServer(t *testing.T) {
	t.Parallel()
	l, release, builder := slow(t)
	server, err := command.Start(context.Background(), l.command(filepath.Join(bin, "homelab"), "mcp"))
	require.NoError(t, err)
	_, err = fmt.Fprintf(server, "%s\n%s\n",
		`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`,
		`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"build","arguments":{"services":["slow"],"background":true}}}`)
	require.NoError(t, err)
	var report build.Report
	decoder := json.NewDecoder(server)
	for report.JobID == "" {
		var answer struct {
			Result struct{ StructuredContent build.Report }
		}
		require.NoError(t, decoder.Decode(&answer))
		report = answer.Result.StructuredContent
	}
	assert.Equal(t, "running", report.State)
	builder()
	require.NoError(t, syscall.Kill(server.PID, syscall.SIGKILL))
	server.Wait()
	require.NoError(t, server.Close())

	j := l.jobs().Jobs[0]
	assert.Equal(t, job.Running, j.State)
	assert.True(t, j.Background)
	release()
	var over struct {
		State job.State
		Build build.Report
	}
	require.NoError(t, json.Unmarshal(l.json("job", "get", report.JobID, "--wait", "60"), &over))
	assert.Equal(t, job.Succeeded, over.State)
	assert.Equal(t, build.Counts{Total: 1, Built: 1}, over.Build.Counts)
	assert.Equal(t, report.JobID, over.Build.JobID)
}

func TestCancelInTheBackground(t *testing.T) {
	t.Parallel()
	l, _, builder := slow(t)
	var report build.Report
	require.NoError(t, json.Unmarshal(l.json("build", "slow", "--background"), &report))
	pid := builder()
	var canceled job.Job
	require.NoError(t, json.Unmarshal(l.json("job", "cancel", report.JobID), &canceled))
	assert.Equal(t, job.Canceled, canceled.State)
	gone(t, pid)
	got := l.homelab("job", "get", report.JobID)
	assert.Equal(t, fault.Canceled.Exit(), got.Exit)
	_, exit := l.build("quick")
	assert.Zero(t, exit)
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

// worker waits for the process of a detached job.
func worker(t *testing.T, id string) int {
	t.Helper()
	pid := 0
	require.Eventually(t, func() bool {
		commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
		require.NoError(t, err)
		for _, file := range commands {
			line, err := os.ReadFile(file)
			if err == nil && strings.Contains(string(line), "\x00work\x00"+id) {
				pid, err = strconv.Atoi(filepath.Base(filepath.Dir(file)))
				return err == nil
			}
		}
		return false
	}, 30*time.Second, 20*time.Millisecond, "no process does job %s", id)
	return pid
}

// Whatever a killed worker had started holds neither its job nor the machine.
func TestKilledWorkerWhileNixEvaluates(t *testing.T) {
	t.Parallel()
	l := workshop(t, map[string]string{"good": image})
	nixPID := filepath.Join(t.TempDir(), "pid")
	var report build.Report
	hung := l.with("PATH=" + l.hanging(nixPID) + ":" + l.variable("PATH"))
	require.NoError(t, json.Unmarshal(hung.json("build", "good", "--background", "--nix-option", "max-jobs=1"), &report))
	pid, nix := worker(t, report.JobID), pidIn(t, nixPID)
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	require.NoError(t, err)
	assert.Contains(t, string(line), "--nix-option\x00max-jobs=1")
	assert.Contains(t, string(line), "\x00--json\x00", "what keeps it from its job is told with the job")
	assert.Contains(t, string(line), "--registry\x00"+filepath.Join(l.dir, "homelab.json"))
	session, err := unix.Getsid(pid)
	require.NoError(t, err)
	assert.Equal(t, pid, session, "whatever ends the terminal does not end the job")

	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", nix))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		link, err := os.Readlink(file)
		require.NoError(t, err)
		assert.NotContains(t, link, report.JobID, "nor does it hold the lock while the worker lives")
	}

	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	gone(t, nix)
	assert.Equal(t, job.Interrupted, l.jobs().Jobs[0].State)
	_, exit := l.build("good")
	assert.Zero(t, exit)
}

// What keeps the process of a detached job from it is told with the job.
func TestWorkerThatCannotBegin(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	store := &job.Store{Dir: t.TempDir()}
	begun, err := store.Detach(t.Context(), job.Spec{Tool: "build", Services: []string{"ha"}}, func(id string, _ *os.File) error {
		worker := l.run(filepath.Join(bin, "homelab"), "job", "work", id, "--json", "--repo", filepath.Join(l.dir, "gone"))
		assert.Equal(t, fault.Precondition.Exit(), worker.Exit)
		return os.WriteFile(store.WorkerLog(id), worker.Stderr, 0o600)
	})
	require.NoError(t, err)
	j, err := store.Get(t.Context(), begun.ID)
	require.NoError(t, err)
	assert.Equal(t, job.Failed, j.State)
	assert.Equal(t, fault.Precondition, j.Problem.Code)
	assert.Contains(t, j.Problem.Message, filepath.Join(l.dir, "gone"))
	assert.Contains(t, j.Problem.Hint, store.WorkerLog(j.ID))
}

// A detached job carries out the plan of the moment it was asked for.
func TestBackgroundAfterAnEdit(t *testing.T) {
	t.Parallel()
	l := workshop(t, map[string]string{"good": image, "other": image})
	l.write("good/build.sh", unique()+image)
	var report build.Report
	require.NoError(t, json.Unmarshal(l.json("build", "--background"), &report))
	var input build.Request
	require.NoError(t, json.Unmarshal([]byte(readFile(t, filepath.Join(l.state(), "jobs", report.JobID, "input.json"))), &input))
	assert.Equal(t, report.PlanID, input.PlanID)
	assert.Zero(t, l.homelab("job", "get", report.JobID, "--wait", "60").Exit)
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(content)
}

// state is the lab's folder in the state folder.
func (l *lab) state() string {
	l.t.Helper()
	found, err := filepath.Glob(filepath.Join(l.variable("HOME"), ".local/state/homelab/*"))
	require.NoError(l.t, err)
	require.Len(l.t, found, 1)
	return found[0]
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
