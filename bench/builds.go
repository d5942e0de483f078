package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"homelab/internal/command"
	"homelab/internal/nix"
	"homelab/registry"
)

// workshop is a repository of services whose images are made in no time, so
// that what is measured is everything else.
type workshop struct {
	run    runner
	dir    string
	system string
	edits  int
}

const workshopSize = 20

func (r runner) newWorkshop(dir string) (*workshop, error) {
	w := &workshop{run: r, dir: dir, system: registry.SystemOf("linux", runtime.GOARCH)}
	var packages, services []string
	for i := range workshopSize {
		name := serviceName(i)
		packages = append(packages, fmt.Sprintf("%s = image %q ./services/%s;", name, name, name))
		services = append(services, fmt.Sprintf(`%q: {"build": {"targets": {%q: %q}}, "hints": ["services/%s"]}`, name, w.system, w.attr(i), name))
		if err := write(filepath.Join(dir, "services", name, "content"), name); err != nil {
			return nil, err
		}
	}
	flake := fmt.Sprintf(`{
  outputs = _: let
    image = name: folder: derivation {
      inherit name folder; system = %q; builder = "/bin/sh"; PATH = "/usr/bin:/bin"; __noChroot = true;
      args = [ "-c" "echo '#!/bin/sh' >$out; chmod +x $out" ];
    };
  in { packages.%s = { %s }; };
}
`, w.system, w.system, strings.Join(packages, " "))
	for path, content := range map[string]string{
		"flake.nix": flake, "homelab.json": `{"version": 1, "services": {` + strings.Join(services, ",") + `}}`,
	} {
		if err := write(filepath.Join(dir, path), content); err != nil {
			return nil, err
		}
	}
	return w, r.commit(dir)
}

func (w *workshop) attr(i int) string { return "packages." + w.system + "." + serviceName(i) }

func (w *workshop) nix(args ...string) error {
	return w.run.ok(command.Cmd{Name: "nix", Args: append([]string{"--extra-experimental-features", "nix-command flakes"}, args...), Dir: w.dir})
}

func (w *workshop) homelab(args ...string) error {
	return w.run.ok(command.Cmd{Name: w.run.homelab, Args: append(args, "--json", "--registry", "homelab.json"), Dir: w.dir, Env: []string{"HOMELAB_SYSTEM=" + w.system}})
}

// edit changes one service to what it never was.
func (w *workshop) edit() error {
	w.edits++
	return write(filepath.Join(w.dir, "services", serviceName(0), "content"), fmt.Sprint(os.Getpid(), time.Now().UnixNano(), w.edits))
}

// builds compares builds with nix build.
func (r runner) builds(dir string) ([]row, error) {
	w, err := r.newWorkshop(dir)
	if err != nil {
		return nil, err
	}
	names, installables := []string{}, []string{}
	for i := range workshopSize {
		names = append(names, serviceName(i))
		installables = append(installables, ".#"+w.attr(i))
	}
	cached, err := r.pair(
		func() error { return w.homelab(append([]string{"build"}, names...)...) },
		func() error { return w.nix(append([]string{"build", "--no-link"}, installables...)...) },
	)
	if err != nil {
		return nil, err
	}
	cached.what, cached.ours, cached.theirs, cached.bound = "20 services that are built already", "`homelab build`", "one `nix build` of the 20", "≤ 1.3"

	edited := func(build func() error) func() error {
		return func() error {
			if err := w.edit(); err != nil {
				return err
			}
			return build()
		}
	}
	one, err := r.pair(
		edited(func() error { return w.homelab("build", names[0]) }),
		edited(func() error { return w.nix("build", "--no-link", installables[0]) }),
	)
	if err != nil {
		return nil, err
	}
	one.what, one.ours, one.theirs = "one service that was edited", "`homelab build`", "`nix build`"
	one.bound = fmt.Sprintf("≤ 150 ms more: %+.0f ms", float64(one.our-one.their)/float64(time.Millisecond))
	return []row{cached, one}, nil
}

// exact compares exact plans with evaluating both sides. The cache is the user's
// cache folder.
func (r runner) exact(dir, cache string) ([]row, error) {
	w, err := r.newWorkshop(dir)
	if err != nil {
		return nil, err
	}
	if err := w.edit(); err != nil {
		return nil, err
	}
	attrs := []string{}
	for i := range workshopSize {
		attrs = append(attrs, fmt.Sprintf("%q", serviceName(i)))
	}
	apply := fmt.Sprintf("p: map (name: p.%s.${name}.outPath) [ %s ]", w.system, strings.Join(attrs, " "))
	head, err := command.Run(r.ctx, command.Cmd{Name: "git", Args: []string{"rev-parse", "HEAD"}, Dir: dir})
	if err != nil {
		return nil, err
	}
	both := func() error {
		for _, ref := range []string{nix.GitRef(dir, strings.TrimSpace(string(head.Stdout)), ""), "."} {
			if err := w.nix("eval", "--json", ref+"#packages", "--apply", apply); err != nil {
				return err
			}
		}
		return nil
	}
	plan := func() error {
		return r.ok(command.Cmd{
			Name: r.homelab, Args: []string{"plan", "--json", "--mode", "exact", "--registry", "homelab.json"}, Dir: dir,
			Env: []string{"HOMELAB_SYSTEM=" + w.system},
		})
	}
	cold, err := r.pair(func() error {
		// What Nix itself keeps stays, for both.
		if err := os.RemoveAll(filepath.Join(cache, "homelab")); err != nil {
			return err
		}
		return plan()
	}, both)
	if err != nil {
		return nil, err
	}
	const reference = "two `nix eval --apply` of the same 20 attributes"
	cold.what, cold.ours, cold.theirs, cold.bound = "exact plan of 20 services, the first time", "`homelab plan --mode exact`", reference, "≤ 1.2"
	warm, err := r.pair(plan, both)
	if err != nil {
		return nil, err
	}
	warm.what, warm.ours, warm.theirs, warm.bound = "the same once more", "`homelab plan --mode exact`", reference, "≤ 50 ms"
	return []row{cold, warm}, nil
}
