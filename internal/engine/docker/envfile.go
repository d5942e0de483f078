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

// fromFiles are the variables that a container has from its env files, which are
// read in their order: of two with one name the later counts, and none that the
// registry sets as well. No error tells what is in a file.
func (e *Engine) fromFiles(ctx context.Context, s deploy.Spec) (map[string]string, error) {
	all := map[string]string{}
	for _, path := range s.EnvFiles {
		if err := e.readEnv(ctx, path, all); err != nil {
			return nil, err
		}
	}
	maps.DeleteFunc(all, func(name, _ string) bool { _, set := s.Env[name]; return set })
	return all, nil
}

// EnvDiffers is part of [deploy.Containers]. The values are compared here, and
// nothing is kept of them.
func (e *Engine) EnvDiffers(ctx context.Context, id string, spec deploy.Spec) ([]string, error) {
	c, err := e.inspectOwn(ctx, "docker inspect", id)
	if err != nil {
		return nil, err
	}
	want, err := e.fromFiles(ctx, spec)
	if err != nil {
		return nil, err
	}
	is := variables(c.Config.Env)
	differ := []string{}
	for name, value := range want {
		if now, there := is[name]; !there || now != value {
			differ = append(differ, name)
		}
	}
	for _, name := range strings.Fields(c.Config.Labels[deploy.LabelEnvFiles]) {
		_, inFile := want[name]
		if _, set := spec.Env[name]; !inFile && !set {
			differ = append(differ, name)
		}
	}
	slices.Sort(differ)
	return differ, nil
}

// variables takes NAME=VALUE apart.
func variables(env []string) map[string]string {
	all := map[string]string{}
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		all[name] = value
	}
	return all
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
