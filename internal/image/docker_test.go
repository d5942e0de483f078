package image_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
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

// dockerCommand asks an engine.
func dockerCommand(t testing.TB, socket string, stdin io.Reader, args ...string) command.Result {
	t.Helper()
	result, err := command.Run(context.Background(), command.Cmd{
		Name: "docker", Args: append([]string{"--host", "unix://" + socket}, args...), Stdin: stdin,
		Env: []string{"DOCKER_BUILDKIT=0", "DOCKER_CONFIG=" + t.TempDir()},
	})
	require.NoError(t, err)
	return result
}

// What an engine loads and saves is the image that Read sees in the archive.
func TestReadSeesWhatDockerSees(t *testing.T) {
	socket := dockertest.StartEngine(t)
	docker := func(args ...string) string {
		t.Helper()
		result := dockerCommand(t, socket, nil, args...)
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

// An engine loads what was transferred as the image that it is, without the
// layers that it has; and takes nothing when it lacks one of those.
func TestDockerLoadsTransfers(t *testing.T) {
	socket := dockertest.StartEngine(t)
	load := func(transfer image.Transfer) (failed string) {
		t.Helper()
		var archive bytes.Buffer
		require.NoError(t, transfer.WriteDocker(t.Context(), &archive))
		result := dockerCommand(t, socket, &archive, "load")
		return string(result.Stderr)
	}
	id := func(name string) string {
		t.Helper()
		result := dockerCommand(t, socket, nil, "image", "ls", "--quiet", "--no-trunc", name)
		require.Zero(t, result.Exit, "%s", result.Stderr)
		return strings.TrimSpace(string(result.Stdout))
	}
	base, common := noise(t, "base", 100<<10), noise(t, "common", 1<<10)
	archive := func(layers ...[]byte) []byte {
		c := configOf(t, layers...)
		parts, names := []part{{name: "c", body: c}}, []string{}
		for _, l := range layers {
			parts, names = append(parts, part{name: sum(l), body: gzipped(t, l)}), append(names, sum(l))
		}
		return tarOf(t, append(parts, manifestOf(t, "c", "x:y", names...))...)
	}
	below := func(n int) func(int) bool { return func(layer int) bool { return layer < n } }

	sibling := transferOf(t, archive(base, common, noise(t, "sibling", 1<<10)))
	sibling.Names = []string{"sibling:v1", "registry.example:5000/team/sibling:v1"}
	require.Empty(t, load(sibling))
	for _, name := range sibling.Names {
		assert.Equal(t, sibling.Image.Digest, id(name))
	}

	// The same layer twice, once among those that the engine has.
	app := transferOf(t, archive(base, common, noise(t, "app", 1<<10), base))
	app.Names, app.Omit = []string{"app:v1"}, below(3)
	assert.Contains(t, load(app), sum(noise(t, "app", 1<<10))+".tar: no such file", "the engine does not have the third")
	assert.Empty(t, id("app:v1"))
	app.Omit = below(2)
	require.Empty(t, load(app))
	assert.Equal(t, app.Image.Digest, id("app:v1"))

	// A layer counts only on the layers that it was on.
	moved := transferOf(t, archive(common, base))
	moved.Names, moved.Omit = []string{"moved:v1"}, below(1)
	assert.Contains(t, load(moved), sum(common)+".tar: no such file")
	assert.Empty(t, id("moved:v1"))

	paths, _ := storePaths(t)
	packed := transferOf(t, nix2container(t, packedLayer(paths), fileLayer(t, base, gzipped(t, base))))
	packed.Names = []string{"packed:v1"}
	require.Empty(t, load(packed))
	assert.Equal(t, packed.Image.Digest, id("packed:v1"))

	// What is broken off where the layers end is no image.
	broken := transferOf(t, archive(base))
	broken.Names, broken.Open = []string{"broken:v1"}, opens(archive(common))
	var rest bytes.Buffer
	require.Error(t, broken.WriteDocker(t.Context(), &rest))
	assert.NotEmpty(t, dockerCommand(t, socket, &rest, "load").Stderr)
	assert.Empty(t, id("broken:v1"))
}
