package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"homelab/internal/command"
)

// row is one comparison: medians, and the median of the ratios pair by pair.
type row struct {
	what, ours, theirs string
	our, their         time.Duration
	ratio              float64
	bound              string
}

// plans compares a whole plan, in a process of its own and in the resident
// server, with the git commands that read the same.
func (r runner) plans(s size, dir string) ([]row, int64, error) {
	git := func() error {
		arguments := [][]string{
			{"diff", "--raw", "-z", "--no-renames", "HEAD", "--"},
			{"status", "--porcelain=v2", "-z", "-uall", "--no-renames", "--ignore-submodules=none", "--"},
		}
		for _, args := range arguments {
			if err := r.ok(command.Cmd{Name: "git", Args: append(args, hintedFolders...), Dir: dir}); err != nil {
				return err
			}
		}
		return nil
	}
	once := func() error {
		return r.ok(command.Cmd{Name: r.homelab, Args: []string{"plan", "--json", "--repo", dir}, Dir: dir})
	}
	const reference = "`git diff` + `git status`, limited to the hints' folders"
	oneShot, err := r.pair(once, git)
	if err != nil {
		return nil, 0, err
	}
	oneShot.what, oneShot.ours, oneShot.theirs, oneShot.bound = s.name, "`homelab plan --json`", reference, "≤ 1.2"

	server, err := dial(r.ctx, r.homelab, []string{"mcp", "--repo", dir}, dir)
	if err != nil {
		return nil, 0, err
	}
	defer server.Close()
	call := func() error {
		return server.call("tools/call", `{"name":"plan","arguments":{}}`)
	}
	resident, err := r.pair(call, git)
	if err != nil {
		return nil, 0, err
	}
	resident.what, resident.ours, resident.theirs, resident.bound = s.name, "tool `plan` of a resident `homelab mcp`", reference, "≤ 0.3"
	// Asked again within a second it does not look at every file once more.
	fewer := r
	fewer.rounds, fewer.pause = 5, 1100*time.Millisecond
	paused, err := fewer.pair(call, git)
	if err != nil {
		return nil, 0, err
	}
	paused.what, paused.ours, paused.theirs = s.name, "the same, more than a second after the last question", reference
	memory, err := residentMemory(server.pipe.PID)
	return []row{oneShot, resident, paused}, memory, err
}

// pair runs both in turn, after a warm-up of each.
func (r runner) pair(ours, theirs func() error) (row, error) {
	var a, b []time.Duration
	var ratios []float64
	for round := range r.rounds + 2 {
		time.Sleep(r.pause)
		our, err := timed(ours)
		if err != nil {
			return row{}, err
		}
		their, err := timed(theirs)
		if err != nil {
			return row{}, err
		}
		if round < 2 {
			continue
		}
		a, b = append(a, our), append(b, their)
		ratios = append(ratios, float64(our)/float64(their))
	}
	return row{our: median(a), their: median(b), ratio: median(ratios)}, nil
}

func timed(run func() error) (time.Duration, error) {
	start := time.Now()
	err := run()
	return time.Since(start), err
}

// residentMemory is VmRSS of a process in bytes. See proc_pid_status(5).
func residentMemory(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kilobytes, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, fmt.Errorf("process %d has no VmRSS", pid)
}
