package docker

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"homelab/internal/deploy"
	"homelab/internal/fault"
)

// environment is what a container gets, NAME=VALUE: first the env files in their
// order, then the variables of the registry, of which each takes the place of what
// came before. No error tells what is in a file.
func (e *Engine) environment(ctx context.Context, s deploy.Spec) ([]string, error) {
	all := map[string]string{}
	for _, path := range s.EnvFiles {
		if err := e.readEnv(ctx, path, all); err != nil {
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

// readEnv reads a file of the engine's host.
func (e *Engine) readEnv(ctx context.Context, path string, into map[string]string) error {
	raw, err := e.host.ReadFile(ctx, path)
	if said := (*fs.PathError)(nil); errors.As(err, &said) {
		return fault.Newf(fault.Precondition, "make the file on the host (decrypt it first), readable to whoever homelab is there, or correct deploy.envFiles",
			"cannot read an env file on the host of %s: %w", e.host.Endpoint(), err)
	}
	if err != nil {
		return fmt.Errorf("env file: %w", err)
	}
	return parseEnv(path, raw, into)
}

// parseEnv reads what the docker command does, but for names without a value, which
// there come from the caller's own environment: a line is NAME=VALUE, with the value
// as it stands; empty ones and those that begin with # count for nothing.
func parseEnv(path string, raw []byte, into map[string]string) error {
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
