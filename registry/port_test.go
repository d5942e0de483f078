package registry_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/registry"
)

func TestParsePort(t *testing.T) {
	for text, want := range map[string]registry.Port{
		"80:8080":                     {Host: 80, Container: 8080, Protocol: "tcp"},
		"65535:1/udp":                 {Host: 65535, Container: 1, Protocol: "udp"},
		"127.0.0.1:80:80/tcp":         {Address: "127.0.0.1", Host: 80, Container: 80, Protocol: "tcp"},
		"[::1]:80:80":                 {Address: "::1", Host: 80, Container: 80, Protocol: "tcp"},
		"[0:0::1]:80:80":              {Address: "::1", Host: 80, Container: 80, Protocol: "tcp"},
		"[::ffff:10.0.0.1]:53:53/udp": {Address: "10.0.0.1", Host: 53, Container: 53, Protocol: "udp"},
	} {
		got, err := registry.ParsePort(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	const form = `write [ADDRESS:]HOST:CONTAINER[/udp], such as "8123:8123" or "127.0.0.1:5353:53/udp"`
	const address = "write an IP address of the host, such as 127.0.0.1, or leave it out for every address"
	for _, bad := range []struct{ text, message, hint string }{
		{"", "not a published port", form},
		{"80", "not a published port", form},
		{"[::1]:80", "not a published port", form},
		{"80:80/sctp", "the protocol is not tcp or udp", "write /tcp or /udp at the end, or nothing for tcp"},
		{"80:80/", "the protocol is not tcp or udp", "write /tcp or /udp at the end, or nothing for tcp"},
		{"8000-8010:8000-8010", "ranges of ports are not read", "list each port by itself"},
		{"0:80", "a port is not a number from 1 to 65535", form},
		{"80:65536", "a port is not a number from 1 to 65535", form},
		{":80", "a port is not a number from 1 to 65535", form},
		{"+80:80", "a port is not a number from 1 to 65535", form},
		{"::1:80:80", "too many colons", "write an IPv6 address in brackets: [::1]:8080:80"},
		{"pi.lan:80:80", "the address is not an IP address", address},
		{":80:80", "the address is not an IP address", address},
		{"[fe80::1%eth0]:80:80", "the address is not an IP address", address},
	} {
		_, err := registry.ParsePort(bad.text)
		assert.Equal(t, fault.New(fault.InvalidArgument, bad.message, bad.hint), err, bad.text)
	}
}

func TestValidatePorts(t *testing.T) {
	publish := func(r *registry.Registry, name, host string, ports ...string) {
		s := r.Services["loki"]
		s.Deploy = &registry.Deploy{Host: host, Container: name + "1", Ports: ports}
		r.Services[name] = s
	}
	const fix = "choose another port, or another address for each"
	checkRules(t, []rule{
		{"not a port", func(r *registry.Registry) { publish(r, "loki", "", "80:80", "3100") }, registry.Problems{
			problem("$.services.loki.deploy.ports[1]", `"3100"`, "not a published port",
				`write [ADDRESS:]HOST:CONTAINER[/udp], such as "8123:8123" or "127.0.0.1:5353:53/udp"`)}},
		{"apart", func(r *registry.Registry) {
			publish(r, "a", "", "10.0.0.1:80:80", "53:53/udp", "[::1]:80:80")
			publish(r, "b", "local", "10.0.0.2:80:80", "53:53/tcp", "81:80")
			publish(r, "c", "pi", "80:80", "53:53/udp")
		}, nil},
		{"the same", func(r *registry.Registry) {
			publish(r, "a", "", "80:80")
			publish(r, "b", "local", "80:8080/tcp")
		}, registry.Problems{
			problem("$.services.b.deploy.ports[0]", `"80:8080/tcp"`, "port 80/tcp of host local is published by a", fix)}},
		{"one address and every address", func(r *registry.Registry) {
			publish(r, "a", "pi", "10.0.0.1:80:80", "0.0.0.0:81:80", "[::]:82:80")
			publish(r, "b", "pi", "80:80", "10.0.0.1:81:80", "127.0.0.1:82:80")
			publish(r, "c", "pi", "10.0.0.1:80:80")
		}, registry.Problems{
			problem("$.services.b.deploy.ports[0]", `"80:80"`, "port 80/tcp of host pi is published by a", fix),
			problem("$.services.b.deploy.ports[1]", `"10.0.0.1:81:80"`, "port 81/tcp of host pi is published by a", fix),
			problem("$.services.b.deploy.ports[2]", `"127.0.0.1:82:80"`, "port 82/tcp of host pi is published by a", fix),
			problem("$.services.c.deploy.ports[0]", `"10.0.0.1:80:80"`, "port 80/tcp of host pi is published by a", fix)}},
		{"one service", func(r *registry.Registry) { publish(r, "a", "", "80:80", "127.0.0.1:80:81") }, registry.Problems{
			problem("$.services.a.deploy.ports[1]", `"127.0.0.1:80:81"`, "port 80/tcp of the host is published twice", "remove one of them")}},
	})
}
