package registry

import (
	"path"
	"slices"
	"strings"

	"homelab/internal/lazy"
	"homelab/internal/strictjson"
)

// MountRule says which paths of a host a service may mount. The zero value
// allows none.
type MountRule struct {
	Host         string   `json:"host"`    // its name
	Roots        []string `json:"roots"`   // what is mounted is one of them, or below
	Sockets      []string `json:"sockets"` // of its engine, besides the usual ones
	Privileged   bool     `json:"privileged"`
	DockerSocket bool     `json:"dockerSocket"`
}

// MountRule is the rule for the mounts of the service on its host.
func (s Service) MountRule(h Host) MountRule {
	p := s.PrivilegesOf()
	rule := MountRule{Host: s.HostOf(), Roots: []string{"/"}, Sockets: []string{}, Privileged: p.Privileged, DockerSocket: p.DockerSocket}
	if h.MountRoots != nil {
		rule.Roots = slices.Clone(h.MountRoots)
	}
	if socket := h.socket(); socket != "" {
		rule.Sockets = append(rule.Sockets, socket)
	}
	return rule
}

// socket is the path of the engine's socket where the address says it; empty
// where it does not.
func (h Host) socket() string {
	scheme, rest, _ := strings.Cut(h.Docker, "://")
	if scheme == "ssh" {
		_, rest, _ = strings.Cut(rest, "/")
		rest = "/" + rest
	}
	if (scheme == "unix" || scheme == "ssh") && path.IsAbs(rest) && rest != "/" {
		return path.Clean(rest)
	}
	return ""
}

// Problems are the reasons why the rule refuses a mount; nil when it does not.
// They are about its path as it is written: a link on the host leads elsewhere.
func (r MountRule) Problems(at strictjson.Path, m Mount) Problems {
	var all Problems
	for _, f := range r.flaws(m) {
		all = append(all, Problem{Path: string(at), Value: strictjson.Excerpt(m.Source), Message: cut(f.message), Fix: cut(f.fix)})
	}
	return all
}

func (r MountRule) flaws(m Mount) []flaw {
	if f := cleanFlaw(m.Source); !f.none() {
		return []flaw{f}
	}
	var all []flaw
	for _, f := range []flaw{r.socketFlaw(m.Source), r.systemFlaw(m), r.rootsFlaw(m.Source)} {
		if !f.none() {
			all = append(all, f)
		}
	}
	return all
}

// rootsFlaw checks that a path is below a root of the host.
func (r MountRule) rootsFlaw(source string) flaw {
	for _, root := range r.Roots {
		if isBelow(source, root) {
			return flaw{}
		}
	}
	if len(r.Roots) == 0 {
		return flawf("use a volume, or add the path to hosts."+r.Host+".mountRoots", "nothing of host %s is mounted: its mountRoots are empty", r.Host)
	}
	return flawf("mount something below one of them, or add the path to hosts."+r.Host+".mountRoots",
		"not below the mountRoots of host %s: %s", r.Host, strings.Join(r.Roots, ", "))
}

// isBelow says whether a path is another one, or below it. Both are plain.
func isBelow(p, folder string) bool {
	return p == folder || folder == "/" || strings.HasPrefix(p, folder+"/")
}

// canonical is the path under which the places below are listed: /var/run is a
// link to /run everywhere; macOS has /etc and /var in /private, and file systems
// that take large letters for small ones.
func canonical(p string) string {
	p = strings.ToLower(p)
	for _, folder := range []string{"/etc", "/var"} {
		if isBelow(p, "/private"+folder) {
			p = strings.TrimPrefix(p, "/private")
		}
	}
	if isBelow(p, "/var/run") {
		p = strings.TrimPrefix(p, "/var")
	}
	return p
}

var (
	// sockets are where the usual engines listen. Whoever can write to one is root
	// on the host, or the user of a rootless engine.
	sockets = []string{
		"/run/docker.sock", "/run/docker/containerd/containerd.sock",
		"/run/containerd/containerd.sock", "/run/k3s/containerd/containerd.sock",
		"/run/podman/podman.sock", "/run/crio/crio.sock", "/var/run/docker.sock",
	}
	// socketEndings are of any path that is a socket of an engine.
	socketEndings = []string{"docker.sock", "podman.sock", "containerd.sock", "crio.sock"}
	// rootlessFolders hold the sockets of the engines of users.
	rootlessFolders = lazy.Regexp(`^/run/user(/[0-9]+(/podman|/containerd|/docker)?)?$`)
)

// socketFlaw checks that a path does not give the socket of an engine: that it is
// none, and is not above or below one.
func (r MountRule) socketFlaw(source string) flaw {
	if r.DockerSocket {
		return flaw{}
	}
	const fix = "remove the mount, or set privileges.dockerSocket: with the socket the service is root on the host"
	p := canonical(source)
	for _, ending := range socketEndings {
		if strings.HasSuffix(p, ending) {
			return flawf(fix, "the path is a socket of a container engine")
		}
	}
	if rootlessFolders().MatchString(p) {
		return flawf(fix, "the path holds the sockets of rootless container engines")
	}
	for _, socket := range slices.Concat(r.Sockets, sockets) {
		switch at := canonical(socket); {
		case isBelow(p, at) || isBelow(p, socket):
			return flawf(fix, "the path is a socket of a container engine")
		case isBelow(at, p) || isBelow(socket, p):
			return flawf(fix, "the path holds a socket of a container engine, %s", strictjson.Excerpt(socket))
		}
	}
	return flaw{}
}

// place is a folder of the host's system, or a file of it that is secret.
type place struct{ path, fix string }

const ownFolder = "mount a folder of the service's own, such as /srv/NAME"

var (
	// closed is mounted neither itself, nor with what is above or below.
	closed = []place{
		{"/proc", ownFolder}, {"/sys", ownFolder}, {"/boot", ownFolder}, {"/root", ownFolder},
		{"/dev", "name the device in privileges.devices"},
		{"/var/lib/docker", "use a volume"}, {"/var/lib/containerd", ownFolder}, {"/var/lib/containers", "use a volume"},
		{"/etc/shadow", ownFolder}, {"/etc/shadow-", ownFolder}, {"/etc/gshadow", ownFolder}, {"/etc/gshadow-", ownFolder},
		{"/etc/ssh", ownFolder}, {"/etc/ssl/private", ownFolder}, {"/etc/docker", ownFolder},
	}
	// readable is what the host runs and how it is set up: whoever writes there is
	// root on it in the end.
	readable = []string{"/etc", "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix"}
)

// systemFlaw checks that a mount leaves the system of the host alone.
func (r MountRule) systemFlaw(m Mount) flaw {
	if r.Privileged {
		return flaw{}
	}
	p := canonical(m.Source)
	if p == "/" {
		return flawf(ownFolder+", or set privileges.privileged", "it is all there is on the host")
	}
	for _, closed := range closed {
		fix := closed.fix + ", or set privileges.privileged"
		switch {
		case p == closed.path:
			return flawf(fix, "it belongs to the system of the host")
		case isBelow(p, closed.path):
			return flawf(fix, "it is in %s, which belongs to the system of the host", closed.path)
		case isBelow(closed.path, p):
			return flawf(ownFolder+", or set privileges.privileged", "it holds %s, which belongs to the system of the host", closed.path)
		}
	}
	for _, folder := range readable {
		if isBelow(p, folder) && !m.ReadOnly {
			return flawf("set readOnly, or "+ownFolder, "it is of %s, which belongs to the system of the host and can only be read", folder)
		}
	}
	return flaw{}
}
