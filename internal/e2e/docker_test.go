package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/build"
	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/engine/docker/dockertest"
	"homelab/internal/fault"
)

func (l *lab) load(args ...string) (deploy.LoadReport, int) {
	l.t.Helper()
	return graded[deploy.LoadReport](l, "docker_load", append([]string{"docker", "load"}, args...)...)
}

// What was built is on a real engine afterwards, once, and what it had before is
// not sent again.
func TestDockerLoad(t *testing.T) {
	t.Parallel()
	socket := dockertest.StartEngine(t)
	l := newLab(t).building().with("DOCKER_HOST=unix://" + socket)
	docker := func(args ...string) string {
		t.Helper()
		result := l.run("docker", args...)
		require.Zero(t, result.Exit, "docker %v: %s", args, result.Stderr)
		return strings.TrimSpace(string(result.Stdout))
	}
	const scenes = "services/home-assistant/scenes.yaml"
	l.write(scenes, unique()+l.read(scenes))

	missing, exit := l.load("ha")
	assert.Equal(t, fault.Precondition.Exit(), exit)
	assert.Equal(t, "home-assistant is not built as it is now", missing.Images[0].Problem.Message)
	assert.Equal(t, "build it first: homelab build home-assistant", missing.Images[0].Problem.Hint)

	built, exit := l.build("ha")
	require.Zero(t, exit)
	first, exit := l.load("ha")
	require.Zero(t, exit)
	image := first.Images[0]
	assert.Equal(t, deploy.Sent, image.Status)
	assert.Equal(t, []int{2, 0}, []int{image.Image.Layers, image.Image.Reused})
	if !strings.Contains(docker("info", "--format", "{{.DriverStatus}}"), "containerd") { // else it is the digest of the manifest
		assert.Equal(t, built.Services[0].Artifact.Digest, image.Image.ID)
	}
	assert.Equal(t, image.Image.ID, docker("image", "inspect", "--format", "{{.Id}}", "homelab/home-assistant:latest"))
	assert.Equal(t, image.Image.ID, docker("image", "inspect", "--format", "{{.Id}}", image.Image.Names[1]))
	assert.Contains(t, image.Image.Names[1], ":nix-"+filepath.Base(built.Services[0].Out)[:32])

	again, exit := l.load("ha")
	require.Zero(t, exit)
	assert.Equal(t, deploy.Present, again.Images[0].Status)
	assert.Zero(t, again.Images[0].Image.Sent)

	// The next build shares a layer; the one before keeps its name.
	l.write(scenes, unique()+l.read(scenes))
	next, exit := l.build("ha")
	require.Zero(t, exit)
	second, exit := l.load("--job-id", next.JobID)
	require.Zero(t, exit)
	assert.Equal(t, []int{2, 1}, []int{second.Images[0].Image.Layers, second.Images[0].Image.Reused})
	assert.Less(t, second.Images[0].Image.Sent, image.Image.Sent/10)
	assert.Equal(t, second.Images[0].Image.ID, docker("image", "inspect", "--format", "{{.Id}}", "homelab/home-assistant:latest"))
	assert.Equal(t, image.Image.ID, docker("image", "inspect", "--format", "{{.Id}}", image.Image.Names[1]))
	assert.Empty(t, docker("image", "ls", "--quiet", "--filter", "dangling=true"))

	var kept struct{ Result deploy.LoadReport }
	require.NoError(t, json.Unmarshal(l.json("job", "get", second.JobID), &kept))
	assert.Equal(t, second, kept.Result)

	for name, c := range map[string]struct {
		args []string
		code fault.Code
		says string
	}{
		"no such host":    {[]string{"ha", "--host", "pie"}, fault.NotFound, `there is no host "pie"`},
		"no such service": {[]string{"hassio"}, fault.UnknownService, "hassio"},
		"nothing named":   {nil, fault.InvalidArgument, "neither service nor jobId"},
		"no such job":     {[]string{"--job-id", "build-1"}, fault.NotFound, "build-1"},
		"not built by it": {[]string{"grafana", "--job-id", next.JobID}, fault.NotFound, "did not build grafana"},
		"not a build":     {[]string{"--job-id", second.JobID}, fault.InvalidArgument, "one of docker_load"},
	} {
		f := l.fails(append([]string{"docker", "load"}, c.args...)...)
		assert.Equal(t, string(c.code), f.Code, name)
		assert.Contains(t, f.Message, c.says, name)
	}

	gone, exit := l.with("DOCKER_HOST=unix://" + filepath.Join(t.TempDir(), "none.sock")).load("ha")
	assert.Equal(t, fault.EngineUnavailable.Exit(), exit)
	assert.Equal(t, fault.EngineUnavailable, gone.Images[0].Problem.Code)
	assert.Equal(t, "failed", gone.State)
}

// Over ssh the same is sent as over the socket.
func TestDockerLoadOverSSH(t *testing.T) {
	t.Parallel()
	socket := dockertest.StartEngine(t)
	ssh := dockertest.StartSSH(t)
	l := newLab(t).building().with("PATH=" + ssh.Bin + ":" + os.Getenv("PATH"))
	l.replace("registry.nix", "ssh://homelab@pi.lan", ssh.URL(socket))
	l.replace("registry.nix", `system = "aarch64-linux";`, `system = "`+system+`";`)
	_, exit := l.build("grafana", "prom")
	require.Zero(t, exit)
	one, exit := l.load("prom", "--host", "pi")
	require.Zero(t, exit)
	assert.Equal(t, deploy.Sent, one.Images[0].Status)
	two, exit := l.load("grafana", "--host", "pi")
	require.Zero(t, exit)
	assert.Equal(t, 1, two.Images[0].Image.Reused, "all services share a layer")
}

// A script that writes an image is run where it can, and only then.
func TestDockerLoadOfAStream(t *testing.T) {
	t.Parallel()
	socket := dockertest.StartEngine(t)
	l := workshop(t, map[string]string{
		"streamed": image,
		"broken":   "printf '#!/bin/sh\necho half; echo no such layer >&2; exit 3\n' >$out; chmod +x $out\n",
	}).with("DOCKER_HOST=unix://" + socket)
	archive := filepath.Join(t.TempDir(), "archive.tar")
	require.NoError(t, os.WriteFile(archive, deploytest.Archive("suite/streamed:v1", "1", "one", "two"), 0o644))
	l.write("streamed/build.sh", unique()+"printf '#!/bin/sh\\nexec cat "+archive+"\\n' >$out; chmod +x $out\n")
	l.commit()
	report, exit := l.build("broken", "streamed")
	require.Zero(t, exit, "%+v", report)
	loaded, exit := l.load("streamed")
	require.Zero(t, exit, "%+v", loaded)
	assert.Equal(t, deploy.Sent, loaded.Images[0].Status)
	assert.Equal(t, 2, loaded.Images[0].Image.Layers)
	again, _ := l.load("streamed")
	assert.Equal(t, deploy.Present, again.Images[0].Status)

	failed, exit := l.load("broken")
	assert.NotZero(t, exit)
	assert.Contains(t, failed.Images[0].Problem.Message, "no such layer")
	assert.Equal(t, build.Counts{Total: 2, Built: 2}, report.Counts)
}
