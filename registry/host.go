package registry

import (
	"net/url"
	"path"
	"strconv"
	"strings"

	"homelab/internal/lazy"
	"homelab/internal/strictjson"
)

func (v *validation) declaredHosts() {
	root := strictjson.Root.Key("hosts")
	for _, name := range v.hosts {
		host, declared := v.registry.Hosts[name]
		if !declared {
			continue
		}
		at := root.Key(name)
		v.report(at, name, nameFlaw(name))
		if f := endpointFlaw(host.Docker); host.Docker != "" && !f.none() {
			v.report(at.Key("docker"), withoutPassword(host.Docker), f)
		}
		v.field(at, "system", host.System, v.systemFlaw)
		v.list(at.Key("mountRoots"), host.MountRoots, cleanFlaw)
		if host.TLS != nil {
			v.tls(at.Key("tls"), host)
		}
	}
}

func (v *validation) tls(at strictjson.Path, host Host) {
	if !strings.HasPrefix(host.Docker, "tcp://") {
		v.report(at, host.TLS, flawf("remove it, or make docker a tcp://host:port", "TLS is for a tcp:// engine"))
	}
	v.required(at, "ca", host.TLS.CA, absoluteFlaw)
	v.required(at, "cert", host.TLS.Cert, absoluteFlaw)
	v.required(at, "key", host.TLS.Key, absoluteFlaw)
}

// absoluteFlaw checks an absolute path.
func absoluteFlaw(p string) flaw {
	switch {
	case p == "":
		return flawf("write an absolute path", "an empty path")
	case strings.ContainsRune(p, 0):
		return flawf("remove the NUL byte", "no path has a NUL byte")
	case !path.IsAbs(p):
		return flawf("write an absolute path", "not an absolute path")
	}
	return flaw{}
}

// cleanFlaw checks an absolute path that has only one spelling.
func cleanFlaw(p string) flaw {
	if f := absoluteFlaw(p); !f.none() {
		return f
	}
	if clean := path.Clean(p); clean != p {
		return flawf("write "+strictjson.Excerpt(clean), "not the plain spelling of the path")
	}
	return flaw{}
}

const endpointForms = "write unix:///path, ssh://user@host[:port] or tcp://host:port"

// endpointFlaw checks the address of a Docker engine.
func endpointFlaw(endpoint string) flaw {
	scheme, rest, isURL := strings.Cut(endpoint, "://")
	switch {
	case !isURL && path.IsAbs(endpoint):
		return flawf("write "+strictjson.Excerpt("unix://"+endpoint), "not the address of a Docker engine")
	case !isURL:
		return flawf(endpointForms, "not the address of a Docker engine")
	case scheme == "unix":
		return socketFlaw(rest)
	case scheme != "ssh" && scheme != "tcp":
		return flawf(endpointForms, "no Docker engine is reached through %s", strictjson.Excerpt(scheme))
	}
	u, f := remote(endpoint)
	switch {
	case !f.none():
		return f
	case scheme == "ssh" && len(u.Path) > 1 && path.Clean(u.Path) == u.Path: // the socket there
	case u.Path != "" && u.Path != "/":
		return flawf(endpointForms, "nothing can follow the host")
	case scheme == "tcp" && u.User != nil:
		return flawf("remove the user; a tcp:// engine knows its clients by tls", "a user is for ssh://")
	case scheme == "tcp" && u.Port() == "":
		return flawf("write "+strictjson.Excerpt("tcp://"+u.Host+":2376"), "the port is missing")
	}
	return flaw{}
}

func socketFlaw(socket string) flaw {
	if !path.IsAbs(socket) {
		return flawf("write "+strictjson.Excerpt("unix:///"+socket), "the path of the socket is not absolute")
	}
	return absoluteFlaw(socket)
}

// hostSyntax leaves out what a program that is given the host or the user as
// an argument could take for an option.
var hostSyntax = lazy.Regexp(`^[a-zA-Z0-9_\[:][^\s[:cntrl:]]*$`)

// remote reads an address with a host, and checks what every such address must
// have.
func remote(address string) (*url.URL, flaw) {
	u, err := url.Parse(address)
	if err != nil {
		// Its message repeats the address, with the password.
		return nil, flawf("write it as scheme://user@host:port/path", "not a well-formed address")
	}
	_, hasPassword := u.User.Password()
	port, err := strconv.Atoi(u.Port())
	switch {
	case hasPassword:
		return u, flawf("remove the password: the registry is read by many; use a key or a file of your own", "a password in the address")
	case !hostSyntax().MatchString(u.Hostname()):
		return u, flawf("write scheme://user@host", "the host is missing or not valid")
	case u.User != nil && !hostSyntax().MatchString(u.User.Username()):
		return u, flawf("write scheme://user@host", "the user is missing or not valid")
	case u.Port() != "" && (err != nil || port < 1 || port > 65535), strings.HasSuffix(u.Host, ":"):
		return u, flawf("write a port from 1 to 65535", "the port is not valid")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return u, flawf("remove it", "nothing can follow a ? or #")
	}
	return u, flaw{}
}

// withoutPassword is the address as it may be shown.
func withoutPassword(address string) string {
	start, at := 0, strings.LastIndex(address, "@")
	if scheme := strings.Index(address, "://"); scheme >= 0 {
		start = scheme + len("://")
	}
	if at < start {
		return address
	}
	user, _, hasPassword := strings.Cut(address[start:at], ":")
	if !hasPassword {
		return address
	}
	return address[:start] + user + ":…" + address[at:]
}
