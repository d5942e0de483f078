package dockerhost

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"homelab/internal/fault"
	"homelab/registry"
)

// defaultContext is the one the docker command has without a file: DOCKER_HOST
// or the local socket.
const defaultContext = "default"

const contextRemedy = "list the contexts with docker context ls, choose one with docker context use or DOCKER_CONTEXT, or set hosts.NAME.docker in the registry"

// configDir is where the docker command keeps its configuration.
func configDir(env func(string) string, home string) string {
	if dir := env("DOCKER_CONFIG"); dir != "" {
		return dir
	}
	return filepath.Join(home, ".docker")
}

// contextName is the context to use and what named it; empty: none.
func contextName(env func(string) string, config string) (name, origin string, err error) {
	name, origin = env("DOCKER_CONTEXT"), "DOCKER_CONTEXT"
	if name == "" {
		origin = filepath.Join(config, "config.json")
		var file struct {
			CurrentContext string `json:"currentContext"`
		}
		if err := readJSON(origin, &file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", "", fault.Newf(fault.Precondition, "repair the file, or set hosts.NAME.docker in the registry",
				"cannot read the Docker configuration: %w", err)
		}
		name = file.CurrentContext
	}
	if name == defaultContext {
		name = ""
	}
	return name, origin, nil
}

// contextFile is what homelab needs of contexts/meta/*/meta.json.
type contextFile struct {
	Name      string
	Endpoints struct {
		Docker struct {
			Host          string
			SkipTLSVerify bool
		} `json:"docker"`
	}
}

// fromContext reads the endpoint of a Docker context from the store of the
// docker command, whose folders are named by the digest of the context's name.
func fromContext(name, origin, config string) (Endpoint, error) {
	digest := sha256.Sum256([]byte(name))
	id := hex.EncodeToString(digest[:])
	meta := filepath.Join(config, "contexts", "meta", id, "meta.json")

	var file contextFile
	switch err := readJSON(meta, &file); {
	case errors.Is(err, fs.ErrNotExist):
		return Endpoint{}, fault.Newf(fault.NotFound, unknownContextHint(name, config),
			"there is no Docker context %q (named by %s)", name, origin)
	case err != nil:
		return Endpoint{}, fault.Newf(fault.Precondition, contextRemedy,
			"cannot read the Docker context %q: %w", name, err)
	case file.Endpoints.Docker.Host == "":
		return Endpoint{}, fault.Newf(fault.Precondition, contextRemedy,
			"the Docker context %q has no Docker endpoint (%s)", name, meta)
	}

	e := Endpoint{URL: file.Endpoints.Docker.Host, Insecure: file.Endpoints.Docker.SkipTLSVerify, Source: "context " + name}
	dir := filepath.Join(config, "contexts", "tls", id, "docker")
	files := registry.TLS{CA: existing(dir, "ca.pem"), Cert: existing(dir, "cert.pem"), Key: existing(dir, "key.pem")}
	if files != (registry.TLS{}) || e.Insecure {
		e.TLS = &files
	}
	return located(e)
}

// unknownContextHint names contexts that do exist.
func unknownContextHint(name, config string) string {
	known := []string{defaultContext}
	// The pattern is well formed, and a store that cannot be read has no names to offer.
	paths, _ := filepath.Glob(filepath.Join(config, "contexts", "meta", "*", "meta.json"))
	for _, path := range paths {
		var file contextFile
		if readJSON(path, &file) == nil && file.Name != "" {
			known = append(known, file.Name)
		}
	}
	slices.Sort(known)
	return fault.DidYouMean(name, known) + "; " + contextRemedy
}

func readJSON(path string, into any) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return &fs.PathError{Op: "parse", Path: path, Err: err}
	}
	return nil
}
