package e2e

import (
	"encoding/json"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/doctor"
	"homelab/internal/engine/docker/dockertest"
	"homelab/internal/plan"
	"homelab/registry"
)

var machine = registry.SystemOf("linux", runtime.GOARCH)

func target(system, image, decidedBy string) plan.Target {
	return plan.Target{System: system, Attr: "packages." + system + ".homelab-" + image + "-oci", DecidedBy: decidedBy}
}

func targets(p plan.Plan) map[string]plan.Target {
	all := map[string]plan.Target{}
	for _, service := range p.Services {
		all[service.Name] = service.Target
	}
	return all
}

// A real engine says what its host runs, here and behind ssh.
func TestEngineDecidesTheSystem(t *testing.T) {
	t.Parallel()
	socket := dockertest.StartEngine(t)
	ssh := dockertest.StartSSH(t)
	ways := map[string]*lab{
		"local": newLab(t).with("DOCKER_HOST=unix://" + socket),
		"ssh":   newLab(t).with("DOCKER_HOST="+ssh.URL(socket), "PATH="+ssh.Bin+":"+os.Getenv("PATH")),
	}
	for way, l := range ways {
		l.replace("registry.nix", `ports = [ "9090:9090" ];`, `ports = [ "9090:9090" ]; host = "pi";`)
		p := l.with("NIX_HA_TARGET=aarch64-linux").plan()
		require.Len(t, p.Warnings, 1, way)
		assert.Contains(t, p.Warnings[0].Message, "host pi does not say what it runs")
		assert.Equal(t, map[string]plan.Target{
			"grafana":        target(machine, "grafana", "daemon"),
			"home-assistant": target("aarch64-linux", "ha", "NIX_HA_TARGET"),
			"prometheus":     target("aarch64-linux", "prometheus", "host"),
		}, targets(p), way)
		assert.Equal(t, target(machine, "ha", "daemon"), targets(l.plan())["home-assistant"], way)
		assert.Equal(t, target("aarch64-linux", "grafana", "argument"), targets(l.plan("--system", "aarch64-linux"))["grafana"], way)

		found := l.doctor()
		for _, name := range []string{"git", "repository", "registry", "nix", "cache", "state", "docker:local"} {
			assert.Equal(t, doctor.OK, found[name].Status, "%s: %+v", way, found[name])
		}
		assert.Contains(t, found["docker:local"].Detail, machine)
		assert.Equal(t, doctor.Fail, found["docker:pi"].Status, "a service runs there, and nobody answers")
	}
}

func (l *lab) doctor() map[string]doctor.Check {
	l.t.Helper()
	var report doctor.Report
	require.NoError(l.t, json.Unmarshal(l.homelab("doctor", "--json").Stdout, &report))
	found := map[string]doctor.Check{}
	for _, check := range report.Checks {
		found[check.Name] = check
	}
	return found
}

func TestEngineThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	p := newLab(t).plan()
	require.Len(t, p.Warnings, 1)
	assert.Equal(t, "hostSystemAssumed", p.Warnings[0].Code)
	assert.Contains(t, p.Warnings[0].Message, "host local")
	assert.Contains(t, p.Warnings[0].Hint, "hosts.local.system")
	for name, chosen := range targets(p) {
		assert.Equal(t, machine, chosen.System, name)
		assert.Equal(t, "machine", chosen.DecidedBy, name)
	}
	assert.True(t, p.Complete, "the change question is answered all the same")
}
