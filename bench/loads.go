package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"homelab/internal/command"
	"homelab/internal/deploy"
	"homelab/internal/engine/docker"
	"homelab/internal/engine/dockerhost"
	"homelab/internal/image"
)

const loadLayers = 10

// loads compares having an image on an engine with docker load.
func (r runner) loads(dir string) ([]row, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	first, next := filepath.Join(dir, "first.tar"), filepath.Join(dir, "next.tar")
	for path, last := range map[string]string{first: "first", next: "next"} {
		if err := writeLayered(path, last); err != nil {
			return nil, err
		}
	}
	socket, stop, err := startEngine(r.ctx, dir)
	if err != nil {
		return nil, err
	}
	rows, err := r.onEngine(socket, first, next)
	return rows, errors.Join(err, stop())
}

func (r runner) onEngine(socket, first, next string) ([]row, error) {
	way, err := dockerhost.Dial(r.ctx, dockerhost.Endpoint{URL: "unix://" + socket})
	if err != nil {
		return nil, err
	}
	defer way.Close()
	engine, err := docker.New(way)
	if err != nil {
		return nil, err
	}
	cli := func(args ...string) error {
		return r.ok(command.Cmd{Name: "docker", Args: append([]string{"--host", "unix://" + socket}, args...)})
	}
	ours := func(path string) (func() error, error) {
		i, err := image.Read(r.ctx, path)
		if err != nil {
			return nil, err
		}
		hash := strings.Repeat(string(filepath.Base(path)[0]), 32)
		a := deploy.Artifact{Service: "bench", Out: "/nix/store/" + hash + "-bench", Image: i, Name: "bench:latest", Open: image.OpenFile(path)}
		return func() error { _, err := deploy.Load(r.ctx, engine, "local", a, nil); return err }, nil
	}
	loadFirst, err := ours(first)
	if err != nil {
		return nil, err
	}
	loadNext, err := ours(next)
	if err != nil {
		return nil, err
	}
	nothing := func() error { return cli("system", "prune", "--all", "--force") }
	onlyFirst := func() error { return errors.Join(nothing(), loadFirst()) }
	keep := func() error { return nil }
	if err := loadFirst(); err != nil {
		return nil, err
	}
	var rows []row
	for _, c := range []struct {
		what, bound string
		rounds      int
		reset       func() error
		run         func() error
		archive     string
	}{
		{"an image of 1 GiB and 10 layers that is on the host", "≤ 0.01", 7, keep, loadFirst, first},
		{"the same, with one layer of ten changed", "≤ 0.15", 3, onlyFirst, loadNext, next},
		{"the same, on a host that has nothing of it", "≤ 1.05", 3, nothing, loadFirst, first},
	} {
		compared, err := pairAfter(c.rounds, c.reset, c.run, func() error { return cli("load", "--quiet", "--input", c.archive) })
		if err != nil {
			return nil, err
		}
		compared.what, compared.ours, compared.theirs, compared.bound = c.what, "`deploy.Load`", "`docker load`", c.bound
		rows = append(rows, compared)
	}
	return rows, nil
}

// pairAfter runs both in turn, each after a reset that is not counted.
func pairAfter(rounds int, reset, ours, theirs func() error) (row, error) {
	var a, b []time.Duration
	var ratios []float64
	for range rounds {
		var took [2]time.Duration
		for i, run := range []func() error{ours, theirs} {
			if err := reset(); err != nil {
				return row{}, err
			}
			var err error
			if took[i], err = timed(run); err != nil {
				return row{}, err
			}
		}
		a, b, ratios = append(a, took[0]), append(b, took[1]), append(ratios, float64(took[0])/float64(took[1]))
	}
	return row{our: median(a), their: median(b), ratio: median(ratios)}, nil
}

// writeLayered writes a docker-archive with ten layers, the last of its own.
func writeLayered(path, last string) error {
	dir, err := os.MkdirTemp(filepath.Dir(path), "layers-*")
	if err != nil {
		return err
	}
	var layers []string
	for i := range loadLayers {
		mark := strconv.Itoa(i)
		if i == loadLayers-1 {
			mark = last
		}
		layer := filepath.Join(dir, "layer"+strconv.Itoa(i)+".tar")
		if err := writeMarked(layer, roots[i%len(roots)], mark, imageSize/loadLayers); err != nil {
			return err
		}
		layers = append(layers, layer)
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	err = packLayers(tar.NewWriter(file), layers)
	return errors.Join(err, file.Close(), os.RemoveAll(dir))
}

// writeMarked writes a layer that no other mark gives.
func writeMarked(path, root, mark string, size int64) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	w := tar.NewWriter(file)
	err = w.WriteHeader(&tar.Header{Name: "mark", Mode: 0o644, Size: int64(len(mark)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = io.WriteString(w, mark)
	}
	if err == nil {
		err = fillLayer(w, root, size)
	}
	return errors.Join(err, w.Close(), file.Close())
}

// startEngine starts a Docker engine in namespaces of its own, which keeps all in a
// folder.
func startEngine(ctx context.Context, dir string) (socket string, stop func() error, err error) {
	in := func(name string) string { return filepath.Join(dir, name) }
	socket = in("docker.sock")
	engine, err := command.Start(ctx, command.Cmd{
		Name: "unshare", Install: "this row needs root, util-linux and docker.io",
		Args: []string{"--net", "--mount", "dockerd", "--data-root", in("data"), "--exec-root", in("exec"), "--pidfile", in("pid"),
			"--host", "unix://" + socket, "--bridge", "none", "--iptables=false"},
	})
	if err != nil {
		return "", nil, err
	}
	for range 300 {
		if _, err := os.Stat(socket); err == nil {
			return socket, engine.Close, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return "", nil, errors.Join(fmt.Errorf("the engine is not ready after 30 s"), engine.Close())
}
