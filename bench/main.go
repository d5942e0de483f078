// Bench measures homelab side by side with what a user would run instead, in
// one run, and prints a Markdown table of medians and ratios. Ratios are taken
// pair by pair, so that they hold on a machine whose speed drifts.
//
//	go run ./bench -homelab bin/homelab -empty bin/emptyserver -service bin/service
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"time"

	"homelab/internal/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := bench(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context) error {
	homelab := flag.String("homelab", "bin/homelab", "the program")
	empty := flag.String("empty", "bin/emptyserver", "an MCP server without tools")
	service := flag.String("service", "bin/service", "what runs in containers")
	rounds := flag.Int("rounds", 15, "pairs of runs for each row")
	only := flag.String("only", "", "a part of it, such as copies")
	flag.Parse()

	run := runner{ctx: ctx, rounds: *rounds}
	var err error
	if run.homelab, err = filepath.Abs(*homelab); err != nil {
		return err
	}
	if run.empty, err = filepath.Abs(*empty); err != nil {
		return err
	}
	if run.service, err = filepath.Abs(*service); err != nil {
		return err
	}
	temp, err := os.MkdirTemp("", "homelab-bench-*")
	if err != nil {
		return err
	}
	// Neither state nor cache of whoever runs this.
	environment = append(environment, "HOMELAB_STATE="+filepath.Join(temp, "state"), "XDG_CACHE_HOME="+filepath.Join(temp, "cache"))
	err = measure(run, temp, *only)
	return errors.Join(err, os.RemoveAll(temp))
}

func measure(run runner, temp, only string) error {
	var rows []row
	var memory []string
	for _, part := range []struct {
		what    string
		measure func() ([]row, error)
	}{
		{"plans", func() (found []row, err error) {
			found, memory, err = run.allPlans(temp)
			return found, err
		}},
		{"matching", func() ([]row, error) { return one(matching()) }},
		{"builds", func() ([]row, error) { return run.builds(filepath.Join(temp, "builds")) }},
		{"exact plans", func() ([]row, error) { return run.exact(filepath.Join(temp, "exact"), filepath.Join(temp, "cache")) }},
		{"images", func() ([]row, error) { return run.images(filepath.Join(temp, "images")) }},
		{"runs", func() ([]row, error) { return run.runs(filepath.Join(temp, "runs")) }},
		{"copies", func() ([]row, error) { return run.mirrors(filepath.Join(temp, "mirrors")) }},
		{"outages", func() ([]row, error) { return run.outages(filepath.Join(temp, "outages")) }},
		{"loads", func() ([]row, error) { return run.loads(filepath.Join(temp, "loads")) }},
	} {
		if only != "" && only != part.what {
			continue
		}
		fmt.Fprintln(os.Stderr, "measuring", part.what)
		found, err := part.measure()
		if err != nil {
			return err
		}
		for _, large := range []string{"images", "runs", "mirrors", "outages"} { // the disk is for the next part
			if err := os.RemoveAll(filepath.Join(temp, large)); err != nil {
				return err
			}
		}
		rows = append(rows, found...)
	}
	return report(os.Stdout, run, rows, memory)
}

func one(r row, err error) ([]row, error) { return []row{r}, err }

// allPlans has the rows of plans, in repositories of all sizes, and of the start.
func (r runner) allPlans(temp string) (rows []row, memory []string, err error) {
	for i, s := range sizes {
		dir := filepath.Join(temp, fmt.Sprint(i))
		if err := s.generate(r, dir); err != nil {
			return nil, nil, err
		}
		more, resident, err := r.plans(s, dir)
		if err != nil {
			return nil, nil, err
		}
		rows = append(rows, more...)
		memory = append(memory, fmt.Sprintf("Resident memory of `homelab mcp` after the plans of *%s*: %d MB.", s.name, resident>>20))
	}
	start, err := r.start(filepath.Join(temp, "0"))
	return append(rows, start), memory, err
}

// runner runs the programs that are compared.
type runner struct {
	ctx                     context.Context
	rounds                  int
	homelab, empty, service string
	pause                   time.Duration // before each run of ours
}

// environment keeps the configuration of the machine out of the measurement.
var environment = []string{
	"GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_OPTIONAL_LOCKS=0", "GIT_LITERAL_PATHSPECS=1",
	"GIT_AUTHOR_NAME=bench", "GIT_AUTHOR_EMAIL=bench@example.org", "GIT_COMMITTER_NAME=bench", "GIT_COMMITTER_EMAIL=bench@example.org",
}

func (r runner) do(c command.Cmd) (command.Result, error) {
	c.Env = append(slices.Clone(environment), c.Env...)
	return command.Run(r.ctx, c)
}

// ok runs a command that must succeed.
func (r runner) ok(c command.Cmd) error {
	result, err := r.do(c)
	if err == nil && result.Exit != 0 {
		err = fmt.Errorf("%s %q: %s", c.Name, c.Args, result.FirstLine())
	}
	return err
}
