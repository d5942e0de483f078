// Package harness is the composition root: from a configuration to the core
// that the tools are bound to. Nothing is opened before a tool needs it, so
// that the program starts, and lists its tools, on a machine that has nothing.
package harness

import (
	"context"
	"sync"
	"time"

	"homelab/internal/cli"
	"homelab/internal/engine/dockerhost"
	"homelab/internal/gitrepo"
	"homelab/internal/nix"
	"homelab/internal/plan"
	"homelab/registry"
	"homelab/tools"
)

// Config is what holds for a whole process. Empty means the default.
type Config struct {
	// Repo is a folder in the repository; empty: the current one.
	Repo string
	// Registry is flake:REF#attr or a path; empty: the flake's homelab, else
	// homelab.json.
	Registry string
	// NixOptions are settings for Nix, as name=value.
	NixOptions []string
	// Resident means that the same harness is asked again and again.
	Resident bool
	// Version is that of the program, for what it makes to tell.
	Version string
}

// Harness holds what was opened so far. It is safe for concurrent use.
type Harness struct {
	cfg Config
	// engine asks the Docker engine of a host who it is.
	engine func(ctx context.Context, host registry.Host) (dockerhost.Server, error)

	systems *systems
	ledger  *ledger
	// Nil in the program that has none.
	engines Engines
	stores  Stores
	sites   Sites
	places  Places

	// ready is what is to run of a service on another host, ready to be loaded.
	ready func(ctx context.Context, l *loader, w wanted) (*readied, error)

	nix        nix.Nix
	badOptions error // what is wrong with Config.NixOptions

	mu     sync.Mutex
	repo   *gitrepo.Repo // of opened
	opened *plan.Planner
}

// New returns a harness that has opened nothing.
func New(cfg Config) *Harness {
	options, err := nix.ParseOptions(cfg.NixOptions)
	return &Harness{
		cfg: cfg, engine: askEngine, ready: readyFor, nix: nix.Nix{Options: options}, badOptions: err,
		systems: &systems{ask: askEngine, now: time.Now, known: map[string]answer{}},
		ledger:  &ledger{list: listContainers, now: time.Now, silent: map[string]silence{}},
	}
}

// Core is what the tools are bound to.
func (h *Harness) Core() tools.Core {
	return tools.Core{
		Plan:   asking(h, (*plan.Planner).Plan),
		List:   asking(h, (*plan.Planner).List),
		Get:    asking(h, (*plan.Planner).Get),
		Check:  asking(h, (*plan.Planner).Check),
		Doctor: h.doctor,

		Build:       h.build,
		DockerLoad:  h.dockerLoad,
		DockerRun:   h.dockerRun,
		Deploy:      h.deploy,
		Rollback:    h.rollback,
		DockerPrune: h.prune,
		Repair:      h.repair,
		Status:      h.status,
		Logs:        h.logs,

		StateBundle:  h.bundle,
		StateList:    h.bundleList,
		StateVerify:  h.bundleVerify,
		StateDrill:   h.drill,
		StateRestore: h.restore,
		StateMigrate: h.migrate,
		StatePrune:   h.bundlePrune,
		Watch:        h.watch,

		JobList:   h.jobList,
		JobGet:    h.jobGet,
		JobCancel: h.jobCancel,
		Work:      h.work,
		Starting:  h.mendAtStart,
	}
}

// asking puts a question to the planner, which is made when the first one is
// asked.
func asking[Q, A any](h *Harness, ask func(*plan.Planner, context.Context, Q) (*A, error)) func(context.Context, Q) (*A, error) {
	return func(ctx context.Context, question Q) (*A, error) {
		planner, err := h.planner(ctx)
		if err != nil {
			return nil, err
		}
		return ask(planner, ctx, question)
	}
}

// planner is made once, and again when the repository was reconfigured or
// replaced. A failure is not kept: the repository that is missing
// now may be there at the next call of a resident server.
func (h *Harness) planner(ctx context.Context) (*plan.Planner, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.opened != nil && !h.repo.Moved(ctx) {
		return h.opened, nil
	}
	before := h.repo
	planner, err := h.newPlanner(ctx)
	if err != nil {
		return nil, err
	}
	if before != nil {
		before.Close()
	}
	h.opened = planner
	return planner, nil
}

// Open binds the tools to what the command line was told.
func Open(s cli.Settings) tools.Core {
	return New(configOf(s)).Core()
}

// OpenWith is Open for the program that can work on engines.
func OpenWith(engines Engines, stores Stores, sites Sites, places Places) func(cli.Settings) tools.Core {
	return func(s cli.Settings) tools.Core {
		h := New(configOf(s))
		h.engines, h.stores, h.sites, h.places = engines, stores, sites, places
		return h.Core()
	}
}

func configOf(s cli.Settings) Config {
	return Config{Repo: s.Repo, Registry: s.Registry, NixOptions: s.NixOptions, Resident: s.Resident, Version: s.Version}
}
