// Package dockerhost reaches Docker engines, and their hosts: where is the engine of a
// host, does it answer, which Nix system does it run, and which containers?
//
// [Resolve] finds the engine the docker command would talk to, [Dial] makes a
// handle that connects when it is first used, over a socket, TCP or ssh.
// [Engine.Server] asks who is there, [Engine.Containers] what there is;
// [Engine.DialTCP], [Engine.ReadFile] and [Engine.Resolver] reach ports and files of
// the host.
package dockerhost

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"homelab/internal/fault"
	"homelab/registry"
)

// Endpoint is where an engine is.
type Endpoint struct {
	URL string // unix://, ssh:// or tcp://, never with a password

	// TLS names the certificate files of a tcp:// engine; nil: no TLS. An empty
	// CA means the certificate authorities of this machine, an empty Cert and
	// Key no client certificate.
	TLS *registry.TLS
	// Insecure accepts any server certificate, as the Docker context or
	// DOCKER_TLS asks.
	Insecure bool

	Source string // registry, DOCKER_HOST, context NAME or default
}

// String is the URL and where it came from, for messages.
func (e Endpoint) String() string {
	if e.Source == "" {
		return e.URL
	}
	return e.URL + " (" + e.Source + ")"
}

const defaultSocket = "/var/run/docker.sock"

// Resolve finds the engine of a host: what the registry says, else what the
// docker command would use, in its order: DOCKER_HOST, the context named by
// DOCKER_CONTEXT, the current context, the local socket. It reads files below
// home (or DOCKER_CONFIG) and connects to nothing.
func Resolve(host registry.Host, env func(string) string, home string) (Endpoint, error) {
	if host.Docker != "" {
		return located(Endpoint{URL: host.Docker, TLS: host.TLS, Source: "registry"})
	}
	config := configDir(env, home)
	if raw := env("DOCKER_HOST"); raw != "" {
		return fromEnvironment(raw, env, config)
	}
	name, origin, err := contextName(env, config)
	if err != nil {
		return Endpoint{}, err
	}
	if name != "" {
		return fromContext(name, origin, config)
	}
	return Endpoint{URL: "unix://" + firstThatExists(localSockets(env, home)...), Source: "default"}, nil
}

// localSockets are where an engine of this machine listens: the system-wide one, then
// that of Docker Desktop on a Mac, which need not make that, then a rootless one.
func localSockets(env func(string) string, home string) []string {
	sockets := []string{defaultSocket, filepath.Join(home, ".docker", "run", "docker.sock")}
	if runtime := env("XDG_RUNTIME_DIR"); filepath.IsAbs(runtime) {
		sockets = append(sockets, filepath.Join(runtime, "docker.sock"))
	}
	return sockets
}

// fromEnvironment reads DOCKER_HOST with the variables that go with it. As
// for the docker command, DOCKER_CERT_PATH alone does not ask for TLS.
func fromEnvironment(raw string, env func(string) string, config string) (Endpoint, error) {
	if raw == "unix://" {
		raw += defaultSocket
	}
	if !strings.Contains(raw, "://") {
		raw = "tcp://" + raw
	}
	e := Endpoint{URL: raw, Source: "DOCKER_HOST"}
	verify := env("DOCKER_TLS_VERIFY") != ""
	if !strings.HasPrefix(raw, "tcp://") || !verify && env("DOCKER_TLS") == "" {
		return located(e)
	}
	dir := env("DOCKER_CERT_PATH")
	if dir == "" {
		dir = config
	}
	e.Insecure = !verify
	e.TLS = &registry.TLS{Cert: existing(dir, "cert.pem"), Key: existing(dir, "key.pem")}
	if verify {
		e.TLS.CA = filepath.Join(dir, "ca.pem")
	}
	return located(e)
}

// located checks the URL of the endpoint and writes it in full.
func located(e Endpoint) (Endpoint, error) {
	a, err := parseAddress(e.URL)
	if err != nil {
		f := fault.Of(err)
		return Endpoint{}, &fault.Error{Code: f.Code, Message: f.Message + " (from " + e.Source + ")", Hint: f.Hint, Err: err}
	}
	if a.scheme != "tcp" {
		e.TLS, e.Insecure = nil, false // a context keeps them for every kind of engine
	} else if a.port == "" {
		a.port = "2375"
		if e.TLS != nil {
			a.port = "2376"
		}
	}
	e.URL = a.String()
	return e, nil
}

// existing is the path of name in dir, or "" when there is none. Any other
// doubt counts as there: opening it will tell.
func existing(dir, name string) string {
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return path
}

// firstThatExists is the first of the paths that is there, else the first.
func firstThatExists(paths ...string) string {
	for _, path := range paths {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return paths[0]
}
