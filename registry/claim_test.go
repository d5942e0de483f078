package registry_test

import (
	"testing"

	"homelab/registry"
)

// Hosts with one engine are one host to what runs there.
func TestClaimsOfOneEngine(t *testing.T) {
	run := func(docker, other string) func(*registry.Registry) {
		return func(r *registry.Registry) {
			r.Hosts["pi"], r.Hosts["raspi"] = registry.Host{Docker: docker}, registry.Host{Docker: other}
			for name, host := range map[string]string{"grafana": "pi", "loki": "raspi"} {
				s := r.Services[name]
				s.Deploy = &registry.Deploy{Host: host, Container: "same", Ports: []string{"80:80"}}
				s.State = &registry.State{Items: []registry.StateItem{{Volume: "data"}, {Path: "/srv"}}}
				r.Services[name] = s
			}
		}
	}
	const both = "raspi (one engine with host pi)"
	clash := registry.Problems{
		problem("$.services.loki.deploy.container", `"same"`, "on host "+both+" it is the container of grafana", "choose another name"),
		problem("$.services.loki.deploy.ports[0]", `"80:80"`, "port 80/tcp of host "+both+" is published by grafana", "choose another port, or another address for each"),
		problem("$.services.loki.state.items[0].volume", `"data"`, "the volume is state of grafana on host "+both+" already", "let one service keep it"),
		problem("$.services.loki.state.items[1].path", `"/srv"`, "the path is state of grafana on host "+both+" already", "let one service keep it"),
	}
	rules := []rule{}
	for _, same := range [][2]string{
		{"ssh://pi.lan", "ssh://pi.lan"}, {"ssh://Pi.lan:22/", "ssh://pi.lan"}, {"ssh://me@pi", "ssh://me@pi:22"},
		{"tcp://pi.lan:2376", "tcp://PI.lan:2376/"}, {"tcp://[fe80::1]:2376", "tcp://[FE80::1]:2376"}, {"unix:///run/docker.sock", "unix:///run//docker.sock"}, {"", ""},
	} {
		rules = append(rules, rule{same[0] + " and " + same[1], run(same[0], same[1]), clash})
	}
	for _, apart := range [][2]string{
		{"ssh://pi", "ssh://raspi"}, {"ssh://pi", "ssh://pi:2222"}, {"ssh://me@pi", "ssh://you@pi"},
		{"ssh://pi", "tcp://pi:2376"}, {"unix:///run/a.sock", "unix:///run/b.sock"},
	} {
		rules = append(rules, rule{apart[0] + " or " + apart[1], run(apart[0], apart[1]), nil})
	}
	checkRules(t, rules)
}
