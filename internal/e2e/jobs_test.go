package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
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
)

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
		State  job.State
		Result build.Report
	}
	require.NoError(t, json.Unmarshal(l.json("job", "get", report.JobID, "--wait", "60"), &over))
	assert.Equal(t, job.Succeeded, over.State)
	assert.Equal(t, build.Counts{Total: 1, Built: 1}, over.Result.Counts)
	assert.Equal(t, report.JobID, over.Result.JobID)
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
