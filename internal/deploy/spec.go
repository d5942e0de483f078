package deploy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"path"
	"slices"
	"strings"
	"time"

	"homelab/internal/fault"
	"homelab/internal/strictjson"
	"homelab/registry"
)

// What a container has when the registry says nothing of it.
const (
	DefaultRestart         = "unless-stopped"
	DefaultStopGrace       = 10 * time.Second // that of docker stop
	DefaultPIDs            = 1024
	DefaultLogSize   int64 = 10 << 20 // bytes
	DefaultLogFiles        = 3
)

// DefaultCapabilities are what an image needs to start as root, take over its
// files and go on as another user. docs/deploy.md says why those that Docker gives
// besides are not among them.
var DefaultCapabilities = []string{"CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"}

// NewSpec is the container of the service called name, on its host, with the
// image of that pin. The service is one of a valid registry.
//
// The error is a [fault.Precondition] for a service that is not deployed, a
// [fault.InvalidArgument] for a port that is none.
func NewSpec(name string, s registry.Service, host registry.Host, image string) (Spec, error) {
	d := s.Deploy
	if d == nil {
		return Spec{}, OnlyBuilt(name)
	}
	ports, err := portsOf(d.Ports)
	if err != nil {
		return Spec{}, err
	}
	spec := Spec{
		Service:   name,
		Container: s.ContainerOf(name),
		Image:     image,
		Env:       d.Env,
		EnvFiles:  d.EnvFiles,
		Ports:     ports,
		Mounts:    mountsOf(d),
		MountRule: s.MountRule(host),
		Networks:  d.Networks,
		Restart:   cmp.Or(d.Restart, DefaultRestart),
		StopGrace: DefaultStopGrace,
		Limits:    limitsOf(d.Resources),
		Security:  securityOf(s.PrivilegesOf()),
		LogSize:   DefaultLogSize,
		LogFiles:  DefaultLogFiles,
		Labels:    d.Labels,
	}
	return spec.canonical(), nil
}

// OnlyBuilt is the [fault.Precondition] of a service that is not deployed.
func OnlyBuilt(service string) error {
	return fault.New(fault.Precondition, service+" is only built: it has no container", "say in the registry how it runs: services."+service+".deploy")
}

func portsOf(texts []string) ([]Port, error) {
	ports := make([]Port, len(texts))
	for i, text := range texts {
		p, err := registry.ParsePort(text)
		if err != nil {
			return nil, fmt.Errorf("port %s: %w", strictjson.Excerpt(text), err)
		}
		ports[i] = Port(p)
	}
	return ports, nil
}

func mountsOf(d *registry.Deploy) []Mount {
	var mounts []Mount
	for _, v := range d.Volumes {
		mounts = append(mounts, Mount{Volume: v.Name, Target: path.Clean(v.Target), ReadOnly: v.ReadOnly})
	}
	for _, m := range d.Mounts {
		mounts = append(mounts, Mount{Source: m.Source, Target: path.Clean(m.Target), ReadOnly: m.ReadOnly})
	}
	return mounts
}

func limitsOf(r *registry.Resources) Limits {
	if r == nil {
		r = &registry.Resources{}
	}
	return Limits{
		Memory: r.MemoryBytes,
		CPUs:   int64(math.Round(r.CPUs * 1e9)),
		PIDs:   cmp.Or(r.PIDs, DefaultPIDs),
	}
}

func securityOf(p registry.Privileges) Security {
	return Security{
		Privileged:    p.Privileged,
		Capabilities:  slices.Concat(DefaultCapabilities, p.Capabilities),
		NewPrivileges: p.NewPrivileges,
		Devices:       p.Devices,
		HostNetwork:   p.HostNetwork,
		HostPID:       p.HostPID,
		HostIPC:       p.HostIPC,
		Unconfined:    p.Unconfined,
		Sysctls:       p.Sysctls,
	}
}

// canonical is the spec in the one order and spelling that specs of the same
// meaning have. No list or map of it is nil, and none is shared with s.
func (s Spec) canonical() Spec {
	s.Env, s.Labels = object(s.Env), object(s.Labels)
	s.EnvFiles = append([]string{}, s.EnvFiles...) // of two with one variable, the later wins
	s.Ports = append([]Port{}, s.Ports...)
	slices.SortFunc(s.Ports, func(a, b Port) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Protocol, b.Protocol),
			cmp.Compare(a.Address, b.Address), cmp.Compare(a.Container, b.Container))
	})
	s.Mounts = append([]Mount{}, s.Mounts...)
	slices.SortStableFunc(s.Mounts, func(a, b Mount) int { return cmp.Compare(a.Target, b.Target) })
	s.Networks = networks(s.Networks, s.Security.HostNetwork)
	s.Security.Capabilities = set(s.Security.Capabilities)
	s.Security.Devices = set(s.Security.Devices)
	s.Security.Sysctls = object(s.Security.Sysctls)
	return s
}

// networks are the networks of a container: the one it starts in, then the others
// by name. What an engine does without being told is not named.
func networks(names []string, hostNetwork bool) []string {
	if len(names) == 1 && (names[0] == "bridge" || names[0] == "default" || names[0] == "host" && hostNetwork) {
		return []string{}
	}
	all := append([]string{}, names...)
	if len(all) > 1 {
		slices.Sort(all[1:])
	}
	return all
}

func set(items []string) []string {
	all := append([]string{}, items...)
	slices.Sort(all)
	return slices.Compact(all)
}

func object(of map[string]string) map[string]string {
	if of == nil {
		return map[string]string{}
	}
	return maps.Clone(of)
}

// hashVersion counts what changes the hash of a spec that did not change: a field
// that is new, another default that no field shows. Every container is then made
// anew once.
const hashVersion = 1

// Hash tells configurations apart: 32 hex digits of a SHA-256 over everything that
// makes the container, its name included. The image is compared by itself, so that
// who only knows the registry can tell whether a container is as it says; the rule for
// its mounts makes nothing.
func (s Spec) Hash() string {
	s = s.canonical()
	s.Image, s.MountRule = "", registry.MountRule{}
	text, err := json.Marshal(struct {
		Version int  `json:"version"`
		Spec    Spec `json:"spec"`
	}{hashVersion, s})
	if err != nil {
		panic(err) // there is nothing in it that JSON has not
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])[:32]
}

// usualSocket is a link where Docker Desktop runs.
const usualSocket = "/var/run/docker.sock"

// HostPaths are the paths that [SafeMounts] resolves for a spec; none for one that
// mounts nothing of the host.
func HostPaths(spec Spec) []string {
	var sources []string
	for _, m := range spec.Mounts {
		if m.Source != "" {
			sources = append(sources, m.Source)
		}
	}
	if sources == nil {
		return nil
	}
	return set(slices.Concat(sources, spec.MountRule.Roots, spec.MountRule.Sockets, []string{usualSocket}))
}

// SafeMounts checks the paths of the host in a spec where they really lead.
// Resolve follows the links in each of [HostPaths], as [filepath.EvalSymlinks] does,
// on the machine of the engine: a path that it does not have is refused, since what
// is made there later could be a link.
//
// The error is a [fault.Denied] with every reason; what resolve says otherwise is a
// [fault.Precondition].
func SafeMounts(spec Spec, resolve func(string) (string, error)) error {
	if HostPaths(spec) == nil {
		return nil
	}
	rule := spec.MountRule
	rule.Roots = slices.Concat(rule.Roots, elsewhere(rule.Roots, resolve))
	rule.Sockets = slices.Concat(rule.Sockets, elsewhere(slices.Concat(rule.Sockets, []string{usualSocket}), resolve))
	var refused, failed []string
	for _, m := range spec.canonical().Mounts {
		if m.Source == "" {
			continue
		}
		at := strictjson.Path("mounts[" + m.Target + "]")
		real, err := resolve(m.Source)
		if err != nil {
			failed = append(failed, unresolved(at, m.Source, err))
			continue
		}
		refused = append(refused, reasons(spec.MountRule, rule, at, m, real)...)
	}
	switch {
	case len(refused) > 0:
		return fault.New(fault.Denied, fmt.Sprintf("the mounts of %s are refused:\n%s", spec.Service, strings.Join(append(refused, failed...), "\n")),
			"correct deploy.mounts of the service, or what leads elsewhere on the host")
	case len(failed) > 0:
		return fault.New(fault.Precondition, fmt.Sprintf("the mounts of %s cannot be made:\n%s", spec.Service, strings.Join(failed, "\n")),
			"make them on the host, or correct deploy.mounts of the service")
	}
	return nil
}

// elsewhere is where paths lead that do not lead to themselves. What does not exist
// leads nowhere.
func elsewhere(paths []string, resolve func(string) (string, error)) []string {
	var all []string
	for _, p := range paths {
		if real, err := resolve(p); err == nil && real != p {
			all = append(all, real)
		}
	}
	return all
}

// reasons say why a mount is refused: as it is written, else where it leads.
func reasons(written, resolved registry.MountRule, at strictjson.Path, m Mount, real string) []string {
	var all []string
	found := written.Problems(at, registry.Mount{Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly})
	if len(found) == 0 {
		found = resolved.Problems(at, registry.Mount{Source: real, Target: m.Target, ReadOnly: m.ReadOnly})
	}
	for _, p := range found {
		if real != m.Source {
			p.Value = strictjson.Excerpt(m.Source) + ", which leads to " + strictjson.Excerpt(real)
		}
		all = append(all, p.String())
	}
	return all
}

func unresolved(at strictjson.Path, source string, err error) string {
	message := err.Error()
	if errors.Is(err, fs.ErrNotExist) {
		message = "there is no such path on the host"
	}
	return fmt.Sprintf("%s: %s: %s", at, strictjson.Excerpt(source), message)
}
