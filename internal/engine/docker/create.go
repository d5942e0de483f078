package docker

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"

	"homelab/internal/deploy"
	"homelab/internal/fault"
)

// labelEnv names the variables of the registry: an engine tells all variables of a
// container, and those of env files are secrets.
const labelEnv = "homelab.env"

// Options of security, as the engine writes them.
const (
	optNoNewPrivileges = "no-new-privileges"
	optNoSeccomp       = "seccomp=unconfined"
	optNoAppArmor      = "apparmor=unconfined"
)

// Create is part of [deploy.Containers]. An engine before 25 takes one network
// when a container is made; it joins the others afterwards, and when it cannot,
// the container goes again. Whether a network is there some engines ask only when
// the container starts, so it is asked here.
func (e *Engine) Create(ctx context.Context, name string, spec deploy.Spec, labels map[string]string) (string, error) {
	const doing = "docker create"
	if name == "" || spec.Service == "" {
		return "", fault.New(fault.InvalidArgument, "a container without a name, or of no service", "name both")
	}
	secrets, err := e.fromFiles(ctx, spec)
	if err != nil {
		return "", err
	}
	if err := e.networksThere(ctx, doing, spec); err != nil {
		return "", err
	}
	if err := e.volumesThere(ctx, spec); err != nil {
		return "", err
	}
	to := deploy.Container{Name: name, Spec: spec}
	made, err := e.api.ContainerCreate(ctx, config(spec, secrets, labels), hostConfig(spec), firstNetwork(spec), nil, name)
	if err != nil {
		return "", e.taken(ctx, doing, name, e.trouble(ctx, doing, to, err))
	}
	for _, other := range spec.Networks[min(1, len(spec.Networks)):] {
		if err := e.api.NetworkConnect(ctx, other, made.ID, nil); err != nil {
			return "", errors.Join(e.trouble(ctx, "docker network connect", to, err), e.undo(ctx, made.ID))
		}
	}
	return made.ID, nil
}

// undo removes a container that was made just now, also when ctx is over.
func (e *Engine) undo(ctx context.Context, id string) error {
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	return e.Remove(ctx, id)
}

// config takes the variables of env files besides: their names are on a label, for
// the day that one is dropped.
func config(s deploy.Spec, secrets, ours map[string]string) *container.Config {
	labels, env := map[string]string{}, maps.Clone(secrets)
	maps.Copy(env, s.Env)
	maps.Copy(labels, s.Labels)
	maps.Copy(labels, ours)
	labels[deploy.LabelService] = s.Service
	labels[labelEnv] = strings.Join(slices.Sorted(maps.Keys(s.Env)), ",")
	if len(secrets) > 0 {
		labels[deploy.LabelEnvFiles] = strings.Join(slices.Sorted(maps.Keys(secrets)), " ")
	}
	grace := seconds(s.StopGrace)
	c := &container.Config{Image: s.Image, Env: joined(env), Labels: labels, ExposedPorts: nat.PortSet{}, StopTimeout: &grace}
	for _, p := range s.Ports {
		c.ExposedPorts[natPort(p)] = struct{}{}
	}
	return c
}

// joined is NAME=VALUE, by name.
func joined(env map[string]string) []string {
	all := []string{}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		all = append(all, name+"="+env[name])
	}
	return all
}

func natPort(p deploy.Port) nat.Port {
	return nat.Port(strconv.Itoa(p.Container) + "/" + p.Protocol)
}

func hostConfig(s deploy.Spec) *container.HostConfig {
	h := &container.HostConfig{
		PortBindings:  nat.PortMap{},
		RestartPolicy: restart(s.Restart),
		Resources:     container.Resources{Memory: s.Limits.Memory, NanoCPUs: s.Limits.CPUs},
		LogConfig:     logConfig(s),
	}
	for _, p := range s.Ports {
		h.PortBindings[natPort(p)] = append(h.PortBindings[natPort(p)], nat.PortBinding{HostIP: p.Address, HostPort: strconv.Itoa(p.Host)})
	}
	for _, m := range s.Mounts {
		h.Mounts = append(h.Mounts, toMount(m))
	}
	if s.Limits.PIDs > 0 {
		h.PidsLimit = &s.Limits.PIDs
	}
	if len(s.Networks) > 0 {
		h.NetworkMode = container.NetworkMode(s.Networks[0])
	}
	secure(h, s.Security)
	return h
}

// toMount makes no path of the host: the engine refuses one that is missing, where
// the older way of binding makes a folder. Propagation is left to the engine: it
// is rprivate, and rslave where the engine's own folder is in the source, for
// which it takes no other. Neither way does the host see mounts of the container.
func toMount(m deploy.Mount) mount.Mount {
	if m.Volume != "" {
		return mount.Mount{Type: mount.TypeVolume, Source: m.Volume, Target: m.Target, ReadOnly: m.ReadOnly}
	}
	return mount.Mount{Type: mount.TypeBind, Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly}
}

func logConfig(s deploy.Spec) container.LogConfig {
	c := container.LogConfig{Type: "json-file", Config: map[string]string{}}
	if s.LogSize > 0 {
		c.Config["max-size"] = strconv.FormatInt(s.LogSize, 10)
	}
	if s.LogFiles > 0 {
		c.Config["max-file"] = strconv.Itoa(s.LogFiles)
	}
	return c
}

func secure(h *container.HostConfig, s deploy.Security) {
	h.Privileged = s.Privileged
	h.CapDrop, h.CapAdd = []string{"ALL"}, slices.Clone(s.Capabilities)
	h.Sysctls = maps.Clone(s.Sysctls)
	if !s.NewPrivileges {
		h.SecurityOpt = append(h.SecurityOpt, optNoNewPrivileges)
	}
	if s.Unconfined {
		h.SecurityOpt = append(h.SecurityOpt, optNoSeccomp, optNoAppArmor)
	}
	for _, path := range s.Devices {
		h.Devices = append(h.Devices, container.DeviceMapping{PathOnHost: path, PathInContainer: path, CgroupPermissions: "rwm"})
	}
	if s.HostNetwork {
		h.NetworkMode = network.NetworkHost
	}
	if s.HostPID {
		h.PidMode = "host"
	}
	if s.HostIPC {
		h.IpcMode = container.IPCModeHost
	}
}

func firstNetwork(s deploy.Spec) *network.NetworkingConfig {
	if len(s.Networks) == 0 || s.Security.HostNetwork {
		return nil
	}
	return &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{s.Networks[0]: {}}}
}
