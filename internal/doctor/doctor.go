// Package doctor says what is installed, what can be reached, and what to do
// about the rest.
//
// It knows no tool and no host: it runs an explicit list of probes, which
// internal/harness makes from the configuration.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Report is everything that was looked at.
type Report struct {
	OK     bool    `json:"ok" jsonschema_description:"True when no check failed."`
	Checks []Check `json:"checks" jsonschema_description:"The checks, in a fixed order."`
}

// Check is what one probe found.
type Check struct {
	Name    string `json:"name" jsonschema_description:"What was looked at, such as git or docker:pi."`
	Status  Status `json:"status" jsonschema:"enum=ok,enum=warn,enum=fail,enum=absent" jsonschema_description:"ok; warn (works, with a catch); fail (needed and not working); absent (not there, and not needed by everything)."`
	Version string `json:"version,omitempty" jsonschema_description:"Version found."`
	Detail  string `json:"detail,omitempty" jsonschema_description:"What was found."`
	Fix     string `json:"fix,omitempty" jsonschema_description:"What to do about it."`
}

// Status grades a check.
type Status string

const (
	OK     Status = "ok"
	Warn   Status = "warn"
	Fail   Status = "fail"
	Absent Status = "absent"
)

// Probe looks at one thing.
type Probe struct {
	Name string
	// Timeout bounds Run; 0 means [DefaultTimeout].
	Timeout time.Duration
	// Run returns what it found; the name is filled in by [Run]. It should
	// return when ctx ends, and is left behind when it does not.
	Run func(ctx context.Context) Check
}

// DefaultTimeout is long enough for a slow ssh handshake and short enough to
// wait for.
const DefaultTimeout = 5 * time.Second

const (
	atOnce = 16 // probes; each may be an ssh process
	// patience is how long probes wait for those before them.
	patience = time.Minute
)

// Run runs the probes side by side, some at a time, and reports in their order. Each finished
// check is also handed to done, which may be nil, one call at a time. The
// error is that of ctx: a probe that fails, hangs or panics is a failed check.
func Run(ctx context.Context, probes []Probe, done func(Check)) (*Report, error) {
	report := &Report{OK: true, Checks: make([]Check, len(probes))}
	began := time.Now()
	var group errgroup.Group
	group.SetLimit(atOnce)
	var telling sync.Mutex
	for i, probe := range probes {
		group.Go(func() error {
			check := Check{Name: probe.Name, Status: Fail, Detail: fmt.Sprintf("not looked at: the checks before it took %s", patience), Fix: "see why they are slow"}
			if time.Since(began) < patience {
				check = bounded(ctx, probe)
			}
			report.Checks[i] = check
			if done != nil {
				telling.Lock()
				defer telling.Unlock()
				done(check)
			}
			return nil
		})
	}
	_ = group.Wait() // a probe that fails is a check
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("doctor: %w", err)
	}
	for _, check := range report.Checks {
		report.OK = report.OK && check.Status != Fail
	}
	return report, nil
}

// bounded runs one probe for at most its timeout. A probe stuck in a system
// call that nothing interrupts (a dead network mount) must not hold up the
// answer, so it is not waited for.
func bounded(ctx context.Context, probe Probe) Check {
	timeout := probe.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	found := make(chan Check, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				found <- Check{Status: Fail, Detail: fmt.Sprintf("the check panicked: %v", r), Fix: "this is a defect of homelab: please report it"}
			}
		}()
		found <- probe.Run(ctx)
	}()

	var check Check
	select {
	case check = <-found:
	case <-ctx.Done():
	}
	// A probe that noticed the deadline itself says the same as one that did not.
	if check.Status != OK && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		check = Check{Status: Fail, Detail: fmt.Sprintf("no answer within %s", timeout), Fix: "try again, or see why it is slow"}
	}
	check.Name = probe.Name
	return check
}
