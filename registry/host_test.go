package registry_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"homelab/registry"
)

func TestValidateDockerEndpoints(t *testing.T) {
	const forms = "write unix:///path, ssh://user@host[:port] or tcp://host:port"
	for _, good := range []string{
		"unix:///var/run/docker.sock", "ssh://pi", "ssh://pi@pi.lan:2222", "ssh://pi.lan/", "tcp://10.0.0.1:2376", "tcp://[::1]:2375",
	} {
		r := valid()
		r.Hosts["pi"] = registry.Host{Docker: good}
		assert.Empty(t, r.Validate(), good)
	}
	for _, bad := range []struct{ endpoint, shown, message, fix string }{
		{"/var/run/docker.sock", "", "not the address of a Docker engine", `write "unix:///var/run/docker.sock"`},
		{"pi@pi.lan", "", "not the address of a Docker engine", forms},
		{"http://pi.lan:2375", "", `no Docker engine is reached through "http"`, forms},
		{"unix://run/docker.sock", "", "the path of the socket is not absolute", `write "unix:///run/docker.sock"`},
		{"unix:///run\x00", `"unix:///run\u0000"`, "no path has a NUL byte", "remove the NUL byte"},
		{"ssh://", "", "the host is missing or not valid", "write scheme://user@host"},
		{"ssh://-oProxyCommand=x", "", "the host is missing or not valid", "write scheme://user@host"},
		{"ssh://-l@pi", "", "the user is missing or not valid", "write scheme://user@host"},
		{"ssh://pi:0", "", "the port is not valid", "write a port from 1 to 65535"},
		{"ssh://pi:99999", "", "the port is not valid", "write a port from 1 to 65535"},
		{"ssh://pi:", "", "the port is not valid", "write a port from 1 to 65535"},
		{"ssh://pi/run/../docker.sock", "", "nothing can follow the host", forms},
		{"tcp://pi:2376/run/docker.sock", "", "nothing can follow the host", forms},
		{"ssh://pi?a=b", "", "nothing can follow a ? or #", "remove it"},
		{"ssh://pi:hunter2@pi.lan", `"ssh://pi:…@pi.lan"`, "a password in the address",
			"remove the password: the registry is read by many; use a key or a file of your own"},
		{"ssh://pi:hunter%2@pi.lan", `"ssh://pi:…@pi.lan"`, "not a well-formed address", "write it as scheme://user@host:port/path"},
		{"pi:hunter2@pi.lan", `"pi:…@pi.lan"`, "not the address of a Docker engine", forms},
		{"tcp://pi.lan", "", "the port is missing", `write "tcp://pi.lan:2376"`},
		{"tcp://me@pi.lan:2376", "", "a user is for ssh://", "remove the user; a tcp:// engine knows its clients by tls"},
	} {
		r := valid()
		r.Hosts["pi"] = registry.Host{Docker: bad.endpoint}
		if bad.shown == "" {
			bad.shown = `"` + bad.endpoint + `"`
		}
		assert.Equal(t, registry.Problems{problem("$.hosts.pi.docker", bad.shown, bad.message, bad.fix)}, r.Validate(), bad.endpoint)
	}
}

func TestValidateHosts(t *testing.T) {
	tls := &registry.TLS{CA: "/ca.pem", Cert: "cert.pem"}
	checkRules(t, []rule{
		{"tls", func(r *registry.Registry) { r.Hosts["pi"] = registry.Host{Docker: "tcp://pi:2376", TLS: tls} }, registry.Problems{
			problem("$.hosts.pi.tls.cert", `"cert.pem"`, "not an absolute path", "write an absolute path"),
			problem("$.hosts.pi.tls.key", `""`, "an empty path", "write an absolute path")}},
		{"tls of no tcp engine", func(r *registry.Registry) {
			r.Hosts["pi"] = registry.Host{Docker: "ssh://pi", TLS: &registry.TLS{CA: "/a", Cert: "/b", Key: "/c"}}
		}, registry.Problems{
			problem("$.hosts.pi.tls", `{"ca":"/a","cert":"/b","key":"/c"}`, "TLS is for a tcp:// engine", "remove it, or make docker a tcp://host:port")}},
		{"system", func(r *registry.Registry) { r.Hosts["pi"] = registry.Host{System: "aarch64"} }, registry.Problems{
			problem("$.hosts.pi.system", `"aarch64"`, "not a Nix system that homelab knows", "did you mean aarch64-darwin, aarch64-linux?")}},
		{"the local host declared", func(r *registry.Registry) {
			r.Hosts["local"] = registry.Host{Docker: "unix:///run/docker.sock", System: "x86_64-linux"}
		}, nil},
	})
}
