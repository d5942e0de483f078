package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"homelab/internal/command"
	"homelab/registry"
)

// size is how large a generated repository is.
type size struct {
	name               string
	services, perOne   int // files per service
	modules, perModule int // shared by all
	docs               int // files no hint covers
}

var sizes = []size{
	{"homelab: 600 files, 40 services", 40, 12, 10, 8, 40},
	{"large: 50,000 files, 1,000 services", 1000, 40, 200, 40, 2000},
}

// hintedFolders are the tops of all hints: what the git commands are limited to.
var hintedFolders = []string{"services", "modules"}

// hints are ten for each service: its folder, and parts of what is shared.
func (s size) hints(i int) []string {
	own := serviceName(i)
	module := func(n int) string { return fmt.Sprintf("modules/m%03d", (i*7+n)%s.modules) }
	return []string{
		"services/" + own, module(0), module(1) + "/**", module(2) + "/*.nix", module(3) + "/f000.nix",
		module(4) + "/f00[1-3].nix", module(5) + "/{f001,f002}.nix", module(6) + "/**/*.nix",
		"modules/*/" + own + ".nix", "services/*/" + own + "/*.yaml",
	}
}

func serviceName(i int) string { return fmt.Sprintf("s%04d", i) }

func (s size) registry() registry.Registry {
	r := registry.Registry{
		Version: 1, GlobalHints: []registry.GlobalHint{{Path: "flake.lock"}},
		// So that no time goes into asking a Docker engine.
		Hosts:    map[string]registry.Host{registry.LocalHost: {System: "x86_64-linux"}},
		Services: map[string]registry.Service{},
	}
	for i := range s.services {
		name := serviceName(i)
		r.Services[name] = registry.Service{
			Description: "Service number " + name,
			Build:       registry.Build{Targets: map[string]string{"x86_64-linux": "packages.x86_64-linux." + name, "aarch64-linux": "packages.aarch64-linux." + name}},
			Hints:       s.hints(i),
		}
	}
	return r
}

// paths are all files but the registry.
func (s size) paths() []string {
	paths := []string{"flake.lock"}
	for i := range s.services {
		for f := range s.perOne {
			paths = append(paths, fmt.Sprintf("services/%s/d%d/f%03d.yaml", serviceName(i), f/10, f))
		}
	}
	for m := range s.modules {
		for f := range s.perModule {
			paths = append(paths, fmt.Sprintf("modules/m%03d/f%03d.nix", m, f))
		}
	}
	for d := range s.docs {
		paths = append(paths, fmt.Sprintf("docs/d%02d/f%04d.md", d/50, d))
	}
	return paths
}

// generate makes the repository in dir, with a commit, three edited files and an
// untracked one. Its files are old enough for git to trust their stat data.
func (s size) generate(run runner, dir string) error {
	for _, path := range s.paths() {
		if err := write(filepath.Join(dir, path), strings.Repeat(path+"\n", 8)); err != nil {
			return err
		}
	}
	encoded, err := json.MarshalIndent(s.registry(), "", "  ")
	if err != nil {
		return err
	}
	if err := write(filepath.Join(dir, "homelab.json"), string(encoded)); err != nil {
		return err
	}
	old := time.Now().Add(-time.Hour)
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return os.Chtimes(path, old, old)
	})
	if err != nil {
		return err
	}
	for _, args := range [][]string{
		{"init", "-q", "-b", "main"}, {"config", "gc.auto", "0"}, {"add", "-A"}, {"commit", "-q", "-m", "one"}, {"gc", "-q"}, {"status", "--short"},
	} {
		if err := run.ok(command.Cmd{Name: "git", Args: args, Dir: dir}); err != nil {
			return err
		}
	}
	for _, path := range []string{
		"services/s0001/d0/f000.yaml", "services/s0002/d0/f001.yaml", "modules/m003/f002.nix", "services/s0003/new.yaml",
	} {
		if err := write(filepath.Join(dir, path), "edited\n"); err != nil {
			return err
		}
	}
	return nil
}

func write(path, content string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(content), 0o644)
}

// commit makes a repository of a folder.
func (r runner) commit(dir string) error {
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A"}, {"commit", "-q", "-m", "one"}} {
		if err := r.ok(command.Cmd{Name: "git", Args: args, Dir: dir}); err != nil {
			return err
		}
	}
	return nil
}
