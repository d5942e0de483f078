package registry

import "cmp"

// claims are the things of a host that only one service can have, and who has
// them.
type claims struct {
	containers map[hostThing]string
	volumes    map[hostThing]string
	ports      map[hostPort]*bindings
	paths      []pathClaim
}

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
