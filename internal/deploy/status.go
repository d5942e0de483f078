package deploy

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"homelab/internal/build"
	"homelab/internal/fault"
	"homelab/internal/plan"
	"homelab/registry"
)

// StatusRequest asks what runs.
type StatusRequest struct {
	Services []string `json:"services,omitempty" jsonschema_description:"Names or aliases of services. Left out: all that are deployed."`
	Exact    bool     `json:"exact,omitempty" jsonschema_description:"Have Nix evaluate what is to run, for certain todo and wantOut: seconds, where that is not remembered."`
}

// StatusReport is what runs on the hosts of the registry.
type StatusReport struct {
	Counts   StatusCounts    `json:"counts" jsonschema_description:"Number of services by state."`
	Services []ServiceStatus `json:"services" jsonschema_description:"What runs of each service, by name."`
	Hosts    []HostStatus    `json:"hosts" jsonschema_description:"Who answers, by name."`
	Head     *plan.Side      `json:"head,omitempty" jsonschema_description:"What the services are to run: the work tree. Left out when that cannot be told, see problem."`
	Problem  *build.Problem  `json:"problem,omitempty" jsonschema_description:"Why it cannot be told what the services are to run."`
}

// StatusCounts has the number of services by state.
type StatusCounts struct {
	Total   int `json:"total" jsonschema_description:"Services that were asked about."`
	Running int `json:"running" jsonschema_description:"Running."`
	Stopped int `json:"stopped" jsonschema_description:"There, and not running."`
	Missing int `json:"missing" jsonschema_description:"Without a container."`
	Unknown int `json:"unknown" jsonschema_description:"On a host that does not answer."`
	Drifted int `json:"drifted" jsonschema_description:"Running otherwise than the registry says."`
	Behind  int `json:"behind" jsonschema_description:"With something to deploy: as far as hints and known outputs tell."`
}

// ServiceState is whether a service runs.
type ServiceState string

const (
	ServiceRunning ServiceState = "running"
	ServiceStopped ServiceState = "stopped"
	ServiceMissing ServiceState = "missing"
	ServiceUnknown ServiceState = "unknown"
)

// ServiceStatus is what runs of a service.
type ServiceStatus struct {
	Name       string        `json:"name" jsonschema_description:"Name of the service."`
	Host       string        `json:"host" jsonschema_description:"Name of its host."`
	State      ServiceState  `json:"state" jsonschema:"enum=running,enum=stopped,enum=missing,enum=unknown" jsonschema_description:"running, stopped, missing (no container of homelab's) or unknown (the host does not answer)."`
	Container  string        `json:"container" jsonschema_description:"Name of the container."`
	Health     string        `json:"health,omitempty" jsonschema_description:"What the image's own check says; left out when it has none."`
	Generation int           `json:"generation,omitempty" jsonschema_description:"Generation that is there."`
	Kept       int           `json:"kept,omitempty" jsonschema_description:"Earlier generations that are kept, stopped."`
	Revision   string        `json:"revision,omitempty" jsonschema_description:"Commit that it was built from."`
	WorkTree   string        `json:"workTree,omitempty" jsonschema_description:"dirty when it was built from edits on top of that."`
	Out        string        `json:"out,omitempty" jsonschema_description:"Store path of the artifact."`
	WantOut    string        `json:"wantOut,omitempty" jsonschema_description:"Store path of the artifact that it is to run; left out when Nix has not evaluated that yet, see exact."`
	Image      string        `json:"image,omitempty" jsonschema_description:"Name of the image."`
	Restarts   int           `json:"restarts,omitempty" jsonschema_description:"How often the engine has restarted it."`
	Since      string        `json:"since,omitempty" jsonschema_description:"When it was started, or ended, in UTC."`
	Exit       int           `json:"exit,omitempty" jsonschema_description:"Status that it ended with."`
	Todo       plan.Decision `json:"todo,omitempty" jsonschema:"enum=rebuild,enum=redeploy,enum=none,enum=unknown,enum=blocked" jsonschema_description:"What there is to do for it: what a plan says, and what out and wantOut show; left out when there is no plan."`
	Drift      []Difference  `json:"drift,omitempty" jsonschema_description:"Where it is otherwise than the registry says."`
	Moved      string        `json:"moved,omitempty" jsonschema_description:"Host that it was moved to with its state: services.NAME.deploy.host is to name that."`
	BrokenOff  string        `json:"brokenOff,omitempty" jsonschema_description:"Step before which a switch was broken off: deploy_repair repairs it."`
}

// HostStatus is whether a host answers.
type HostStatus struct {
	Name     string         `json:"name" jsonschema_description:"Name of the host."`
	Answers  bool           `json:"answers" jsonschema_description:"Whether its engine answers."`
	Services int            `json:"services" jsonschema_description:"Services of the registry on it."`
	Problem  *build.Problem `json:"problem,omitempty" jsonschema_description:"Why it does not."`
}

// Deployed is a service as the registry has it.
type Deployed struct {
	Name    string
	Service registry.Service
	Host    registry.Host
}

// OnHost says what runs of the services of one host. When the engine does not answer
// the services are unknown, and the host says why.
func OnHost(ctx context.Context, e Containers, err error, host string, services []Deployed, journal Journal) (HostStatus, []ServiceStatus) {
	h := HostStatus{Name: host, Answers: true, Services: len(services)}
	var all []Container
	if err == nil {
		all, err = e.List(ctx)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fault.New(fault.HostUnreachable, "its engine does not answer in time", "check that the host is up, and what keeps its engine busy")
	}
	if err != nil {
		h.Answers, h.Problem = false, build.ProblemOf(err)
	}
	out := make([]ServiceStatus, len(services))
	var group errgroup.Group
	group.SetLimit(maxCompared)
	for i, s := range services {
		group.Go(func() error {
			status := ServiceStatus{Name: s.Name, Host: host, State: ServiceUnknown, Container: s.Service.ContainerOf(s.Name)}
			if err == nil {
				status.see(ctx, e, all, s)
			}
			if entry, failed := journal.Read(host, s.Name); failed == nil && entry != nil && !entry.Leftover {
				status.BrokenOff = entry.Step
			}
			out[i] = status
			return nil
		})
	}
	_ = group.Wait() // never fails
	return h, out
}

// maxCompared is how many containers are compared at a time: env files are read from
// the host.
const maxCompared = 4

// see finds a service among the containers of its host.
func (s *ServiceStatus) see(ctx context.Context, e Containers, all []Container, d Deployed) {
	s.State = ServiceMissing
	there := among(all, d.Name, s.Container)
	s.Kept = len(there.others)
	c := there.current
	if c == nil {
		return
	}
	s.Container, s.Health, s.Restarts = c.Name, c.Health, c.Restarts
	s.Generation, s.Image, s.Out, s.Revision = c.Generation(), c.Spec.Image, c.Labels[LabelOut], c.Labels[LabelRevision]
	if c.Labels[LabelState] == "dirty" {
		s.WorkTree = "dirty"
	}
	since := c.Started
	if s.State = ServiceRunning; c.State != Running {
		s.State, s.Exit, since = ServiceStopped, c.Exit, cmp.Or(c.Ended, c.Started)
	}
	if !since.IsZero() {
		s.Since = since.UTC().Format(time.RFC3339)
	}
	// What its image is to be only an evaluation tells: see Gather.
	if want, err := NewSpec(d.Name, d.Service, d.Host, c.Spec.Image); err == nil {
		s.Drift = append(want.Differences(c.Spec, false), envDifferences(ctx, e, c, want)...)
		if c.Name != want.Container {
			s.Drift = append(s.Drift, Difference{"container", want.Container, c.Name})
		}
	}
}

// envDifferences are what [EnvDifferences] says, or why it cannot.
func envDifferences(ctx context.Context, e Containers, c *Container, want Spec) []Difference {
	all, err := EnvDifferences(ctx, e, c, want)
	if err != nil {
		return []Difference{{"envFiles", joined(want.EnvFiles), clip("cannot be compared: " + fault.Of(err).Message)}}
	}
	return all
}

// Wish is what services are to run: what there is to do according to a plan, and the
// store paths that are known of it; or why that cannot be told.
type Wish struct {
	Plan *plan.Plan
	Outs map[string]string // by service
	Err  error
}

// Gather makes a report of what is known of each host, and of what is wished for.
func Gather(hosts []HostStatus, services []ServiceStatus, wish Wish) *StatusReport {
	r := &StatusReport{Services: services, Hosts: hosts}
	if wish.Err != nil {
		r.Problem = build.ProblemOf(wish.Err)
	} else {
		r.Head = &wish.Plan.Head
		decided := map[string]plan.Decision{}
		for _, s := range wish.Plan.Services {
			decided[s.Name] = s.Decision
		}
		for i := range services {
			s := &services[i]
			s.Todo, s.WantOut = decided[s.Name], wish.Outs[s.Name]
			s.certain()
		}
	}
	slices.SortFunc(r.Services, func(a, b ServiceStatus) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(r.Hosts, func(a, b HostStatus) int { return strings.Compare(a.Name, b.Name) })
	for _, s := range r.Services {
		r.Counts.Total++
		switch s.State {
		case ServiceRunning:
			r.Counts.Running++
		case ServiceStopped:
			r.Counts.Stopped++
		case ServiceMissing:
			r.Counts.Missing++
		case ServiceUnknown:
			r.Counts.Unknown++
		}
		if len(s.Drift) > 0 {
			r.Counts.Drifted++
		}
		if s.Todo != "" && s.Todo != plan.None {
			r.Counts.Behind++
		}
	}
	return r
}

// certain puts what is known of the outputs in place of what the hints of a plan say.
func (s *ServiceStatus) certain() {
	switch {
	case s.Out == "" || s.WantOut == "" || s.Todo == plan.Blocked:
	case s.Out != s.WantOut:
		s.Todo = plan.Rebuild
	case s.Todo == plan.Rebuild || s.Todo == plan.Unknown:
		if s.Todo = plan.None; len(s.Drift) > 0 {
			s.Todo = plan.Redeploy
		}
	}
}
