package e2e

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/engine/docker/dockertest"
	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/internal/plan"
	"homelab/internal/rollout"
)

// Services of the example, by the ports that they publish.
const homeAssistant, prometheus, grafana = "8123", "9090", "3000"

// onPi is a lab with services, by their ports, on an engine that is reached through
// ssh, and the socket of that.
func onPi(t *testing.T, ports ...string) (l *lab, socket string) {
	t.Helper()
	host := dockertest.StartEngineWithBridge(t)
	ssh := host.StartSSH(t)
	l = newLab(t).building().with("PATH=" + ssh.Bin + ":" + os.Getenv("PATH"))
	l.replace("registry.nix", "ssh://homelab@pi.lan", ssh.URL(host.Socket))
	l.replace("registry.nix", `system = "aarch64-linux";`, `system = "`+system+`";`)
	for _, port := range ports {
		publishes := `ports = [ "` + port + `:` + port + `" ];`
		l.replace("registry.nix", publishes, `host = "pi"; `+publishes)
	}
	l.commit()
	return l, host.Socket
}

// deploys calls deploy, and returns its answer and exit status.
func (l *lab) deploys(args ...string) (rollout.Report, int) {
	l.t.Helper()
	return graded[rollout.Report](l, "deploy", append([]string{"deploy"}, args...)...)
}

func actions(r rollout.Report) map[string]rollout.Action {
	by := map[string]rollout.Action{}
	for _, s := range r.Services {
		by[s.Name] = s.Action
	}
	return by
}

func statuses(r rollout.Report) map[string]rollout.Status {
	by := map[string]rollout.Status{}
	for _, s := range r.Services {
		by[s.Name] = s.Status
	}
	return by
}

// Nothing is done that was not previewed, what was previewed is done, and a service
// that fails takes along only those that depend on it.
func TestDeploy(t *testing.T) {
	t.Parallel()
	l, _ := onPi(t, homeAssistant, prometheus, grafana)
	first, exit := l.deploys()
	require.Zero(t, exit)
	assert.Equal(t, rollout.Previewed, first.State)
	assert.Equal(t, rollout.Counts{Total: 3, Create: 3}, first.Counts)
	assert.Equal(t, []string{"prometheus", "grafana", "home-assistant"}, []string{first.Services[0].Name, first.Services[1].Name, first.Services[2].Name})
	assert.Equal(t, []string{"prometheus"}, first.Services[1].After)
	assert.Equal(t, deploy.StatusCounts{Total: 3, Missing: 3}, l.status().Counts)
	again, _ := l.deploys("--dry-run", "--confirm", first.PreviewID)
	assert.Equal(t, first, again)

	done, exit := l.deploys("--confirm", first.PreviewID[:12])
	require.Zero(t, exit, "%+v", done)
	assert.Equal(t, rollout.Succeeded, done.State)
	assert.Equal(t, map[string]rollout.Status{"prometheus": rollout.Done, "grafana": rollout.Done, "home-assistant": rollout.Done}, statuses(done))
	assert.Equal(t, deploy.StatusCounts{Total: 3, Running: 3}, l.status().Counts)
	assert.Equal(t, "conflict", l.fails("deploy", "--confirm", first.PreviewID).Code, "it is done")

	// Only settings: the image stays.
	l.replace("registry.nix", `GF_SERVER_ROOT_URL = "http://homelab.lan:3000/";`, `GF_SERVER_ROOT_URL = "http://house.lan:3000/";`)
	settings, _ := l.deploys()
	require.Equal(t, map[string]rollout.Action{"grafana": rollout.Configure}, actions(settings))
	assert.Equal(t, []deploy.Difference{{Field: "env.GF_SERVER_ROOT_URL", Want: "http://house.lan:3000/", Is: "http://homelab.lan:3000/"}}, settings.Services[0].Config)
	assert.Equal(t, []rollout.Impact{{Item: "homelab-grafana", Class: "durable", Effect: rollout.Kept}}, settings.Services[0].Impact)
	l.edit("services/grafana/grafana.ini")
	assert.Equal(t, "conflict", l.fails("deploy", "--confirm", settings.PreviewID).Code)
	running, _ := l.deploys("--yes")
	assert.Equal(t, map[string]rollout.Status{"grafana": rollout.Done}, statuses(running))

	// A version that never answers, one that waits for it, and one that does not.
	l.replace("services/prometheus/default.nix", `/-/healthy`, `/nothing.json`)
	l.replace("registry.nix", `path = "/-/healthy"; interval = "500ms"; timeout = "30s";`, `path = "/-/healthy"; interval = "500ms"; timeout = "3s";`)
	l.edit("services/grafana/grafana.ini")
	l.edit("services/home-assistant/scenes.yaml")
	before := l.status()
	broken, exit := l.deploys("--yes")
	assert.Equal(t, fault.Unhealthy.Exit(), exit)
	assert.Equal(t, rollout.Failed, broken.State)
	assert.Equal(t, map[string]rollout.Status{"prometheus": rollout.Broken, "grafana": rollout.Skipped, "home-assistant": rollout.Done}, statuses(broken))
	assert.Contains(t, broken.Services[0].Problem.Message, "the version before runs")
	assert.Contains(t, broken.Services[1].Problem.Message, "waits for prometheus")
	after := l.status()
	assert.Equal(t, deploy.StatusCounts{Total: 3, Running: 3, Behind: 2}, after.Counts)
	for _, at := range []int{0, 2} {
		assert.Equal(t, before.Services[at].Generation, after.Services[at].Generation, after.Services[at].Name)
	}

	// Mended, and in the background.
	l.replace("services/prometheus/default.nix", `/nothing.json`, `/-/healthy`)
	mended, _ := l.deploys()
	assert.Equal(t, rollout.Replace, actions(mended)["grafana"])
	background, exit := l.deploys("--confirm", mended.PreviewID, "--background")
	require.Zero(t, exit)
	assert.Equal(t, rollout.Running, background.State)
	var over struct {
		State  job.State
		Result rollout.Report
	}
	require.NoError(t, json.Unmarshal(l.json("job", "get", background.JobID, "--wait", "120"), &over))
	assert.Equal(t, job.Succeeded, over.State)
	assert.Equal(t, rollout.Done, statuses(over.Result)["grafana"])
	nothing, exit := l.deploys("--yes")
	assert.Zero(t, exit)
	assert.Empty(t, nothing.Unconfirmed())

	// What a hint covers, and no image has in it, is found out once.
	l.commit()
	l.write("services/grafana/NOTES.md", "Who wants which panel.\n")
	l.commit()
	assert.Equal(t, []string{"grafana"}, decided(l.plan(), plan.Rebuild))
	nothing, _ = l.deploys()
	assert.Equal(t, map[string]rollout.Action{"grafana": rollout.Nothing}, actions(nothing))
	assert.Empty(t, decided(l.plan(), plan.Rebuild))
}

// What is in the way of one service is no reason to leave the others alone.
func TestDeployWithSomethingInTheWay(t *testing.T) {
	t.Parallel()
	l, _ := onPi(t, prometheus, grafana)
	r, exit := l.deploys("ha", "prom")
	assert.Zero(t, exit)
	assert.Equal(t, map[string]rollout.Action{"home-assistant": rollout.Blocked, "prometheus": rollout.Create}, actions(r))
	done, exit := l.deploys("ha", "prom", "--yes")
	assert.Equal(t, fault.EngineUnavailable.Exit(), exit)
	assert.Equal(t, map[string]rollout.Status{"home-assistant": rollout.Broken, "prometheus": rollout.Done}, statuses(done))
	only, exit := l.deploys("ha", "--yes")
	assert.Equal(t, fault.EngineUnavailable.Exit(), exit, "nothing can be done")
	assert.Equal(t, rollout.Previewed, only.State)

	assert.Equal(t, "unknown_service", l.fails("deploy", "grafan").Code)
	assert.Equal(t, "invalid_argument", l.fails("deploy", "--background").Code)
	planned := l.plan("prom")
	l.edit("services/prometheus/prometheus.yml")
	assert.Equal(t, "conflict", l.fails("deploy", "prom", "--plan-id", planned.PlanID).Code)
}

// What somebody has changed by hand, and an env file that is another now, is put right;
// what somebody has stopped is left alone.
func TestDeployMendsWhatDrifted(t *testing.T) {
	t.Parallel()
	l, socket := onPi(t, homeAssistant, prometheus, grafana)
	docker := func(args ...string) {
		result := l.run("docker", append([]string{"--host", "unix://" + socket}, args...)...)
		require.Zero(t, result.Exit, "%s", result.Stderr)
	}
	secrets := filepath.Join(t.TempDir(), "prometheus.env")
	require.NoError(t, os.WriteFile(secrets, []byte("TOKEN=canary-one\n"), 0o600))
	l.replace("registry.nix", `labels."org.example.tier" = "metrics";`, `labels."org.example.tier" = "metrics"; envFiles = [ "`+secrets+`" ];`)
	l.commit()
	_, exit := l.deploys("--yes")
	require.Zero(t, exit)
	nothing, _ := l.deploys()
	require.Empty(t, nothing.Services)

	docker("update", "--restart", "no", "grafana")
	docker("stop", "home-assistant")
	require.NoError(t, os.WriteFile(secrets, []byte("TOKEN=canary-two\n"), 0o600))
	drifted, _ := l.deploys()
	assert.Equal(t, map[string]rollout.Action{"grafana": rollout.Configure, "prometheus": rollout.Configure}, actions(drifted))
	assert.Equal(t, []deploy.Difference{{Field: "restart", Want: "unless-stopped", Is: "no"}}, drifted.Services[1].Config)
	assert.Equal(t, []deploy.Difference{{Field: "env.TOKEN", Want: "…", Is: "…"}}, drifted.Services[0].Config)
	mended, exit := l.deploys("--confirm", drifted.PreviewID)
	require.Zero(t, exit)
	assert.Equal(t, map[string]rollout.Status{"grafana": rollout.Done, "prometheus": rollout.Done}, statuses(mended))
	assert.Equal(t, deploy.StatusCounts{Total: 3, Running: 2, Stopped: 1}, l.status().Counts)
	assert.NotContains(t, l.everything(), "canary")
}

// everything is all that homelab has written down of the lab.
func (l *lab) everything() string {
	l.t.Helper()
	var all strings.Builder
	require.NoError(l.t, filepath.WalkDir(l.state(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		all.Write(content)
		return err
	}))
	require.NotEmpty(l.t, all.String())
	return all.String()
}
