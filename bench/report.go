package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"homelab/internal/command"
)

// explained is what to know of some rows.
var explained = []string{
	"An outage is what a client on the engine's host sees that asks every millisecond: from the first request that fails to the first good answer, or the longest time without an answer, when that is longer: who asks a service that is paused is not refused, and waits. " +
		"Most of a second of it is the kernel's, on both sides: it asks for the address of a container once a second while nobody has it, and engines before 28 do not announce a new one.",
	"An image with one layer changed costs what the engine takes to unpack that layer, which `docker load` does as well after it copied all ten. The row with nothing but that layer shows what there is to save.",
}

// report writes the table, and what machine it is from.
func report(w io.Writer, r runner, rows []row, memory []string) error {
	var out bytes.Buffer
	fmt.Fprintf(&out, "# Benchmarks\n\nWritten by `make bench` on %s.\n\n", time.Now().UTC().Format(time.DateOnly))
	fmt.Fprintf(&out, "Machine: %s, %d processors, %s/%s, %s, %s, %s.\n", processor(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), r.version("git"), r.version("dockerd"))
	fmt.Fprintf(&out, "Each row is the median of %d pairs of runs, taken in turn; the ratio is the median of theirs, pair by pair. "+
		"The repositories are generated; three files are edited and one is untracked. "+
		"Each row \"more than a second after\" has five pairs; those of images, loads, copies and outages have three or seven.\n\n", r.rounds)
	fmt.Fprintln(&out, "| what | homelab | | instead | | ratio | wanted |\n|---|---|---:|---|---:|---:|---:|")
	for _, row := range rows {
		fmt.Fprintf(&out, "| %s | %s | %s | %s | %s | **%s** | %s |\n", row.what, row.ours, show(row.our), row.theirs, show(row.their), ratio(row.ratio), row.bound)
	}
	fmt.Fprintln(&out)
	for _, line := range append(memory, explained...) {
		fmt.Fprintf(&out, "- %s\n", line)
	}
	_, err := w.Write(out.Bytes())
	return err
}

func show(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

func ratio(r float64) string {
	if r < 0.01 {
		return fmt.Sprintf("%.5f", r)
	}
	return fmt.Sprintf("%.2f", r)
}

func median[T cmp.Ordered](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// version is what a program says that it is.
func (r runner) version(program string) string {
	result, err := command.Run(r.ctx, command.Cmd{Name: program, Args: []string{"--version"}})
	if err != nil {
		return "no " + program
	}
	return strings.TrimSpace(string(result.Stdout))
}

func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}
