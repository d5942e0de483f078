package main

import (
	"errors"
	"net"
	"os"
	"time"

	"homelab/internal/bundle"
	"homelab/internal/command"
	"homelab/internal/mirror"
	"homelab/internal/state"
	"homelab/internal/store/restic"
	"homelab/registry"
)

const resticPassword = "RESTIC_PASSWORD=bench"

// restic compares a bundle of the tree, in which nothing changed since the last one,
// with restic's own backup of it.
func (c *copies) restic() ([]row, error) {
	if c.run.version("restic") == "no restic" {
		return nil, nil
	}
	theirs := func(args ...string) error {
		return c.run.ok(command.Cmd{Name: "restic", Args: append([]string{"--quiet", "--repo", c.in("theirs.restic")}, args...), Env: []string{resticPassword, "RESTIC_CACHE_DIR=" + c.in("cache")}})
	}
	own := command.Cmd{Name: "restic", Args: []string{"--quiet", "--repo", c.in("ours.restic"), "init"}, Env: []string{resticPassword}}
	if err := errors.Join(os.Setenv("RESTIC_PASSWORD", "bench"), os.Setenv("RESTIC_CACHE_DIR", c.in("cache")), os.MkdirAll(c.in("kept"), 0o700), c.run.ok(own), theirs("init")); err != nil {
		return nil, err
	}
	ours := func() error { return c.keep() }
	backup := func() error { return theirs("backup", c.in("tree")) }
	time.Sleep(4 * time.Second) // files that are younger are read again
	if err := errors.Join(ours(), backup()); err != nil {
		return nil, err
	}
	var took [2][]time.Duration
	for range mirrorRounds {
		if err := both(&took, ours, backup); err != nil {
			return nil, err
		}
	}
	same := row{what: "a bundle of that tree in restic, nothing changed", ours: "both passes and `restic.Save`", theirs: "`restic backup`", bound: "≤ 1.2"}
	same.compare(took[0], took[1])
	return []row{same}, nil
}

// keep brings the copy up to date that is kept for restic, and saves it.
func (c *copies) keep() (err error) {
	tree, err := os.OpenRoot(c.in("tree"))
	if err != nil {
		return err
	}
	defer tree.Close()
	place, err := os.OpenRoot(c.in("kept"))
	if err != nil {
		return err
	}
	defer place.Close()
	if err := c.refresh(tree, place); err != nil {
		return err
	}
	store, err := restic.New(registry.Store{Kind: "restic", Address: "restic:" + c.in("ours.restic"), Path: c.in("ours.restic")}, c.in("work"))
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	_, err = store.Save(c.run.ctx, "web", bundle.Order{ID: state.NewID(now), Program: "bench", Created: now, Sources: []bundle.Source{
		{Item: bundle.Item{Name: "tree", Kind: "path", Source: "/tree"}, Root: place, At: "0"},
	}})
	return err
}

func (c *copies) refresh(tree, place *os.Root) (err error) {
	here, there := net.Pipe()
	source, err := mirror.NewSource(here, mirror.Tree{Root: tree})
	if err != nil {
		return err
	}
	sink, err := mirror.NewSink(there, mirror.Place{Root: place, Name: "0", Memory: "0.memory", Privileged: true})
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- source.Serve(c.run.ctx) }()
	for _, final := range []bool{false, true} {
		if err == nil {
			_, err = sink.Pass(c.run.ctx, final)
		}
	}
	if err == nil {
		err = sink.Keep(c.run.ctx)
	}
	return errors.Join(err, sink.Close(), <-done)
}
