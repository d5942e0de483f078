package dockerhost_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/engine/docker/dockertest"
	"homelab/internal/engine/dockerhost"
	"homelab/internal/fault"
)

// TestContainersOfARealEngine lists what Docker's own client made.
func TestContainersOfARealEngine(t *testing.T) {
	socket := dockertest.StartEngine(t)
	ssh := dockertest.StartSSH(t)
	t.Setenv("PATH", ssh.Bin+":"+os.Getenv("PATH"))
	api, err := client.NewClientWithOpts(client.WithHost("unix://"+socket), client.WithAPIVersionNegotiation())
	require.NoError(t, err)
	defer api.Close()
	var empty bytes.Buffer
	require.NoError(t, tar.NewWriter(&empty).Close())
	output, err := api.ImageImport(t.Context(), image.ImportSource{Source: &empty, SourceName: "-"}, "nothing:latest", image.ImportOptions{})
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, output)
	require.NoError(t, err)
	require.NoError(t, output.Close())
	made := map[string]string{}
	for name, labels := range map[string]map[string]string{"ha": {"homelab.service": "ha", "other": "1"}, "foreign": {"other": "1"}} {
		c, err := api.ContainerCreate(t.Context(), &container.Config{Image: "nothing:latest", Cmd: []string{"/none"}, Labels: labels}, nil, nil, nil, name)
		require.NoError(t, err)
		made[name] = c.ID
	}
	want := []dockerhost.Container{{ID: made["ha"], Name: "ha", State: "created", Labels: map[string]string{"homelab.service": "ha", "other": "1"}}}
	for _, url := range []string{"unix://" + socket, ssh.URL(socket)} {
		got, err := list(t, dockerhost.Endpoint{URL: url})
		require.NoError(t, err)
		assert.Equal(t, want, got, url)
	}

	dockertest.Kill(t, socket)
	_, err = list(t, dockerhost.Endpoint{URL: "unix://" + socket})
	assert.Equal(t, fault.EngineUnavailable, fault.CodeOf(err))
}

func TestContainersThatAreNone(t *testing.T) {
	rows := map[string]struct {
		answer string
		want   []dockerhost.Container
		err    string
	}{
		"none":        {answer: `[]`, want: []dockerhost.Container{}},
		"with a link": {answer: `[{"Id":"1","Names":["/proxy/ha","/ha"],"State":"running","Labels":{"homelab.service":"ha"}}]`, want: []dockerhost.Container{{ID: "1", Name: "ha", State: "running", Labels: map[string]string{"homelab.service": "ha"}}}},
		"no list":     {answer: `{}`, err: "gives no usable answer"},
		"cut off":     {answer: `[{"Id":"1"`, err: "gives no usable answer"},
		"everything":  {answer: `[{"Id":"1","Names":["/x"],"Labels":{}}]`, err: "without the label homelab.service"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			got, err := list(t, listen(t, func(w http.ResponseWriter, r *http.Request) {
				assert.Equal(t, `/containers/json?all=1&filters=%7B%22label%22%3A%5B%22homelab.service%22%5D%7D`, r.URL.String())
				fmt.Fprint(w, row.answer)
			}))
			if row.err != "" {
				assert.ErrorContains(t, err, row.err)
				assert.Equal(t, fault.EngineUnavailable, fault.CodeOf(err))
				return
			}
			require.NoError(t, err)
			assert.Equal(t, row.want, got)
		})
	}
}

func list(t *testing.T, e dockerhost.Endpoint) ([]dockerhost.Container, error) {
	t.Helper()
	engine, err := dockerhost.Dial(t.Context(), e)
	require.NoError(t, err)
	defer func() { assert.NoError(t, engine.Close()) }()
	return engine.Containers(t.Context(), "homelab.service")
}
