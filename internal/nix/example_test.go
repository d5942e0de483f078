package nix_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/nix"
	"homelab/registry"
)

// example is a repository with the example homelab in it.
func example(t *testing.T) repo {
	t.Helper()
	r := newRepo(t, t.TempDir())
	require.NoError(t, os.CopyFS(r.root, os.DirFS("../../examples/homelab")))
	return r
}

func (r repo) registry(rev string) *registry.Registry {
	r.t.Helper()
	document, err := r.eval(rev, "", "homelab")
	require.NoError(r.t, err)
	parsed, err := registry.Parse([]byte(document))
	require.NoError(r.t, err)
	return parsed
}

// outputs are the store paths of every target of every service, by attribute.
func (r repo) outputs() map[string]string {
	r.t.Helper()
	outputs := map[string]string{}
	for _, service := range r.registry("").Services {
		for _, attr := range service.Build.Targets {
			out, err := r.eval("", "", attr+".outPath")
			require.NoError(r.t, err)
			outputs[attr] = strings.Trim(out, `"`)
		}
	}
	return outputs
}

func TestExampleRegistry(t *testing.T) {
	r := example(t)
	parsed := r.registry(r.commit())
	assert.Equal(t, []string{"grafana", "home-assistant", "prometheus"}, parsed.Names())
	assert.Equal(t, parsed, r.registry(""), "the work tree says something else")
	for name, service := range parsed.Services {
		systems := slices.Sorted(maps.Keys(service.Build.Targets))
		assert.Equal(t, []string{"aarch64-linux", "x86_64-linux"}, systems, name)
	}
}

// An edit rebuilds what its hints say, and nothing else.
func TestExampleOutputs(t *testing.T) {
	r := example(t)
	r.commit()
	before := r.outputs()
	require.Len(t, before, 6)
	require.Len(t, slices.Compact(slices.Sorted(maps.Values(before))), 6, "two targets are the same")

	everything := []string{"grafana", "ha", "prometheus"}
	tests := map[string][]string{
		"services/home-assistant/scenes.yaml":     {"ha"},
		"services/home-assistant/README.md":       nil,
		"services/prometheus/rules/house.yml":     {"prometheus"},
		"services/grafana/dashboards/house.json":  {"grafana"},
		"services/grafana/dashboards/garden.json": {"grafana"},
		"modules/oci/build.sh":                    everything,
		"modules/oci/init.sh":                     everything,
		"README.md":                               nil,
		"notes.txt":                               nil,
	}
	for path, images := range tests {
		t.Run(path, func(t *testing.T) {
			old, _ := os.ReadFile(r.root + "/" + path)
			r.write(path, string(old)+"\n")
			r.git("add", path)
			defer r.git("reset", "--quiet", "--hard")

			var want, got []string
			for _, image := range images {
				for _, system := range []string{"aarch64-linux", "x86_64-linux"} {
					want = append(want, fmt.Sprintf("packages.%s.homelab-%s-oci", system, image))
				}
			}
			for attr, out := range r.outputs() {
				if out != before[attr] {
					got = append(got, attr)
				}
			}
			assert.ElementsMatch(t, want, got)
		})
	}
}

func TestExampleImages(t *testing.T) {
	r := example(t)
	system := registry.SystemOf("linux", runtime.GOARCH)
	for name, service := range r.registry(r.commit()).Services {
		t.Run(name, func(t *testing.T) {
			built := build(t, r, service.Build.Targets[system])
			archive := readTar(t, built)

			var manifest []struct {
				Config   string
				RepoTags []string
				Layers   []string
			}
			require.NoError(t, json.Unmarshal(archive["manifest.json"], &manifest))
			require.Len(t, manifest, 1)
			assert.Equal(t, []string{service.Build.Image + ":latest"}, manifest[0].RepoTags)
			require.Len(t, manifest[0].Layers, 2, "what all share, and the service's own")

			var config struct {
				Architecture string
				Config       struct {
					ExposedPorts map[string]struct{}
					Volumes      map[string]struct{}
				}
				RootFS struct {
					DiffIDs []string `json:"diff_ids"`
				}
			}
			assert.Equal(t, digest(archive[manifest[0].Config])+".json", manifest[0].Config)
			require.NoError(t, json.Unmarshal(archive[manifest[0].Config], &config))
			diffIDs, files := []string{}, map[string][]byte{}
			for _, name := range manifest[0].Layers {
				layer := archive[name]
				diffIDs = append(diffIDs, "sha256:"+digest(layer))
				maps.Copy(files, readTar(t, layer))
			}
			assert.Equal(t, runtime.GOARCH, config.Architecture)
			assert.Equal(t, diffIDs, config.RootFS.DiffIDs)

			health := service.Deploy.Health
			assert.Contains(t, config.Config.ExposedPorts, fmt.Sprintf("%d/tcp", health.Port))
			assert.Contains(t, config.Config.Volumes, service.Deploy.Volumes[0].Target)

			assert.Equal(t, "ok\n", string(files["srv"+health.Path]))
			assert.Contains(t, files, "init")
			assert.NotContains(t, files, "srv/default.nix")
			assert.NotContains(t, files, "srv/README.md")
			assertStatic(t, files["bin/busybox"])
		})
	}
}

// build builds an attribute and returns the file. It builds again what was
// built before: the bytes must not differ.
func build(t *testing.T, r repo, attr string) []byte {
	t.Helper()
	installable := nix.Installable{Flake: nix.GitRef(r.root, "", ""), Attr: attr}.String()
	args := []string{"--extra-experimental-features", "nix-command flakes", "build", "--no-link", installable}
	for _, extra := range [][]string{nil, {"--rebuild"}} {
		run(t, "nix", append(args, extra...)...)
	}
	out, err := r.eval("", "", attr+".outPath")
	require.NoError(t, err)
	built, err := os.ReadFile(strings.Trim(out, `"`))
	require.NoError(t, err)
	return built
}

func readTar(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for reader := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := reader.Next()
		if err == io.EOF {
			return files
		}
		require.NoError(t, err)
		assert.Zero(t, header.Uid+header.Gid, header.Name)
		assert.EqualValues(t, 1, header.ModTime.Unix(), header.Name)
		files[header.Name], err = io.ReadAll(reader)
		require.NoError(t, err)
	}
}

func digest(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }

func assertStatic(t *testing.T, program []byte) {
	t.Helper()
	binary, err := elf.NewFile(bytes.NewReader(program))
	require.NoError(t, err)
	for _, segment := range binary.Progs {
		assert.NotEqual(t, elf.PT_INTERP, segment.Type, "the program needs a dynamic linker, which the image does not have")
	}
}
