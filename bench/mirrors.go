package main

import (
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"homelab/internal/command"
	"homelab/internal/mirror"
)

const mirrorRounds = 3

// copies is a tree and two copies of it.
type copies struct {
	run                runner
	dir                string
	tree               tree
	source             *mirror.Source
	sink               *mirror.Sink
	done               chan error
	first, same, after [2][]time.Duration
}

// mirrors compares copying a tree, and copying it again, with rsync.
func (r runner) mirrors(dir string) ([]row, error) {
	if r.version("rsync") == "no rsync" {
		return nil, nil
	}
	c := &copies{run: r, dir: dir}
	c.tree = tree{c.in("tree"), 2 << 30}
	if err := c.tree.generate(); err != nil {
		return nil, err
	}
	for i := range mirrorRounds {
		if err := c.round(uint64(i)); err != nil {
			return nil, err
		}
	}
	first := row{what: "a copy of 2 GiB in 40,000 files", ours: "first pass of `internal/mirror`", theirs: "`rsync -a`", bound: "≤ 1"}
	same := row{what: "the same again, nothing changed", ours: "last pass", theirs: "`rsync -a`", bound: "≤ 400 ms"}
	after := row{what: "the same again, 1 % changed: of the small files, and of the blocks of the large ones", ours: "last pass", theirs: "`rsync -a`", bound: "≤ 0.6"}
	first.compare(c.first[0], c.first[1])
	same.compare(c.same[0], c.same[1])
	after.compare(c.after[0], c.after[1])
	rows := []row{first, same, after}
	for _, more := range []func() ([]row, error){c.bundles, c.restic} {
		found, err := more()
		if err != nil {
			return nil, err
		}
		rows = append(rows, found...)
	}
	return rows, nil
}

func (c *copies) in(name string) string { return filepath.Join(c.dir, name) }

// round is a first pass, one without and one with changes, each way.
func (c *copies) round(seed uint64) (err error) {
	if err := errors.Join(os.RemoveAll(c.in("ours")), os.RemoveAll(c.in("theirs"))); err != nil {
		return err
	}
	if err := c.connect(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.source.Close(), <-c.done, c.sink.Close()) }()
	rsync := func() error {
		return c.run.ok(command.Cmd{Name: "rsync", Args: []string{"-a", c.in("tree") + "/", c.in("theirs")}})
	}
	live := func() error { _, err := c.source.Pass(c.run.ctx, false); return err }
	final := func() error { _, err := c.source.Pass(c.run.ctx, true); return err }
	if err := both(&c.first, live, rsync); err != nil {
		return err
	}
	time.Sleep(4 * time.Second) // files that are younger are read again
	if err := live(); err != nil {
		return err
	}
	if err := both(&c.same, final, rsync); err != nil {
		return err
	}
	if err := c.tree.change(rand.New(rand.NewPCG(seed, 2))); err != nil {
		return err
	}
	return both(&c.after, final, rsync)
}

// both times both, each with nothing left to be written to the disk.
func both(into *[2][]time.Duration, ours, theirs func() error) error {
	for i, run := range []func() error{ours, theirs} {
		unix.Sync()
		took, err := timed(run)
		if err != nil {
			return err
		}
		into[i] = append(into[i], took)
	}
	return nil
}

// connect makes a source and a sink, with a pipe between them.
func (c *copies) connect() error {
	tree, err := os.OpenRoot(c.in("tree"))
	if err != nil {
		return err
	}
	place, err := os.OpenRoot(c.dir)
	if err != nil {
		return err
	}
	here, there := net.Pipe()
	if c.source, err = mirror.NewSource(here, mirror.Tree{Root: tree}); err != nil {
		return err
	}
	if c.sink, err = mirror.NewSink(there, mirror.Place{Root: place, Name: "ours", Privileged: true}); err != nil {
		return err
	}
	c.done = make(chan error, 1)
	go func() { c.done <- c.sink.Serve(c.run.ctx) }()
	return errors.Join(tree.Close(), place.Close())
}
