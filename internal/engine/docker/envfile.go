package docker

import (
	"bufio"
	"bytes"
	"maps"
	"os"
	"slices"
	"strings"

	"homelab/internal/deploy"
	"homelab/internal/fault"
)

// environment is what a container gets, NAME=VALUE: first the env files in their
// order, then the variables of the registry, of which each takes the place of what
// came before. No error tells what is in a file.
func (e *Engine) environment(s deploy.Spec) ([]string, error) {
	if len(s.EnvFiles) > 0 && !e.host.Local() {
		return nil, fault.Newf(fault.Precondition, "leave deploy.envFiles of "+s.Service+" out, or run homelab on that host",
			"envFiles on a remote engine are not supported yet: %s of service %s is on the host of %s", s.EnvFiles[0], s.Service, e.host.Endpoint())
	}
	all := map[string]string{}
	for _, path := range s.EnvFiles {
		if err := readEnv(path, all); err != nil {
			return nil, err
		}
	}
	maps.Copy(all, s.Env)
	env := []string{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		env = append(env, name+"="+all[name])
	}
	return env, nil
}

// readEnv reads a file as the docker command does, but for names without a value,
// which there come from the caller's own environment: a line is NAME=VALUE, with
// the value as it stands; empty ones and those that begin with # count for
// nothing.
func readEnv(path string, into map[string]string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return fault.Newf(fault.Precondition, "make the file on the host (decrypt it first), or correct deploy.envFiles", "cannot read an env file: %w", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(raw, []byte("\ufeff"))))
	lines.Buffer(nil, len(raw)+1)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimLeft(lines.Text(), " \t")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || name == "" || strings.ContainsAny(name, " \t") || strings.ContainsRune(value, 0) {
			return fault.Newf(fault.Precondition, "a line is NAME=VALUE, without spaces in the name", "line %d of env file %s is no variable", number, path)
		}
		into[name] = value
	}
	return lines.Err()
}
