package image_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/command"
	"homelab/internal/engine/docker/dockertest"
	"homelab/internal/image"
)

// What an engine loads and saves is the image that Read sees in the archive.
func TestReadSeesWhatDockerSees(t *testing.T) {
	socket := dockertest.StartEngine(t)
	docker := func(args ...string) string {
		t.Helper()
		result, err := command.Run(context.Background(), command.Cmd{
			Name: "docker", Args: append([]string{"--host", "unix://" + socket}, args...),
			Env: []string{"DOCKER_BUILDKIT=0", "DOCKER_CONFIG=" + t.TempDir()},
		})
		require.NoError(t, err)
		require.Zero(t, result.Exit, "docker %v: %s", args, result.Stderr)
		return strings.TrimSpace(string(result.Stdout))
	}
	same := func(path, reference string) {
		t.Helper()
		got, err := image.Read(t.Context(), path)
		require.NoError(t, err)
		var want struct {
			ID, Os, Architecture string
			RootFS               struct{ Layers []string }
		}
		require.NoError(t, json.Unmarshal([]byte(docker("image", "inspect", "--format", "{{json .}}", reference)), &want))
		ids := []string{}
		for _, l := range got.Layers {
			ids = append(ids, l.DiffID)
		}
		assert.Equal(t, want.RootFS.Layers, ids)
		assert.Equal(t, []string{want.ID, want.Os, want.Architecture, reference},
			[]string{got.Digest, got.OS, got.Architecture, got.Name + ":" + got.Tag})
	}
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, content []byte) string {
		t.Helper()
		require.NoError(t, os.WriteFile(in(name), content, 0o644))
		return in(name)
	}

	write("Dockerfile", []byte("FROM scratch\nCOPY a /a\nCOPY b /b\nENV X=y\n"))
	write("a", []byte("a"))
	write("b", make([]byte, 1<<20))
	docker("build", "--quiet", "--tag", "built:v1", dir)
	docker("save", "--output", in("saved.tar"), "built:v1")
	same(in("saved.tar"), "built:v1")

	archive := write("app.tar.gz", gzipped(t, dockerArchive(t)))
	docker("load", "--input", archive)
	same(archive, "app:v1")
}
