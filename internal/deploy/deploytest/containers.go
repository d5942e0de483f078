package deploytest

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"homelab/internal/deploy"
	"homelab/internal/fault"
)

// Nowhere is a folder of the host that does not exist: what is below it cannot be
// mounted or read. Any other path is there for [Memory].
const Nowhere = "/nowhere"

// contained is a container in memory.
type contained struct {
	deploy.Container
	behaviour Behaviour
	home      string            // network that it was made for
	ending    <-chan struct{}   // closed when a slow end is over
	secrets   map[string]string // variables from env files
	looks     int               // since it was started
	said      []utterance
}

type utterance struct {
	at   time.Time
	line string
}

// Disown takes the labels of a container away: somebody else's it is then.
func (m *Memory) Disown(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.containers[id].Labels = map[string]string{}
}

// Sicken makes the health check of a container fail from now on.
func (m *Memory) Sicken(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.containers[id].behaviour.Health = "unhealthy"
}

// Wear has the engine have restarted a container so often.
func (m *Memory) Wear(id string, restarts int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.containers[id].Restarts = restarts
}

// Crash ends all containers, as an engine does that is killed and started again, but
// for those that Docker 20.10 starts by itself: they are few.
func (m *Memory) Crash() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.containers {
		if c.State == deploy.Running || c.State == deploy.Restarting || c.State == deploy.Paused {
			c.over(0)
		}
	}
}

// End has the program of a container end as soon as it is started, from now on.
func (m *Memory) End(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.containers[id].behaviour.Ends = true
}

// Unstick lets a container end that is Stuck.
func (m *Memory) Unstick(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.containers[id].behaviour.Stuck = false
}

// Label gives a container a label, as somebody else could have made it.
func (m *Memory) Label(id, name, value string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.containers[id].Labels[name] = value
}

// Vanish removes a container, whosever it is.
func (m *Memory) Vanish(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.containers, id)
}

// Plug connects a container with a network, or disconnects it. The network that it
// was made for is told first.
func (m *Memory) Plug(id, network string, connected bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.containers[id]
	networks := slices.DeleteFunc(in(c.Spec.Networks), func(name string) bool { return name == network || name == "none" })
	switch {
	case connected && network == c.home:
		networks = slices.Insert(networks, 0, network)
	case connected:
		networks = append(networks, network)
	case len(networks) == 0:
		networks = []string{"none"}
	}
	c.Spec.Networks = networks
}

// enter begins a call: it asks [Memory.Fail], and locks. Unlock when err is nil.
func (m *Memory) enter(ctx context.Context, call string) (unlock func(), err error) {
	if err := errors.Join(ctx.Err(), m.asked(call)); err != nil {
		return nil, err
	}
	m.mu.Lock()
	return m.mu.Unlock, nil
}

func (m *Memory) container(ref string) *contained {
	for id, c := range m.containers {
		if id == ref || c.Name == ref {
			return c
		}
	}
	return nil
}

// own is a container that may be changed.
func (m *Memory) own(ref string) (*contained, error) {
	c := m.container(ref)
	switch {
	case c == nil:
		return nil, refuseAs(fault.NotFound, "no such container: %s", ref)
	case c.Labels[deploy.LabelService] == "" && c.Labels[deploy.LabelDrill] == "":
		return nil, fault.Newf(fault.Denied, "homelab leaves it alone", "container %s is not one of homelab's", c.Name)
	}
	return c, nil
}

func refuseAs(code fault.Code, format string, args ...any) error {
	f := fault.Newf(code, "see the log of the engine", format, args...)
	f.Err = deploy.ErrRefused
	return f
}

// look is a container as it is told. Each look takes time with it: a health check
// needs one to come to its end, and a container that is restarted over and over
// does it once more.
func (c *contained) look() deploy.Container {
	out := c.Container
	out.Labels = maps.Clone(c.Labels)
	out.Spec = asTold(c.Spec)
	if c.State == deploy.Running && c.behaviour.Health != "" {
		out.Health = "starting"
		if c.looks > 0 {
			out.Health = c.behaviour.Health
		}
	}
	if c.State == deploy.Restarting {
		c.Restarts++
	}
	c.looks++
	return out
}

// asTold is a spec as engines tell it of a container: see [deploy.Container].
func asTold(s deploy.Spec) deploy.Spec {
	s.Service, s.EnvFiles, s.Labels = "", nil, nil
	s.Env = cloned(s.Env)
	s.Security.Sysctls = cloned(s.Security.Sysctls)
	s.Security.Capabilities = append([]string{}, s.Security.Capabilities...)
	s.Security.Devices = append([]string{}, s.Security.Devices...)
	s.Mounts = append([]deploy.Mount{}, s.Mounts...)
	s.Networks = append([]string{}, s.Networks...)
	slices.Sort(s.Networks[min(1, len(s.Networks)):])
	s.Ports = append([]deploy.Port{}, s.Ports...)
	slices.SortFunc(s.Ports, func(a, b deploy.Port) int {
		return cmp.Or(a.Container-b.Container, strings.Compare(a.Protocol, b.Protocol), a.Host-b.Host, strings.Compare(a.Address, b.Address))
	})
	s.Restart = cmp.Or(s.Restart, "no")
	s.StopGrace = (s.StopGrace + time.Second - 1).Truncate(time.Second)
	return s
}

func cloned(from map[string]string) map[string]string {
	to := map[string]string{}
	maps.Copy(to, from)
	return to
}

// Container is part of [deploy.Containers].
func (m *Memory) Container(ctx context.Context, ref string) (*deploy.Container, error) {
	unlock, err := m.enter(ctx, "container")
	if err != nil {
		return nil, err
	}
	defer unlock()
	if c := m.container(ref); c != nil {
		found := c.look()
		return &found, nil
	}
	return nil, nil
}

// List is part of [deploy.Containers].
func (m *Memory) List(ctx context.Context) ([]deploy.Container, error) {
	unlock, err := m.enter(ctx, "list")
	if err != nil {
		return nil, err
	}
	defer unlock()
	all := []deploy.Container{}
	for _, c := range m.containers {
		if c.Labels[deploy.LabelService] != "" {
			all = append(all, c.look())
		}
	}
	slices.SortFunc(all, func(a, b deploy.Container) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// Create is part of [deploy.Containers].
func (m *Memory) Create(ctx context.Context, name string, spec deploy.Spec, labels map[string]string) (string, error) {
	unlock, err := m.enter(ctx, "create")
	if err != nil {
		return "", err
	}
	defer unlock()
	i := m.find(spec.Image)
	switch {
	case name == "" || spec.Service == "":
		return "", fault.New(fault.InvalidArgument, "a container without a name, or of no service", "name both")
	case i == nil:
		return "", refuseAs(fault.NotFound, "No such image: %s", spec.Image)
	}
	if err := errors.Join(m.free(name), pathsThere(spec), filesThere(spec), m.mountable(spec), m.joinable(spec.Networks)); err != nil {
		return "", err
	}
	c := &contained{behaviour: m.behaviours[i.ID], home: in(spec.Networks)[0], secrets: m.fromFiles(spec)}
	if set, ok := m.Behave[spec.Image]; ok {
		c.behaviour = set
	}
	all := cloned(spec.Labels)
	maps.Copy(all, labels)
	all[deploy.LabelService] = spec.Service
	if len(c.secrets) > 0 {
		all[deploy.LabelEnvFiles] = strings.Join(slices.Sorted(maps.Keys(c.secrets)), " ")
	}
	spec.Container = name
	id := strings.TrimPrefix(sum([]byte(rand.Text())), "sha256:")
	c.Container = deploy.Container{ID: id, Name: name, ImageID: i.ID, Labels: all, Spec: asTold(spec), State: deploy.Created}
	if m.containers == nil {
		m.containers = map[string]*contained{}
	}
	m.containers[id] = c
	return id, nil
}

// free says whether no container has a name.
func (m *Memory) free(name string) error {
	other := m.container(name)
	if other == nil {
		return nil
	}
	whose := "is not one of homelab's"
	if service := other.Labels[deploy.LabelService]; service != "" {
		whose = "is homelab's, of service " + service
	}
	return refuseAs(fault.Conflict, "the name %s is taken by container %s, which %s", name, other.ID[:12], whose)
}

func pathsThere(s deploy.Spec) error {
	for _, mount := range s.Mounts {
		if strings.HasPrefix(mount.Source, Nowhere) {
			return refuseAs(fault.Precondition, "there is no %s on the host, and it was to be mounted", mount.Source)
		}
	}
	return nil
}

func filesThere(s deploy.Spec) error {
	for _, path := range s.EnvFiles {
		if strings.HasPrefix(path, Nowhere) {
			return fault.Newf(fault.Precondition, "make the file on the host", "cannot read an env file: open %s: no such file or directory", path)
		}
	}
	return nil
}

// fromFiles are the variables of the env files of a spec that it does not set itself.
func (m *Memory) fromFiles(s deploy.Spec) map[string]string {
	all := map[string]string{}
	for _, path := range s.EnvFiles {
		for line := range strings.Lines(m.Files[path]) {
			if name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok {
				all[name] = value
			}
		}
	}
	maps.DeleteFunc(all, func(name, _ string) bool { _, set := s.Env[name]; return set })
	return all
}

// EnvDiffers is part of [deploy.Containers].
func (m *Memory) EnvDiffers(ctx context.Context, id string, spec deploy.Spec) ([]string, error) {
	unlock, err := m.enter(ctx, "env")
	if err != nil {
		return nil, err
	}
	defer unlock()
	c, err := m.own(id)
	if err := errors.Join(err, filesThere(spec)); err != nil {
		return nil, err
	}
	now, differ := m.fromFiles(spec), []string{}
	for name, value := range now {
		if was, there := c.secrets[name]; !there || was != value {
			differ = append(differ, name)
		}
	}
	for name := range c.secrets {
		_, set := spec.Env[name]
		if _, there := now[name]; !there && !set {
			differ = append(differ, name)
		}
	}
	slices.Sort(differ)
	return differ, nil
}

// Volume makes a volume with options.
func (m *Memory) Volume(name string, options map[string]string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.volumes == nil {
		m.volumes = map[string]deploy.Volume{}
	}
	m.volumes[name] = deploy.Volume{Name: name, Driver: "local", Options: options}
}

// mountable says whether the volumes of a spec may be mounted.
func (m *Memory) mountable(s deploy.Spec) error {
	for _, mount := range s.Mounts {
		if err := m.volumes[mount.Volume].Safe(s.Service); err != nil {
			return err
		}
	}
	return nil
}

// Put writes a file of the host.
func (m *Memory) Put(path, content string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Files == nil {
		m.Files = map[string]string{}
	}
	m.Files[path] = content
}

func (m *Memory) joinable(networks []string) error {
	for _, name := range networks {
		if !m.networks[name] && name != "bridge" && name != "none" {
			return refuseAs(fault.NotFound, "network %s not found", name)
		}
	}
	return nil
}
