package docker

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"

	"homelab/internal/deploy"
)

// told is a container as the engine tells it. Lists are never nil; ports are by
// those of the container, and networks but the first by name, whatever order they
// were given in.
func told(c container.InspectResponse) deploy.Container {
	out := deploy.Container{
		ID: c.ID, Name: strings.TrimPrefix(c.Name, "/"), ImageID: c.Image, Restarts: c.RestartCount,
		Labels: map[string]string{}, Spec: spec(c),
	}
	maps.Copy(out.Labels, c.Config.Labels)
	out.Address = address(c)
	if s := c.State; s != nil {
		out.State, out.Exit, out.Error, out.OOM = deploy.State(s.Status), s.ExitCode, s.Error, s.OOMKilled
		out.Started = instant(s.StartedAt)
		if out.State != deploy.Running && out.State != deploy.Paused { // else it is the end of an earlier run
			out.Ended = instant(s.FinishedAt)
		}
		if s.Health != nil && s.Health.Status != container.NoHealthcheck {
			out.Health = string(s.Health.Status)
		}
	}
	return out
}

// instant reads a time; the engine's zero is ours.
func instant(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return t
}

func spec(c container.InspectResponse) deploy.Spec {
	h := c.HostConfig
	s := deploy.Spec{
		Container: strings.TrimPrefix(c.Name, "/"), Image: c.Config.Image,
		Env: ownEnv(c.Config), Ports: ports(h), Mounts: mounts(h), Networks: networks(c),
		Restart: cmp.Or(string(h.RestartPolicy.Name), "no"),
		Limits:  deploy.Limits{Memory: h.Memory, CPUs: h.NanoCPUs}, Security: security(h),
		LogSize: number(h.LogConfig.Config["max-size"]), LogFiles: int(number(h.LogConfig.Config["max-file"])),
	}
	if c.Config.StopTimeout != nil {
		s.StopGrace = time.Duration(*c.Config.StopTimeout) * time.Second
	}
	if h.PidsLimit != nil {
		s.Limits.PIDs = max(*h.PidsLimit, 0)
	}
	return s
}

// number reads an option of the log as [hostConfig] writes it; 0 when somebody
// wrote it in another way.
func number(option string) int64 {
	n, err := strconv.ParseInt(option, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// ownEnv is the environment as far as it comes from the registry: the rest is that
// of the image, or the secrets of env files.
func ownEnv(c *container.Config) map[string]string {
	env := map[string]string{}
	names := strings.Split(c.Labels[labelEnv], ",")
	for _, variable := range c.Env {
		if name, value, _ := strings.Cut(variable, "="); slices.Contains(names, name) {
			env[name] = value
		}
	}
	return env
}

func ports(h *container.HostConfig) []deploy.Port {
	out := []deploy.Port{}
	for port, bindings := range h.PortBindings {
		for _, b := range bindings {
			host, _ := strconv.Atoi(b.HostPort) // empty: the engine chooses one
			out = append(out, deploy.Port{Address: b.HostIP, Host: host, Container: port.Int(), Protocol: port.Proto()})
		}
	}
	slices.SortFunc(out, func(a, b deploy.Port) int {
		return cmp.Or(a.Container-b.Container, strings.Compare(a.Protocol, b.Protocol), a.Host-b.Host, strings.Compare(a.Address, b.Address))
	})
	return out
}

func mounts(h *container.HostConfig) []deploy.Mount {
	out := []deploy.Mount{}
	for _, m := range h.Mounts {
		one := deploy.Mount{Target: m.Target, ReadOnly: m.ReadOnly}
		if m.Type == mount.TypeVolume {
			one.Volume = m.Source
		} else {
			one.Source = m.Source
		}
		out = append(out, one)
	}
	return out
}

// networks lists those that a container is in, whether it runs or not: the one it
// was made for first, and the others by name. The engine's own goes without saying;
// a container that was taken out of all is in none.
func networks(c container.InspectResponse) []string {
	mode := c.HostConfig.NetworkMode
	if mode.IsHost() {
		return []string{}
	}
	out := slices.Sorted(maps.Keys(attached(c)))
	if at := slices.Index(out, first(mode)); at > 0 {
		out = slices.Concat(out[at:at+1], out[:at], out[at+1:])
	}
	switch {
	case len(out) == 0:
		return []string{network.NetworkNone}
	case len(out) == 1 && out[0] == network.NetworkBridge:
		return []string{}
	}
	return out
}

// first is the network that a container starts in.
func first(mode container.NetworkMode) string {
	if mode == "" || mode.IsDefault() {
		return network.NetworkBridge
	}
	return mode.NetworkName()
}

func attached(c container.InspectResponse) map[string]*network.EndpointSettings {
	if c.NetworkSettings == nil {
		return nil
	}
	return c.NetworkSettings.Networks
}

// address is that in the first network; with the host's own there is none.
func address(c container.InspectResponse) string {
	endpoint := attached(c)[first(c.HostConfig.NetworkMode)]
	if endpoint == nil {
		return ""
	}
	return cmp.Or(endpoint.IPAddress, endpoint.GlobalIPv6Address)
}

func security(h *container.HostConfig) deploy.Security {
	s := deploy.Security{
		Privileged: h.Privileged, Capabilities: []string{}, Devices: []string{}, Sysctls: map[string]string{},
		HostNetwork: h.NetworkMode.IsHost(), HostPID: h.PidMode.IsHost(), HostIPC: h.IpcMode.IsHost(),
		NewPrivileges: true,
	}
	for _, capability := range h.CapAdd {
		s.Capabilities = append(s.Capabilities, strings.TrimPrefix(capability, "CAP_"))
	}
	for _, d := range h.Devices {
		s.Devices = append(s.Devices, d.PathOnHost)
	}
	for _, option := range h.SecurityOpt {
		switch option {
		case optNoNewPrivileges, optNoNewPrivileges + ":true", optNoNewPrivileges + "=true":
			s.NewPrivileges = false
		case optNoSeccomp, optNoAppArmor:
			s.Unconfined = true
		}
	}
	maps.Copy(s.Sysctls, h.Sysctls)
	return s
}

// couldBeForeign says whether a container of ours ended as one does whose program is
// for another processor: some runtimes start it well, and it fails in their own
// code before its first instruction.
func couldBeForeign(c deploy.Container) bool {
	const atOnce = time.Second
	ended := c.State == deploy.Exited || c.State == deploy.Restarting
	return ended && (c.Exit == 1 || c.Exit == 255) && c.Ended.Sub(c.Started) < atOnce && (c.Labels[deploy.LabelService] != "" || c.Labels[deploy.LabelDrill] != "")
}

// foreign looks for the word of the runtime at the end of the container's log;
// empty: it is not there. A log that cannot be read says nothing.
func (e *Engine) foreign(ctx context.Context, c *container.InspectResponse) (string, error) {
	var last strings.Builder
	err := e.logs(ctx, c, deploy.Tail{Lines: 1}, &last)
	if err != nil && !errors.Is(err, deploy.ErrRefused) {
		return "", err
	}
	said := strings.TrimSpace(last.String())
	if strings.HasSuffix(said, ": exec format error") && containsAny(said, []string{"exec /", "exec user process"}) {
		return said + ": the program is for another processor", nil
	}
	return "", nil
}

// isLoopback says whether an address is one that only its own machine can use.
func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}
