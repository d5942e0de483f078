package docker

import (
	"cmp"
	"context"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/system"

	"homelab/internal/deploy"
	"homelab/internal/fault"
)

// Dial is part of [deploy.Containers]. It goes to the container's own address when
// containers are in reach, else to the port of the host that it is published at.
// A published port is the worse witness: for some engines a proxy of theirs takes
// connections there before the container does.
func (e *Engine) Dial(ctx context.Context, c deploy.Container, port int) (net.Conn, error) {
	self, inside := e.host.View()
	if c.Spec.Security.HostNetwork {
		return e.connect(ctx, self, port)
	}
	if c.Address != "" && inside {
		near, err := e.near(ctx)
		if err != nil {
			return nil, err
		}
		if near {
			return e.connect(ctx, c.Address, port)
		}
	}
	for _, p := range c.Spec.Ports {
		if p.Container == port && p.Protocol == "tcp" && p.Host != 0 && (inside || isLoopback(self) || !isLoopback(p.Address)) {
			return e.connect(ctx, published(p, self), p.Host)
		}
	}
	return nil, fault.Newf(fault.Precondition,
		"publish the port (deploy.ports, not on 127.0.0.1 of a tcp:// host), or use the health check exec or docker",
		"port %d of container %s cannot be reached by way of the Docker engine at %s", port, c.Name, e.host.Endpoint())
}

// published is the address of the host that a port is published at.
func published(p deploy.Port, self string) string {
	if slices.Contains([]string{"0.0.0.0", "::"}, p.Address) {
		return self
	}
	return cmp.Or(p.Address, self)
}

func (e *Engine) connect(ctx context.Context, host string, port int) (net.Conn, error) {
	return e.host.DialTCP(ctx, net.JoinHostPort(host, strconv.Itoa(port)))
}

// near says whether the engine's host can reach the addresses of containers: not
// when the engine has a network of its own, as without root, or a machine of its
// own, as Docker Desktop and everything on a Mac.
func (e *Engine) near(ctx context.Context) (bool, error) {
	if e.host.Local() && runtime.GOOS != "linux" {
		return false, nil
	}
	if known := e.isNear.Load(); known != nil {
		return *known, nil
	}
	info, err := e.api.Info(ctx)
	if err != nil {
		return false, e.explain(ctx, "docker info", err)
	}
	near := isNear(info)
	e.isNear.Store(&near)
	return near, nil
}

func isNear(info system.Info) bool {
	rootless := slices.ContainsFunc(info.SecurityOptions, func(o string) bool { return strings.HasPrefix(o, "name=rootless") })
	return !rootless && info.OperatingSystem != "Docker Desktop"
}
