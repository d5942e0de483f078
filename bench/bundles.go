package main

import (
	"errors"
	"os"
	"time"

	"homelab/internal/bundle"
	"homelab/internal/command"
)

// bundles compares writing, verifying and extracting a bundle of the tree with the
// commands that do the same without hashes.
func (c *copies) bundles() ([]row, error) {
	if c.run.version("zstd") == "no zstd" {
		return nil, nil
	}
	var wrote, verified, extracted [2][]time.Duration
	for range mirrorRounds {
		if err := errors.Join(os.RemoveAll(c.in("ours")), os.RemoveAll(c.in("theirs")), os.MkdirAll(c.in("ours"), 0o700), os.MkdirAll(c.in("theirs"), 0o700)); err != nil {
			return nil, err
		}
		for _, pair := range []struct {
			into  *[2][]time.Duration
			ours  func() error
			shell string
		}{
			{&wrote, c.writeBundle, `tar -C tree -cf - . | zstd -1 -T0 -q -f -o tree.tar.zst`},
			{&verified, func() error {
				return c.readBundle(func(r *bundle.Reader) error { _, err := r.Verify(c.run.ctx); return err })
			}, `zstd -dcq tree.tar.zst | sha256sum`},
			{&extracted, c.extractBundle, `zstd -dcq tree.tar.zst | tar -C theirs -xpf -`},
		} {
			shell := func() error {
				return c.run.ok(command.Cmd{Name: "sh", Args: []string{"-c", pair.shell}, Dir: c.dir})
			}
			if err := both(pair.into, pair.ours, shell); err != nil {
				return nil, err
			}
		}
	}
	write := row{what: "a bundle of that tree, hashes included", ours: "`bundle.Write`", theirs: "`tar \\| zstd -1 -T0`", bound: "≤ 1.1"}
	verify := row{what: "reading all of it, every hash compared", ours: "`bundle.Verify`", theirs: "`zstd -d \\| sha256sum`", bound: ""}
	extract := row{what: "extracting it, every hash compared", ours: "`bundle.Extract`", theirs: "`zstd -d \\| tar x`", bound: "≤ 1"}
	write.compare(wrote[0], wrote[1])
	verify.compare(verified[0], verified[1])
	extract.compare(extracted[0], extracted[1])
	return []row{write, verify, extract}, nil
}

func (c *copies) writeBundle() (err error) {
	tree, err := os.OpenRoot(c.in("tree"))
	if err != nil {
		return err
	}
	out, err := os.Create(c.in("tree.bundle"))
	if err != nil {
		return errors.Join(err, tree.Close())
	}
	_, err = bundle.Write(c.run.ctx, out, bundle.Order{
		ID: "bench", Program: "bench", Created: time.Unix(0, 0), Sources: []bundle.Source{{Item: bundle.Item{Name: "tree", Kind: "path", Source: "/tree"}, Root: tree}},
	})
	return errors.Join(err, out.Close(), tree.Close())
}

func (c *copies) readBundle(read func(*bundle.Reader) error) error {
	in, err := os.Open(c.in("tree.bundle"))
	if err != nil {
		return err
	}
	reader, err := bundle.Open(in, bundle.Trust{})
	if err != nil {
		return errors.Join(err, in.Close())
	}
	err = read(reader)
	reader.Close()
	return errors.Join(err, in.Close())
}

func (c *copies) extractBundle() error {
	place, err := os.OpenRoot(c.in("ours"))
	if err != nil {
		return err
	}
	err = c.readBundle(func(r *bundle.Reader) error {
		_, err := r.Extract(c.run.ctx, bundle.Extraction{Targets: []bundle.Target{{Root: place, Name: "tree"}}})
		return err
	})
	return errors.Join(err, place.Close())
}
