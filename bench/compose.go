package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"homelab/internal/command"
)

// compose starts the service with Docker Compose, and returns what brings it to its
// next version; nil when there is no Compose. load has that version on the engine.
func (s *server) compose() (load, up func() error, err error) {
	c, ok := s.composeCommand()
	if !ok {
		return nil, nil, nil
	}
	file := filepath.Join(s.dir, "compose", "compose.yaml")
	load = func() error {
		name := fmt.Sprintf("composed:%d", s.version)
		archive := filepath.Join(s.dir, "composed.tar")
		err := write(file, fmt.Sprintf(`version: "3"
services: {web: {image: %q, ports: ["%s:8080"], restart: unless-stopped}}
`, name, composePort))
		return errors.Join(err, s.archive(archive, name, ""), s.docker("load", "--quiet", "--input", archive))
	}
	c.Args = append(slices.Clone(c.Args), "--file", file, "up", "--detach")
	up = func() error { return s.run.ok(c) }
	if err := load(); err != nil {
		return nil, nil, err
	}
	return load, up, up()
}

// composeCommand is Compose as a part of the docker command, or by itself.
func (s *server) composeCommand() (command.Cmd, bool) {
	for _, c := range []command.Cmd{{Name: "docker", Args: []string{"compose"}}, {Name: "docker-compose"}} {
		c.Env = []string{"DOCKER_HOST=" + s.url()}
		version := c
		version.Args = append(slices.Clone(c.Args), "version")
		if s.run.ok(version) == nil {
			return c, true
		}
	}
	return command.Cmd{}, false
}
