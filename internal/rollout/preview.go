package rollout

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"homelab/internal/build"
	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/plan"
	"homelab/registry"
)

// Wanted is a service as it is to run, and as it is found.
type Wanted struct {
	Name    string
	Service registry.Service
	Host    registry.Host
	Plan    plan.Service
	Built   build.Outcome // of a dry run
	// There is the container that its host has; nil: none.
	There     *deploy.Container
	EnvFiles  []deploy.Difference // variables of env files that differ
	BrokenOff string              // step of a switch that is to be repaired
	Err       error               // why it cannot be
}

// Preview says what would happen to services. Needs says, of a service of a valid
// registry, which it depends on.
func Preview(order *plan.Order, wanted []Wanted, needs func(string) []string) (*Report, error) {
	report := &Report{
		State: Previewed, PlanID: order.Plan.PlanID, Head: order.Plan.Head,
		Services: []Service{}, Warnings: append([]plan.Warning{}, order.Plan.Warnings...),
	}
	byName := map[string]Wanted{}
	for _, w := range wanted {
		byName[w.Name] = w
	}
	after := Waits(slices.Sorted(maps.Keys(byName)), needs)
	touched, stuck := map[string]bool{}, map[string]bool{}
	identities := []identity{}
	for _, name := range sorted(after) {
		w := byName[name]
		s, id, err := w.preview(report.Head)
		if err != nil {
			return nil, err
		}
		if s.Action != Blocked {
			report.Warnings = append(report.Warnings, w.withoutState()...)
		}
		at := slices.IndexFunc(after[name], func(other string) bool { return stuck[other] })
		if at >= 0 && s.Action != Nothing && s.Action != Blocked {
			s.block(waitsFor(name, after[name][at]))
			id.Action = Blocked
		}
		stuck[name] = s.Action == Blocked && w.Service.Deploy != nil // else there is nothing to wait for
		if touched[name] = s.Action != Nothing; touched[name] {
			s.After = slices.DeleteFunc(slices.Clone(after[name]), func(other string) bool { return !touched[other] })
		}
		report.Services, identities = append(report.Services, s), append(identities, id)
		report.Counts.add(s.Action)
	}
	var err error
	report.PreviewID, err = deploy.PreviewID(struct {
		Format   int
		Plan     string
		Services []identity
	}{1, report.PlanID, identities})
	return report, err
}

// waitsFor is in the way of a service that depends on one that is blocked.
func waitsFor(name, other string) error {
	return fault.Newf(fault.Precondition, "see what is in the way of "+other+", or deploy "+name+" alone", "it waits for %s, which is blocked", other)
}

func (s *Service) block(err error) {
	s.Action, s.Problem, s.Downtime = Blocked, build.ProblemOf(err), NoDowntime
}

// identity is what the preview of a service depends on: when any of it moves, what
// was confirmed is not what would happen.
type identity struct {
	Name, Host string
	At         registry.Host // where that is
	Action     Action
	BrokenOff  string
	Container  string // ID of what is there
	Running    bool
	Image      string // name that the registry gives it
	Out, Drv   string // that is to run
	Spec       string // hash of its settings
	Gate       deploy.Gate
	Strategy   string
	Config     []deploy.Difference
}

// preview says what would happen to one service.
func (w Wanted) preview(head plan.Side) (Service, identity, error) {
	s := Service{
		Name: w.Name, Host: w.Service.HostOf(), Status: Pending, Downtime: NoDowntime, BrokenOff: w.BrokenOff,
		Build: w.Built.Status, Privileges: w.Service.PrivilegesOf().Names(),
	}
	s.From = versionOf(w.There)
	id := identity{Name: s.Name, Host: s.Host, At: w.Host, Action: Blocked, BrokenOff: w.BrokenOff, Image: w.Service.Build.Image}
	if err := w.problem(); err != nil {
		s.block(err)
		return s, id, nil
	}
	spec, err := deploy.NewSpec(w.Name, w.Service, w.Host, "")
	if err != nil {
		return s, id, err
	}
	s.To = &Version{Revision: head.Commit, Out: w.Built.Out}
	if head.State == plan.StateDirty {
		s.To.WorkTree = plan.StateDirty
	}
	strategy := cmp.Or(w.Service.Deploy.Strategy, deploy.Replace)
	s.Config = w.config(spec)
	s.Action = w.action(s.Config)
	s.Impact = w.impact(spec)
	if s.From != nil && s.From.Running && s.Action != Nothing && strategy == deploy.Replace {
		s.Downtime = Restart
	}
	id.Action, id.Out, id.Drv, id.Spec = s.Action, w.Built.Out, w.Built.Drv, spec.Hash()
	id.Gate, id.Strategy, id.Config = deploy.NewGate(*w.Service.Deploy), strategy, s.Config
	if w.There != nil {
		id.Container, id.Running = w.There.ID, s.From.Running
	}
	return s, id, nil
}

// versionOf is what a container tells of its version; nil for none.
func versionOf(c *deploy.Container) *Version {
	if c == nil {
		return nil
	}
	v := &Version{Generation: c.Generation(), Revision: c.Labels[deploy.LabelRevision], Out: c.Labels[deploy.LabelOut], Running: c.State == deploy.Running}
	if c.Labels[deploy.LabelState] == plan.StateDirty {
		v.WorkTree = plan.StateDirty
	}
	return v
}

// problem is what is in the way of a service.
func (w Wanted) problem() error {
	switch p := w.Built.Problem; {
	case w.Service.Deploy == nil:
		return deploy.OnlyBuilt(w.Name)
	case w.Plan.Decision == plan.Blocked:
		return fault.New(fault.Precondition, w.Plan.Problem.Message, w.Plan.Problem.Hint)
	case p != nil:
		return fault.New(p.Code, p.Message, p.Hint)
	}
	return w.Err
}

// config are the settings that change, the image apart.
func (w Wanted) config(spec deploy.Spec) []deploy.Difference {
	if w.There == nil {
		return nil
	}
	spec.Image = w.There.Spec.Image
	differences := append(spec.Differences(w.There.Spec, false), w.EnvFiles...)
	if is, want := deploy.Repository(spec.Image), w.Service.Build.Image; want != "" && is != want {
		differences = append(differences, deploy.Difference{Field: "image", Want: want, Is: is})
	}
	if w.There.Name != spec.Container {
		differences = append(differences, deploy.Difference{Field: "container", Want: spec.Container, Is: w.There.Name})
	}
	if len(differences) == 0 && w.There.Labels[deploy.LabelSpec] != spec.Hash() {
		// What an engine does not tell: a label that is gone, the order of env files.
		differences = append(differences, deploy.Difference{Field: "settings", Want: "as the registry says", Is: "as it said before"})
	}
	return differences
}

func (w Wanted) action(config []deploy.Difference) Action {
	switch c := w.There; {
	case c == nil:
		return Create
	case c.Labels[deploy.LabelOut] != w.Built.Out:
		return Replace
	case len(config) > 0:
		return Configure
	case c.State != deploy.Running:
		return Start
	case w.BrokenOff != "":
		return Repair
	}
	return Nothing
}

// impact says of each volume and path what becomes of it.
func (w Wanted) impact(spec deploy.Spec) []Impact {
	is, was := places(spec.Mounts), map[string]string{}
	if w.There != nil {
		was = places(w.There.Spec.Mounts)
	}
	class := map[string]string{}
	if w.Service.State != nil {
		for _, item := range w.Service.State.Items {
			class[cmp.Or(item.Volume, item.Path)] = cmp.Or(item.Class, "durable")
		}
	}
	all := maps.Clone(is)
	maps.Copy(all, was)
	impacts := []Impact{}
	for _, item := range slices.Sorted(maps.Keys(all)) {
		target, wanted := is[item]
		before, there := was[item]
		effect := Kept
		switch {
		case !there:
			effect = Attached
		case !wanted:
			effect = Detached
		case target != before:
			effect = Moved
		}
		impacts = append(impacts, Impact{Item: item, Class: class[item], Effect: effect})
	}
	return impacts
}

// places are where volumes and paths of the host are mounted. What the image asks
// for by itself has no name, and is not told.
func places(mounts []deploy.Mount) map[string]string {
	targets := map[string][]string{}
	for _, m := range mounts {
		if !m.Anonymous() {
			item := cmp.Or(m.Volume, m.Source)
			targets[item] = append(targets[item], m.Target)
		}
	}
	all := map[string]string{}
	for item, list := range targets {
		slices.Sort(list)
		all[item] = strings.Join(list, " ")
	}
	return all
}
