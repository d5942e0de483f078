package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"

	"homelab/internal/command"
	"homelab/internal/deploy"
	"homelab/internal/engine/docker"
	"homelab/internal/engine/dockerhost"
	"homelab/registry"
)

const (
	statusServices = 50
	startedAtOnce  = 4
)

// status compares saying what runs with asking the engine for the same.
func (s *server) status() (row, error) {
	all := func(do string) error {
		return s.run.ok(command.Cmd{Name: "sh", Args: []string{"-c", "docker " + do + " $(docker ps --all --quiet)"}, Env: []string{"DOCKER_HOST=" + s.url()}})
	}
	if err := all("rm --force"); err != nil {
		return row{}, err
	}
	dir, err := s.many()
	if err != nil {
		return row{}, err
	}
	r := s.run
	ask := func() error {
		result, err := r.do(command.Cmd{Name: r.homelab, Args: []string{"status", "--json", "--registry", "homelab.json"}, Dir: dir, Env: []string{"DOCKER_HOST=" + s.url()}})
		if err != nil {
			return err
		}
		var answer deploy.StatusReport
		if err := json.Unmarshal(result.Stdout, &answer); err != nil || answer.Counts.Running != statusServices || answer.Counts.Drifted != 0 {
			return fmt.Errorf("homelab status ended with status %d: %+v %s %+v", result.Exit, answer.Counts, result.FirstLine(), answer.Hosts)
		}
		return nil
	}
	compared, err := r.pair(ask, func() error { return all("inspect") })
	compared.what, compared.ours, compared.theirs, compared.bound = "what runs of 50 services", "`homelab status`", "`docker ps` + one `docker inspect` of the 50 containers", "≤ 1.5"
	return compared, err
}

// many makes a repository of many services, and has them run.
func (s *server) many() (dir string, err error) {
	system := registry.SystemOf("linux", runtime.GOARCH)
	reg := registry.Registry{Version: 1, Services: map[string]registry.Service{}}
	for i := range statusServices {
		reg.Services[serviceName(i)] = registry.Service{
			Build: registry.Build{Targets: map[string]string{system: "packages." + system + "." + serviceName(i)}},
			Hints: []string{"services/" + serviceName(i)}, Deploy: &registry.Deploy{Env: map[string]string{"TZ": "Europe/Berlin"}},
		}
	}
	encoded, err := json.Marshal(reg)
	if err != nil {
		return "", err
	}
	dir = filepath.Join(s.dir, "many")
	if err := write(filepath.Join(dir, "homelab.json"), string(encoded)); err != nil {
		return "", err
	}
	if err := s.run.commit(dir); err != nil {
		return "", err
	}
	const image = "many:latest"
	archive := s.in("many.tar")
	if err := errors.Join(s.archive(archive, image, ""), s.docker("load", "--quiet", "--input", archive)); err != nil {
		return "", err
	}
	return dir, s.start(image, reg.Services)
}

// start has containers of an image run as the registry says.
func (s *server) start(image string, services map[string]registry.Service) error {
	way, err := dockerhost.Dial(s.run.ctx, dockerhost.Endpoint{URL: s.url()})
	if err != nil {
		return err
	}
	defer way.Close()
	client, err := docker.New(way)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(s.run.ctx)
	group.SetLimit(startedAtOnce)
	for name, service := range services {
		group.Go(func() error {
			spec, err := deploy.NewSpec(name, service, registry.Host{}, image)
			if err != nil {
				return err
			}
			id, err := client.Create(ctx, name, spec, map[string]string{deploy.LabelGeneration: "1", deploy.LabelSpec: spec.Hash()})
			if err != nil {
				return err
			}
			return client.Start(ctx, id)
		})
	}
	return group.Wait()
}
