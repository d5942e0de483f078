package main

import (
	"archive/tar"
	"cmp"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"homelab/internal/command"
	"homelab/internal/deploy"
	"homelab/internal/engine/docker"
	"homelab/internal/engine/dockerhost"
	"homelab/internal/image"
)

const loadLayers = 10

// top is the layer that an archive has for itself, above those that all have.
type top struct {
	name string
	size int64
	root string
	most int64 // of one file, in bytes
}

const (
	layerSize = imageSize / loadLayers
	smallFile = 64 << 10
	anySize   = 1 << 40
)

var tops = []top{
	{"first", layerSize, "/usr/lib", anySize},
	{"next", layerSize, "/usr/lib", anySize},
	{"many", layerSize, "/usr", smallFile},
	{"little", slack + 1<<20, "/usr", smallFile},
}

// alone is the layer that changes, in an archive without the others.
const alone = "alone"

// loads compares having an image on an engine with docker load.
func (r runner) loads(dir string) (rows []row, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for _, t := range tops {
		if err := writeLayered(filepath.Join(dir, t.name), loadLayers, t); err != nil {
			return nil, err
		}
	}
	if err := writeLayered(filepath.Join(dir, alone), 1, tops[1]); err != nil {
		return nil, err
	}
	e, err := r.startEngine(dir, "--bridge", "none", "--iptables=false")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.stop()) }()
	way, err := dockerhost.Dial(r.ctx, dockerhost.Endpoint{URL: e.url()})
	if err != nil {
		return nil, err
	}
	defer way.Close()
	client, err := docker.New(way)
	if err != nil {
		return nil, err
	}
	return e.loads(client)
}

// loaded loads an archive as homelab does. It is read before: that is part of the
// build.
func (e *engine) loaded(client deploy.Engine, name string) (func() error, error) {
	i, err := image.Read(e.run.ctx, e.in(name))
	if err != nil {
		return nil, err
	}
	a := deploy.Artifact{Service: "bench", Out: "/nix/store/" + name + "-bench", Image: i, Name: "bench:latest", Open: image.OpenFile(e.in(name))}
	return func() error { _, err := deploy.Load(e.run.ctx, client, "local", a, nil); return err }, nil
}

func (e *engine) loads(client deploy.Engine) ([]row, error) {
	first, err := e.loaded(client, "first")
	if err != nil {
		return nil, err
	}
	nothing := func() error { return e.docker("system", "prune", "--all", "--force") }
	// The name that moves goes back to the first; what it leaves has none, or a pin.
	onlyFirst := func() error {
		if err := first(); err != nil {
			return err
		}
		return e.run.ok(command.Cmd{Name: "sh", Args: []string{"-c",
			"for other in next many little; do docker image rm --force bench:nix-$other || :; done; docker image prune --force"},
			Env: []string{"DOCKER_HOST=" + e.url()}})
	}
	if err := first(); err != nil {
		return nil, err
	}
	var rows []row
	for _, c := range []struct {
		what, bound   string
		rounds        int
		reset         func() error
		archive, with string // theirs, if it is another one
	}{
		{"an image of 1 GiB and 10 layers that is on the host", "≤ 0.01", 7, onlyFirst, "first", ""},
		{"the same, with one layer of ten changed", "≤ 0.15", 3, onlyFirst, "next", ""},
		{"that layer, and nothing but it", "", 3, onlyFirst, "next", alone},
		{"an image of 1 GiB, with one layer of ten changed, which is of files below 64 KiB", "≤ 0.15", 3, onlyFirst, "many", ""},
		{"the same, when that layer is of 1 MiB", "≤ 0.15", 3, onlyFirst, "little", ""},
		{"the same, on a host that has nothing of it", "≤ 1.05", 3, nothing, "first", ""},
	} {
		ours, err := e.loaded(client, c.archive)
		if err != nil {
			return nil, err
		}
		theirs, load := cmp.Or(c.with, c.archive), "`docker load`"
		if c.with != "" {
			load += " of an archive of that layer alone"
		}
		compared, err := pairAfter(c.rounds, c.reset, ours, func() error { return e.docker("load", "--quiet", "--input", e.in(theirs)) })
		if err != nil {
			return nil, err
		}
		compared.what, compared.ours, compared.theirs, compared.bound = c.what, "`deploy.Load`", load, c.bound
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

// writeLayered writes a docker-archive with so many layers, the last of its own.
func writeLayered(path string, count int, last top) error {
	dir, err := os.MkdirTemp(filepath.Dir(path), "layers-*")
	if err != nil {
		return err
	}
	var layers []string
	for i := range count {
		t := top{strconv.Itoa(i), layerSize, roots[i%len(roots)], anySize}
		if i == count-1 {
			t = last
		}
		layer := filepath.Join(dir, "layer"+strconv.Itoa(i)+".tar")
		if err := writeMarked(layer, t); err != nil {
			return err
		}
		layers = append(layers, layer)
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	err = packLayers(tar.NewWriter(file), layers, "bench:latest", "{}")
	return errors.Join(err, file.Close(), os.RemoveAll(dir))
}

// writeMarked writes a layer that no other name gives.
func writeMarked(path string, t top) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	w := tar.NewWriter(file)
	err = w.WriteHeader(&tar.Header{Name: "mark", Mode: 0o644, Size: int64(len(t.name)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = io.WriteString(w, t.name)
	}
	if err == nil {
		err = fillLayer(w, t)
	}
	return errors.Join(err, w.Close(), file.Close())
}
