package mirror

import (
	"errors"

	"golang.org/x/sys/unix"

	"homelab/internal/tree"
)

// In the last pass of a tree the writer is held up for as long as its files are read.
// Where the file system can clone, they need not be: what has to be read is cloned, the
// writer goes on, and the clones are read.
//
// All clones of a pass are in one file without a name: nothing of it is left, whoever is
// killed.

// clones are the clones of a pass.
type clones struct {
	folder int // of the file system
	shared cloned
	// inPlace is for the files of btrfs that are written in place; nil: there was none.
	inPlace *cloned
}

// cloned is a file that clones are in, one behind the other.
type cloned struct {
	fd  int
	end int64
}

func newClones(folder int) (*clones, error) {
	if !tree.Clones(folder) {
		return nil, unix.ENOTSUP
	}
	fd, err := tree.Nameless(folder)
	if err != nil {
		return nil, err
	}
	return &clones{folder: folder, shared: cloned{fd: fd}}, nil
}

func (c *clones) close() {
	_ = unix.Close(c.shared.fd) // nobody wants it any more
	if c.inPlace != nil {
		_ = unix.Close(c.inPlace.fd)
	}
}

// add clones a file of so many bytes, and says where the clone is.
func (c *clones) add(from int, size int64) (fd int, base int64, err error) {
	fd, base, err = c.shared.add(from, size)
	if err != unix.EINVAL {
		return fd, base, err
	}
	if c.inPlace == nil {
		fd, failed := tree.Nameless(c.folder)
		if failed != nil {
			return 0, 0, err
		}
		if failed := tree.WriteInPlace(fd); failed != nil {
			return 0, 0, errors.Join(err, unix.Close(fd))
		}
		c.inPlace = &cloned{fd: fd}
	}
	return c.inPlace.add(from, size)
}

func (c *cloned) add(from int, size int64) (fd int, base int64, err error) {
	if err := tree.Clone(from, c.fd, c.end); err != nil {
		return 0, 0, err
	}
	base = c.end
	c.end = (c.end + size + tree.CloneUnit - 1) &^ (tree.CloneUnit - 1)
	return c.fd, base, nil
}

// empty forgets the clones so far.
func (c *clones) empty() error {
	err := c.shared.empty()
	if c.inPlace != nil {
		err = errors.Join(err, c.inPlace.empty())
	}
	return err
}

func (c *cloned) empty() error {
	c.end = 0
	return unix.Ftruncate(c.fd, 0)
}

// try clones a block that is written for that, to find out whether clones can be made.
func (c *clones) try() error {
	fd, err := tree.Nameless(c.folder)
	if err != nil {
		return err
	}
	if err = tree.WriteAt(fd, make([]byte, tree.CloneUnit), 0); err == nil {
		_, _, err = c.shared.add(fd, tree.CloneUnit)
	}
	_ = unix.Close(fd) // it is of no use any more
	return err
}
