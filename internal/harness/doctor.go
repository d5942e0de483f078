package harness

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"homelab/internal/doctor"
	"homelab/internal/fault"
	"homelab/registry"
)

// registryTimeout is longer than the others': the first evaluation of a flake
// fetches its inputs.
const registryTimeout = 60 * time.Second

// hostTimeout lets the engine's own, shorter patience explain itself first.
const hostTimeout = 15 * time.Second

// doctor runs the probes of this machine, then, since only the registry knows
// them, those of the hosts.
func (h *Harness) doctor(ctx context.Context, done func(doctor.Check)) (*doctor.Report, error) {
	var reg *registry.Registry
	here, err := doctor.Run(ctx, []doctor.Probe{
		{Name: "git", Run: probeGit},
		{Name: "repository", Run: h.probeRepository},
		{Name: "registry", Timeout: registryTimeout, Run: func(ctx context.Context) doctor.Check {
			var check doctor.Check
			check, reg = h.probeRegistry(ctx)
			return check
		}},
		{Name: "nix", Run: probeNix},
		{Name: "cache", Run: probeCache},
		{Name: "state", Run: h.probeState},
	}, done)
	if err != nil {
		return nil, err
	}
	probes := h.hostProbes(reg)
	if reg != nil && len(reg.Services) > 0 {
		probes = append(probes, doctor.Probe{Name: "builders", Timeout: hostTimeout, Run: h.probeBuilders(reg)})
	}
	there, err := doctor.Run(ctx, probes, done)
	if err != nil {
		return nil, err
	}
	return &doctor.Report{OK: here.OK && there.OK, Checks: append(here.Checks, there.Checks...)}, nil
}

// hostProbes asks the engine of every host, or the local one when there is no
// registry to name them.
func (h *Harness) hostProbes(reg *registry.Registry) []doctor.Probe {
	hosts, used := map[string]registry.Host{}, map[string]int{}
	if reg != nil {
		hosts, used = reg.AllHosts(), reg.UsedHosts()
	}
	if len(hosts) == 0 {
		hosts, used = map[string]registry.Host{registry.LocalHost: {}}, map[string]int{}
	}
	probes := make([]doctor.Probe, 0, len(hosts)+1)
	overSSH := false
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		overSSH = overSSH || strings.HasPrefix(hosts[name].Docker, "ssh://")
		probes = append(probes, doctor.Probe{Name: "docker:" + name, Timeout: hostTimeout, Run: h.probeEngine(name, hosts[name], used[name] > 0)})
	}
	if overSSH {
		probes = append(probes, doctor.Probe{Name: "ssh", Run: probeSSH})
	}
	return probes
}

func (h *Harness) probeEngine(name string, host registry.Host, used bool) func(context.Context) doctor.Check {
	return func(ctx context.Context) doctor.Check {
		server, err := h.engine(ctx, host)
		switch {
		case err != nil && !used:
			check := failed(err)
			check.Status = doctor.Absent
			return check
		case err != nil:
			return failed(err)
		case host.System != "" && server.System != "" && host.System != server.System:
			return doctor.Check{
				Status: doctor.Warn, Version: server.Version,
				Detail: fmt.Sprintf("runs %s, the registry says %s", server.System, host.System),
				Fix:    "remove hosts." + name + ".system, or set it to what runs there",
			}
		}
		return doctor.Check{Status: doctor.OK, Version: server.Version, Detail: strings.TrimSpace(server.OS + "/" + server.Arch + " " + server.System)}
	}
}

// failed turns an error into a check.
func failed(err error) doctor.Check {
	f := fault.Of(err)
	detail, _, _ := strings.Cut(f.Error(), "\n")
	return doctor.Check{Status: doctor.Fail, Detail: strings.TrimSuffix(detail, ":"), Fix: f.Hint}
}
