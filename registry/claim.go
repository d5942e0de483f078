package registry

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"path"
	"strings"
)

// claims are the things of a host that only one service can have, and who has
// them.
type claims struct {
	containers map[hostThing]string
	volumes    map[hostThing]string
	ports      map[hostPort]*bindings
	paths      []pathClaim
}

// hostThing is a thing of a host, which is named as [validation.place] does.
type hostThing struct{ host, name string }

type hostPort struct {
	host     string
	number   int
	protocol string
}

// bindings are the services that publish one port of a host.
type bindings struct {
	first     string
	all       string // publishes it on every address
	addresses map[string]string
}

func newClaims() claims {
	return claims{
		containers: map[hostThing]string{},
		volumes:    map[hostThing]string{},
		ports:      map[hostPort]*bindings{},
	}
}

// take gives the thing to the service, and returns who had it before.
func take(things map[hostThing]string, host, name, service string) (owner string, taken bool) {
	thing := hostThing{host, name}
	if owner, taken = things[thing]; !taken {
		things[thing] = service
	}
	return owner, taken
}

// takePort gives the port to the service, and returns a service that has it
// already on the same address, where "every address" is the same as any.
func (c claims) takePort(host string, p Port, service string) (owner string, taken bool) {
	key := hostPort{host, p.Host, p.Protocol}
	b := c.ports[key]
	if b == nil {
		b = &bindings{first: service, addresses: map[string]string{}}
		c.ports[key] = b
	} else if owner = cmp.Or(b.all, b.addresses[p.Address]); owner != "" {
		return owner, true
	} else if p.everywhere() {
		return b.first, true
	}
	if p.everywhere() {
		b.all = service
	} else {
		b.addresses[p.Address] = service
	}
	return "", false
}

// place is what claims know a host by: the address of its engine, which several
// names can lead to; without one it is that of this machine. A host that is not
// declared is another one.
func (v *validation) place(host string) string {
	known, ok := v.places[host]
	if !ok {
		known = host
		if declared, is := v.registry.Hosts[host]; is || host == LocalHost {
			known = cmp.Or(engineOf(declared.Docker), LocalHost)
		}
		v.places[host] = known
	}
	return known
}

// shared is the name of a host for a message, with the other one by which the
// owner of something knows it.
func (v *validation) shared(host, owner string) string {
	if other := v.registry.Services[owner].HostOf(); other != host {
		return fmt.Sprintf("%s (one engine with host %s)", host, other)
	}
	return host
}

// engineOf is the one spelling of an engine's address. Another user is another
// engine, since there can be one for each.
func engineOf(address string) string {
	if socket, ok := strings.CutPrefix(address, "unix://"); ok {
		return "unix://" + path.Clean(socket)
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return address
	}
	port := u.Port()
	if port == "" && u.Scheme == "ssh" {
		port = "22"
	}
	one := url.URL{Scheme: u.Scheme, User: u.User, Host: net.JoinHostPort(strings.ToLower(u.Hostname()), port)}
	if u.Path != "" && u.Path != "/" {
		one.Path = path.Clean(u.Path)
	}
	return one.String()
}
