package deploytest

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"homelab/internal/command"
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
	ending    <-chan struct{} // closed when a slow end is over
	looks     int             // since it was started
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

// Vanish removes a container, whosever it is.
func (m *Memory) Vanish(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.containers, id)
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
	case c.Labels[deploy.LabelService] == "":
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
	if err := errors.Join(m.free(name), pathsThere(spec), m.joinable(spec.Networks)); err != nil {
		return "", err
	}
	m.made++
	c := &contained{behaviour: m.behaviours[i.ID]}
	if set, ok := m.Behave[spec.Image]; ok {
		c.behaviour = set
	}
	all := cloned(spec.Labels)
	maps.Copy(all, labels)
	all[deploy.LabelService] = spec.Service
	spec.Container = name
	id := strings.TrimPrefix(sum([]byte(fmt.Sprint("container ", m.made))), "sha256:")
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
	for _, path := range s.EnvFiles {
		if strings.HasPrefix(path, Nowhere) {
			return fault.Newf(fault.Precondition, "make the file on the host", "cannot read an env file: open %s: no such file or directory", path)
		}
	}
	return nil
}

func (m *Memory) joinable(networks []string) error {
	for _, name := range networks {
		if !m.networks[name] && name != "bridge" && name != "none" {
			return refuseAs(fault.NotFound, "network %s not found", name)
		}
	}
	return nil
}

// Start is part of [deploy.Containers].
func (m *Memory) Start(ctx context.Context, id string) error {
	unlock, err := m.enter(ctx, "start")
	if err != nil {
		return err
	}
	defer unlock()
	c, err := m.own(id)
	if err != nil || c.State == deploy.Running || c.State == deploy.Restarting {
		return err
	}
	if err := m.portsFree(c); err != nil {
		c.Exit, c.Error = 128, err.Error()
		return err
	}
	c.start()
	return nil
}

// portsFree says whether a container can publish its ports.
func (m *Memory) portsFree(c *contained) error {
	for _, p := range c.Spec.Ports {
		taken := m.Taken[p.Host]
		for _, other := range m.containers {
			taken = taken || other != c && other.State == deploy.Running && slices.ContainsFunc(other.Spec.Ports, func(q deploy.Port) bool {
				return q.Host == p.Host && q.Protocol == p.Protocol
			})
		}
		if taken {
			return refuseAs(fault.Conflict, "port %d of the host is taken by something else: container %s cannot publish it", p.Host, c.Name)
		}
	}
	return nil
}

// start has the program run, to its end when it ends at once.
func (c *contained) start() {
	b := c.behaviour
	c.State, c.Started, c.Ended, c.looks = deploy.Running, time.Now(), time.Time{}, 0
	c.Exit, c.Error, c.Address = 0, "", "192.0.2.1" // of no network, by RFC 5737
	switch {
	case b.Foreign:
		c.ends(1)
		c.Error = "exec /bin/busybox: exec format error: the program is for another processor"
		return
	case b.Ends:
		c.ends(b.Exit)
	}
	lines := b.Says
	if b.Warns != "" {
		lines = append(slices.Clone(lines), b.Warns)
	}
	for _, line := range lines {
		c.said = append(c.said, utterance{c.Started, line})
	}
}

// ends has the program end by itself; the engine may restart it.
func (c *contained) ends(exit int) {
	c.over(exit)
	if p := c.Spec.Restart; p == "always" || p == "unless-stopped" || p == "on-failure" && exit != 0 {
		c.State = deploy.Restarting
	}
}

func (c *contained) over(exit int) {
	c.State, c.Exit, c.Ended, c.Address = deploy.Exited, exit, time.Now(), ""
}

// killed is the exit status of a container that was killed.
const killed = 137

// Stop is part of [deploy.Containers]. It waits for nobody but who is Slow, and then
// as engines do: the container ends even if the caller does not wait.
func (m *Memory) Stop(ctx context.Context, id string, _ time.Duration) error {
	if ended := m.slowly(id); ended != nil {
		select {
		case <-ended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	unlock, err := m.enter(ctx, "stop")
	if err != nil {
		return err
	}
	defer unlock()
	c, err := m.own(id)
	switch {
	case err != nil:
		return err
	case c.State == deploy.Restarting:
		c.State = deploy.Exited
	case c.State != deploy.Running:
	case c.behaviour.Stuck:
		return refuseAs(fault.Precondition, "cannot stop container %s: tried to kill container, but did not receive an exit event", id)
	case c.behaviour.Deaf:
		c.over(killed)
	default:
		c.over(0)
	}
	return nil
}

// slowly begins the end of a container that is Slow and runs, or joins it.
func (m *Memory) slowly(id string) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.container(id)
	if c == nil || !c.behaviour.Slow || c.State != deploy.Running {
		return nil
	}
	if c.ending == nil {
		ending := make(chan struct{})
		c.ending = ending
		time.AfterFunc(SlowStop, func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			c.over(0)
			c.ending = nil
			close(ending)
		})
	}
	return c.ending
}

// Remove is part of [deploy.Containers].
func (m *Memory) Remove(ctx context.Context, id string) error {
	unlock, err := m.enter(ctx, "remove")
	if err != nil {
		return err
	}
	defer unlock()
	if m.container(id) == nil {
		return nil
	}
	c, err := m.own(id)
	switch {
	case err != nil:
		return err
	case c.State == deploy.Running || c.State == deploy.Restarting:
		return refuseAs(fault.Conflict, "cannot remove container %s: it runs", c.Name)
	}
	delete(m.containers, c.ID)
	return nil
}

// Rename is part of [deploy.Containers].
func (m *Memory) Rename(ctx context.Context, id, name string) error {
	unlock, err := m.enter(ctx, "rename")
	if err != nil {
		return err
	}
	defer unlock()
	c, err := m.own(id)
	if err != nil || c.Name == name {
		return err
	}
	if err := m.free(name); err != nil {
		return err
	}
	c.Name, c.Spec.Container = name, name
	return nil
}

// SetRestart is part of [deploy.Containers].
func (m *Memory) SetRestart(ctx context.Context, id, policy string) error {
	unlock, err := m.enter(ctx, "restart")
	if err != nil {
		return err
	}
	defer unlock()
	c, err := m.own(id)
	switch {
	case err != nil:
		return err
	case !slices.Contains([]string{"no", "always", "on-failure", "unless-stopped"}, policy):
		return refuseAs(fault.Precondition, "invalid restart policy: %q", policy)
	}
	c.Spec.Restart = policy
	if policy == "no" && c.State == deploy.Restarting {
		c.State = deploy.Exited
	}
	return nil
}

// Exec is part of [deploy.Containers]. Without [Memory.Command] it runs the command
// on this machine, with the environment of the container besides.
func (m *Memory) Exec(ctx context.Context, id string, args []string) (int, string, error) {
	unlock, err := m.enter(ctx, "exec")
	if err != nil {
		return 0, "", err
	}
	c, err := m.running(id)
	unlock()
	if err != nil {
		return 0, "", err
	}
	if m.Command != nil {
		exit, output := m.Command(*c, args)
		return exit, output, nil
	}
	if command.Look(args[0]) == "" {
		return 127, "exec: \"" + args[0] + "\": executable file not found in $PATH\r\n", nil
	}
	env := []string{}
	for name, value := range c.Spec.Env {
		env = append(env, name+"="+value)
	}
	result, err := command.Run(ctx, command.Cmd{Name: args[0], Args: args[1:], Env: env})
	if err != nil {
		return 0, "", err
	}
	const most = 4 << 10
	output := string(result.Stdout) + string(result.Stderr)
	return result.Exit, output[max(len(output)-most, 0):], nil
}

// running is a copy of a container of ours that runs.
func (m *Memory) running(id string) (*deploy.Container, error) {
	c, err := m.own(id)
	switch {
	case err != nil:
		return nil, err
	case c.State != deploy.Running:
		return nil, refuseAs(fault.Conflict, "container %s is not running", id)
	}
	found := c.Container
	found.Spec = asTold(c.Spec)
	return &found, nil
}

// Dial is part of [deploy.Containers].
func (m *Memory) Dial(ctx context.Context, c deploy.Container, port int) (net.Conn, error) {
	unlock, err := m.enter(ctx, "dial")
	if err != nil {
		return nil, err
	}
	defer unlock()
	there := m.container(c.ID)
	if there == nil || there.State != deploy.Running || there.behaviour.Page == "" || port != PagePort {
		return nil, fault.Newf(fault.Unhealthy, "see its logs", "cannot connect to %s:%d: connection refused", c.Name, port)
	}
	near, far := net.Pipe()
	go serve(far, there.behaviour.Page)
	return near, nil
}

// serve answers one request with a page.
func serve(conn net.Conn, page string) {
	defer conn.Close()
	request, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return // who asked has hung up
	}
	answer := http.Response{StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Request: request, Close: true,
		ContentLength: int64(len(page)), Body: io.NopCloser(strings.NewReader(page))}
	_ = answer.Write(conn)
}

// Logs is part of [deploy.Containers].
func (m *Memory) Logs(ctx context.Context, id string, lines int, since time.Time, w io.Writer) error {
	unlock, err := m.enter(ctx, "logs")
	if err != nil {
		return err
	}
	defer unlock()
	c, err := m.own(id)
	if err != nil {
		return err
	}
	kept := slices.DeleteFunc(slices.Clone(c.said), func(u utterance) bool { return u.at.Before(since) })
	for _, p := range kept[max(len(kept)-max(lines, 0), 0):] {
		if _, err := io.WriteString(w, p.line+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// EnsureNetwork is part of [deploy.Containers].
func (m *Memory) EnsureNetwork(ctx context.Context, name string) error {
	unlock, err := m.enter(ctx, "network")
	if err != nil {
		return err
	}
	defer unlock()
	if m.networks == nil {
		m.networks = map[string]bool{}
	}
	m.networks[name] = true
	return nil
}
