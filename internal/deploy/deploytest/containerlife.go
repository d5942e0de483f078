package deploytest

import (
	"context"
	"slices"
	"time"

	"homelab/internal/deploy"
	"homelab/internal/fault"
)

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
	if c.State == deploy.Paused {
		return refuseAs(fault.Precondition, "cannot start a paused container, try unpause instead")
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
	c.Exit, c.Error, c.Restarts, c.Address = 0, "", 0, "192.0.2.1" // of no network, by RFC 5737
	switch {
	case b.Foreign:
		c.ends(1)
		c.Error = "exec /bin/busybox: exec format error: the program is for another processor"
		return
	case b.Ends:
		c.ends(b.Exit)
	}
	lines := slices.Clone(b.Says)
	for _, name := range b.Tells {
		lines = append(lines, name+" is "+c.Spec.Env[name]+c.secrets[name])
	}
	if b.Warns != "" {
		lines = append(lines, b.Warns)
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
	case c.State != deploy.Running && c.State != deploy.Paused:
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
	case c.State == deploy.Running || c.State == deploy.Restarting || c.State == deploy.Paused:
		return refuseAs(fault.Conflict, "cannot remove container %s: it runs", c.Name)
	}
	delete(m.containers, c.ID)
	return nil
}

// Pause is part of [deploy.Containers].
func (m *Memory) Pause(ctx context.Context, id string) error {
	return m.turn(ctx, id, "pause", deploy.Running, deploy.Paused)
}

// Unpause is part of [deploy.Containers].
func (m *Memory) Unpause(ctx context.Context, id string) error {
	return m.turn(ctx, id, "unpause", deploy.Paused, deploy.Running)
}

// turn has a container do something else than it does.
func (m *Memory) turn(ctx context.Context, id, call string, from, to deploy.State) error {
	unlock, err := m.enter(ctx, call)
	if err != nil {
		return err
	}
	defer unlock()
	c, err := m.own(id)
	switch {
	case err != nil || c.State == to:
		return err
	case c.State != from:
		return refuseAs(fault.Conflict, "container %s is not %s", id, from)
	}
	c.State = to
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
