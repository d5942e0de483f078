package dockerhost_test

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/command"
	"homelab/internal/engine/dockerhost"
	"homelab/internal/fault"
	"homelab/registry"
)

// TestResolveContext reads contexts that the docker command made.
func TestResolveContext(t *testing.T) {
	home := t.TempDir()
	config := filepath.Join(home, ".docker")
	key := newAuthority(t).issue(t, "client")
	make := func(name, endpoint string) {
		dockerCommand(t, config, "context", "create", name, "--docker", endpoint)
	}
	make("nas", "host=ssh://me@nas")
	make("locked", fmt.Sprintf("host=tcp://nas:2376,ca=%s,cert=%s,key=%s", key.CA, key.Cert, key.Key))
	make("careless", "host=tcp://nas:2376,skip-tls-verify=true")
	make("plain", "host=tcp://nas:2375")
	dockerCommand(t, config, "context", "use", "plain")

	locked := filepath.Join(config, "contexts", "tls", digest("locked"), "docker")
	rows := map[string]struct {
		context string
		want    dockerhost.Endpoint
	}{
		"current": {"", dockerhost.Endpoint{URL: "tcp://nas:2375", Source: "context plain"}},
		"ssh":     {"nas", dockerhost.Endpoint{URL: "ssh://me@nas", Source: "context nas"}},
		"TLS": {"locked", dockerhost.Endpoint{URL: "tcp://nas:2376", Source: "context locked", TLS: &registry.TLS{
			CA: filepath.Join(locked, "ca.pem"), Cert: filepath.Join(locked, "cert.pem"), Key: filepath.Join(locked, "key.pem")}}},
		"TLS unverified": {"careless", dockerhost.Endpoint{URL: "tcp://nas:2376", Source: "context careless", TLS: &registry.TLS{}, Insecure: true}},
		"default":        {"default", dockerhost.Endpoint{URL: "unix:///var/run/docker.sock", Source: "default"}},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			env := environment{"DOCKER_CONTEXT": row.context}
			got, err := dockerhost.Resolve(registry.Host{}, env.get, home)
			require.NoError(t, err)
			assert.Equal(t, row.want, got)

			env["DOCKER_CONFIG"] = config
			elsewhere, err := dockerhost.Resolve(registry.Host{}, env.get, t.TempDir())
			require.NoError(t, err)
			assert.Equal(t, got, elsewhere, "DOCKER_CONFIG is the folder itself")
		})
	}
}

func TestResolveContextFailures(t *testing.T) {
	meta := func(name string) string { return filepath.Join("contexts", "meta", digest(name), "meta.json") }
	rows := map[string]struct {
		files         map[string]string
		context       string
		code          fault.Code
		message, hint string
	}{
		"unknown, named by the environment": {
			files:   map[string]string{meta("nas"): `{"Name":"nas"}`},
			context: "nass",
			code:    fault.NotFound, message: `there is no Docker context "nass" (named by DOCKER_CONTEXT)`, hint: "did you mean nas?",
		},
		"unknown, named by the configuration": {
			files: map[string]string{"config.json": `{"currentContext":"gone"}`},
			code:  fault.NotFound, message: "config.json)", hint: "docker context ls",
		},
		"broken configuration": {
			files: map[string]string{"config.json": `{"auths":{"x":{"auth":"hunter2"}},`},
			code:  fault.Precondition, message: "config.json", hint: "repair the file",
		},
		"unreadable configuration": {
			files: map[string]string{"config.json/folder": ""},
			code:  fault.Precondition, message: "config.json", hint: "repair the file",
		},
		"broken context": {
			files:   map[string]string{meta("nas"): `{"Name":`},
			context: "nas",
			code:    fault.Precondition, message: "meta.json", hint: "docker context ls",
		},
		"no Docker endpoint": {
			files:   map[string]string{meta("nas"): `{"Name":"nas","Endpoints":{"kubernetes":{}}}`},
			context: "nas",
			code:    fault.Precondition, message: `the Docker context "nas" has no Docker endpoint`, hint: "docker context ls",
		},
		"unfit endpoint": {
			files:   map[string]string{meta("nas"): `{"Name":"nas","Endpoints":{"docker":{"Host":"ssh://me:hunter2@nas"}}}`},
			context: "nas",
			code:    fault.InvalidArgument, message: "(from context nas)", hint: "ssh://[user@]host",
		},
		"a name is no path": {
			context: "../../../etc",
			code:    fault.NotFound, message: `"../../../etc"`, hint: "docker context ls",
		},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			for path, content := range row.files {
				put(t, filepath.Join(home, ".docker", path), content)
			}
			_, err := dockerhost.Resolve(registry.Host{}, environment{"DOCKER_CONTEXT": row.context}.get, home)
			f := fault.Of(err)
			require.NotNil(t, f)
			assert.Equal(t, row.code, f.Code)
			assert.Contains(t, f.Message, row.message)
			assert.Contains(t, f.Hint, row.hint)
			assert.NotContains(t, f.Message, "hunter2")
		})
	}
}

func digest(name string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(name))) }

func dockerCommand(t *testing.T, config string, args ...string) {
	t.Helper()
	result, err := command.Run(t.Context(), command.Cmd{
		Name: "docker", Args: append([]string{"--config", config}, args...),
		Env:     []string{"DOCKER_HOST=", "DOCKER_CONTEXT="},
		Install: "apt install docker.io",
	})
	require.NoError(t, err, "this test needs the docker command: apt install docker.io")
	require.Zero(t, result.Exit, "%s", result.Stderr)
}
