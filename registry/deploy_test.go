package registry_test

import (
	"testing"

	"homelab/registry"
)

// deployed is an edit of how grafana runs.
func deployed(d registry.Deploy) func(*registry.Registry) {
	return grafana(func(s *registry.Service) { s.Deploy = &d })
}

func TestValidateDeploy(t *testing.T) {
	const at = "$.services.grafana.deploy."
	const dockerName = "use letters, digits, '.', '_' and '-', a letter or digit first, at least two characters"
	checkRules(t, []rule{
		{"host", deployed(registry.Deploy{Host: "p"}), registry.Problems{
			problem(at+"host", `"p"`, "no host has this name", "did you mean pi?")}},
		{"container", deployed(registry.Deploy{Container: "/grafana"}), registry.Problems{
			problem(at+"container", `"/grafana"`, "not a name that Docker takes", dockerName)}},
		{"default container of a short name", func(r *registry.Registry) { r.Services["g"] = r.Services["grafana"] }, registry.Problems{
			problem("$.services.g.deploy.container", `"g"`, "not a name that Docker takes", dockerName)}},
		{"container taken", func(r *registry.Registry) {
			deployed(registry.Deploy{Host: "local", Container: "loki"})(r)
			promtail := r.Services["loki"]
			promtail.Deploy = &registry.Deploy{Host: "pi", Container: "loki"}
			r.Services["promtail"] = promtail
		}, registry.Problems{
			problem("$.services.loki.deploy.container", `"loki"`, "on host local it is the container of grafana", "choose another name")}},
		{"volumes and mounts", deployed(registry.Deploy{
			Volumes: []registry.Volume{{Name: "a", Target: "/a"}, {Name: "data", Target: "data"}, {Name: "data", Target: "/a/"}},
			Mounts:  []registry.Mount{{Source: "srv", Target: "/"}, {Source: "/srv/../x", Target: "/a"}, {Source: "", Target: ""}},
		}), registry.Problems{
			problem(at+"volumes[0].name", `"a"`, "not a name that Docker takes", dockerName),
			problem(at+"volumes[1].target", `"data"`, "not an absolute path", "write an absolute path"),
			problem(at+"volumes[2].target", `"/a/"`, "the target is that of "+at+"volumes[0]", "choose another target"),
			problem(at+"mounts[0].source", `"srv"`, "not an absolute path", "write an absolute path"),
			problem(at+"mounts[0].target", `"/"`, "the root of the container cannot be mounted over", "write a folder of the container"),
			problem(at+"mounts[1].source", `"/srv/../x"`, "not the plain spelling of the path", `write "/x"`),
			problem(at+"mounts[1].target", `"/a"`, "the target is that of "+at+"volumes[0]", "choose another target"),
			problem(at+"mounts[2].source", `""`, "an empty path", "write an absolute path"),
			problem(at+"mounts[2].target", `""`, "an empty path", "write an absolute path")}},
		{"names", deployed(registry.Deploy{
			Env: map[string]string{"": "x", "A=B": "c", "OK": ""}, EnvFiles: []string{"/run/a", "secrets.env", "/run/a"},
			Networks: []string{"lan", "a b", "lan"}, Labels: map[string]string{"": "x", "a.b/c": ""},
		}), registry.Problems{
			problem(at+"envFiles[1]", `"secrets.env"`, "not an absolute path", "write an absolute path"),
			problem(at+"envFiles[2]", `"/run/a"`, "listed twice", "remove one of them"),
			problem(at[:len(at)-1]+`.env[""]`, `""`, "a variable without a name", "write a name"),
			problem(at[:len(at)-1]+`.env["A=B"]`, `"A=B"`, "the name of a variable has no = and no NUL byte", "write the name before the colon and the value after it"),
			problem(at+"networks[1]", `"a b"`, "not a name that Docker takes", dockerName),
			problem(at+"networks[2]", `"lan"`, "listed twice", "remove one of them"),
			problem(at[:len(at)-1]+`.labels[""]`, `""`, "a label without a name", "write a name")}},
		{"overlap without ports", deployed(registry.Deploy{Strategy: "overlap"}), nil},
		{"overlap with ports", deployed(registry.Deploy{Strategy: "overlap", Ports: []string{"80:80"}}), registry.Problems{
			problem(at+"strategy", `"overlap"`, "two containers cannot have one port of the host", "publish no port, and leave out hostNetwork, or write replace")}},
		{"resources", deployed(registry.Deploy{Resources: &registry.Resources{MemoryBytes: -1, CPUs: -0.5, PIDs: -2}}), registry.Problems{
			problem(at+"resources.memoryBytes", "-1", "a negative number", "write 0 or more"),
			problem(at+"resources.cpus", "-0.5", "a negative number", "write 0 or more"),
			problem(at+"resources.pids", "-2", "a negative number", "write 0 or more")}},
	})
}

func TestValidateHealth(t *testing.T) {
	const at = "$.services.grafana.deploy.health."
	const portFix = "write the port in the container, from 1 to 65535"
	health := func(h registry.Health) func(*registry.Registry) {
		return deployed(registry.Deploy{Health: &h})
	}
	checkRules(t, []rule{
		{"http", health(registry.Health{Kind: "http", Path: "health", Status: 20}), registry.Problems{
			problem(at+"port", "", "http needs a port", portFix),
			problem(at+"path", `"health"`, "the path of a URL starts with /", `write "/health"`),
			problem(at+"status", "20", "not an HTTP status", "write a number from 100 to 599")}},
		{"tcp", health(registry.Health{Kind: "tcp", Port: 65536, Path: "/", Command: []string{"x"}}), registry.Problems{
			problem(at+"port", "65536", "not a port", portFix),
			problem(at+"command", `["x"]`, "it only counts with kind exec", "remove it"),
			problem(at+"path", `"/"`, "it only counts with kind http", "remove it")}},
		{"exec", health(registry.Health{Kind: "exec", Port: 80, Status: 200}), registry.Problems{
			problem(at+"port", "80", "it only counts with kind http or tcp", "remove it"),
			problem(at+"command", "", "exec needs a command", `write the program and its arguments, such as ["pg_isready", "-q"]`),
			problem(at+"status", "200", "it only counts with kind http", "remove it")}},
		{"exec of nothing", health(registry.Health{Kind: "exec", Command: []string{" ", "-q"}}), registry.Problems{
			problem(at+"command[0]", `" "`, "the program has no name", "write the program")}},
		{"docker", health(registry.Health{Kind: "docker"}), nil},
		{"durations", health(registry.Health{Kind: "docker", Interval: "2", Timeout: "-1s", StartPeriod: "0s"}), registry.Problems{
			problem(at+"interval", `"2"`, "not a duration", `write a number with a unit, such as "30s", "5m" or "1h30m"`),
			problem(at+"timeout", `"-1s"`, "the duration is not positive", "write more than zero, or leave it out"),
			problem(at+"startPeriod", `"0s"`, "the duration is not positive", "write more than zero, or leave it out")}},
	})
}
