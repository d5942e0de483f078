package mirror

import (
	"slices"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"homelab/internal/tree"
)

// sweep looks at everything once more: what was not at rest is not the tree that
// was copied, even if each of its entries is.
//
// The entries of the tree itself are shared out, since this is time in which the
// tree is held up.
func (p *pass) sweep() error {
	var all errgroup.Group
	all.SetLimit(workers())
	return p.sweepNode(int(p.parent.Fd()), p.name, p.top, "", func(fd int, below []*node) error {
		for some := range slices.Chunk(below, 64) {
			all.Go(func() error { return p.sweepNodes(fd, some, "") })
		}
		return all.Wait()
	})
}

func (p *pass) sweepNodes(fd int, nodes []*node, path string) error {
	for _, n := range nodes {
		path := join(path, n.name)
		err := p.sweepNode(fd, n.name, n, path, func(fd int, below []*node) error { return p.sweepNodes(fd, below, path) })
		if err != nil {
			return err
		}
	}
	return p.ctx.Err()
}

// sweepNode looks at an entry, and hands on what is in it.
func (p *pass) sweepNode(folder int, name string, n *node, path string, in func(fd int, below []*node) error) error {
	stat, err := tree.Stat(folder, name)
	if err != nil || stampOf(stat) != n.stamp {
		return changed(shown(path))
	}
	if n.below == nil || len(*n.below) == 0 {
		return nil
	}
	fd, err := tree.Open(folder, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return changed(shown(path))
	}
	defer unix.Close(fd)
	return in(fd, *n.below)
}
