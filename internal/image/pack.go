package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"homelab/internal/fault"
)

// maxTree is how many bytes are held of the names of one layer's files.
const maxTree = 256 << 20

// packed is a file or a folder of a layer that is made of store paths.
type packed struct {
	name string // in the layer
	path string // on disk
	own  []perm
}

// perm is a [nix2containerPerm] with its pattern compiled.
type perm struct {
	nix2containerPerm
	match *regexp.Regexp
}

// pack writes the tar of a layer that nix2container describes by store paths,
// byte for byte as its own TarPaths does (nix/tar.go and nix/graph.go there):
// folder by folder in the order of the names in the layer, folders that no path
// brings made up, everything root's and of the second 1. Both leave the form of
// headers to archive/tar.
func (o *output) pack(w io.Writer, paths []nix2containerPath) error {
	files, err := list(o.ctx, paths)
	if err != nil {
		return err
	}
	p := &packer{output: o, tar: tar.NewWriter(w)}
	for _, file := range files {
		if err := p.folders(file.name); err != nil {
			return o.packFailed(err)
		}
		if err := p.add(file); err != nil {
			return o.packFailed(err)
		}
	}
	return o.packFailed(p.tar.Close())
}

// packFailed explains why a layer could not be made. What is wrong with the
// archive that it goes into is left to those who know it.
func (o *output) packFailed(err error) error {
	var known *fault.Error
	var path *fs.PathError
	switch {
	case err == nil, o.sink.err != nil, errors.Is(err, tar.ErrWriteTooLong), errors.As(err, &known):
		return err
	case errors.As(err, &path):
		return missing(err)
	}
	return fault.Newf(fault.Precondition, otherHint, "a layer cannot be made of its paths: %.300s", err)
}

// list is what is in a layer, in its order. Of two files of one name the later
// one counts.
func list(ctx context.Context, paths []nix2containerPath) ([]packed, error) {
	var files []packed
	held := 0
	for _, path := range paths {
		rename, own, err := path.options()
		if err != nil {
			return nil, err
		}
		err = filepath.WalkDir(path.Path, func(file string, _ fs.DirEntry, err error) error {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return missing(err)
			}
			name := rename(file)
			if name == "" {
				return nil
			}
			if held += len(file) + len(name); held > maxTree {
				return broken("a layer has more than %d bytes of file names", maxTree)
			}
			files = append(files, packed{filepath.Clean(name), file, own})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(files, func(a, b packed) int { return compareFolders(a.name, b.name) })
	last := files[:0]
	for i, file := range files {
		if i+1 == len(files) || files[i+1].name != file.name {
			last = append(last, file)
		}
	}
	return last, nil
}

// options are how the files of a path are named in the layer, nothing for one
// that is left out, and whose they are there.
func (p nix2containerPath) options() (rename func(string) string, own []perm, err error) {
	rename = func(file string) string { return file }
	if expression := p.Options.Rewrite.Regex; expression != "" {
		match, err := regexp.Compile(expression)
		if err != nil {
			return nil, nil, broken("a pattern for the paths of files cannot be read: %.300s", err)
		}
		rename = func(file string) string { return match.ReplaceAllString(file, p.Options.Rewrite.Repl) }
	}
	for _, said := range p.Options.Perms {
		match, err := regexp.Compile(said.Regex)
		if err != nil {
			return nil, nil, broken("a pattern for the modes of files cannot be read: %.300s", err)
		}
		own = append(own, perm{said, match})
	}
	return rename, own, nil
}

// compareFolders orders names folder by folder: a, a/b, a-b.
func compareFolders(a, b string) int {
	for i := range min(len(a), len(b)) {
		switch {
		case a[i] == b[i]:
		case a[i] == '/':
			return -1
		case b[i] == '/':
			return 1
		default:
			return int(a[i]) - int(b[i])
		}
	}
	return len(a) - len(b)
}

// packer writes the tar of a layer.
type packer struct {
	*output
	tar  *tar.Writer
	last string // name of the entry before
}

// folders writes the folders above name that were not written yet.
func (p *packer) folders(name string) error {
	for i := range len(name) {
		if name[i] != '/' || name == "/" {
			continue
		}
		folder := max(i, 1) // that of the root is its slash
		if above := name[:folder]; !isBelow(p.last, above) {
			if err := p.write(&tar.Header{Typeflag: tar.TypeDir, Name: above, Mode: 0o755}); err != nil {
				return err
			}
		}
	}
	return nil
}

// isBelow says whether name is folder or below it.
func isBelow(name, folder string) bool {
	rest, ok := strings.CutPrefix(name, folder)
	return ok && (rest == "" || folder == "/" || rest[0] == '/')
}

// add writes a file, a link or a folder.
func (p *packer) add(file packed) error {
	info, err := os.Lstat(file.path)
	if err != nil {
		return err
	}
	target := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		if target, err = os.Readlink(file.path); err != nil {
			return err
		}
	}
	header, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	header.Name = file.name
	if target != "" {
		header.Mode = 0o777 // whatever links have on this system
	}
	header.Uid, header.Gid = 0, 0
	header.Uname, header.Gname = "", ""
	for _, own := range file.own {
		if err := own.apply(header, file.path); err != nil {
			return err
		}
	}
	if err := p.write(header); err != nil || !info.Mode().IsRegular() {
		return err
	}
	return p.content(file.path, header.Size)
}

// apply gives a file that matches its owner and mode.
func (p perm) apply(header *tar.Header, path string) error {
	if !p.match.MatchString(path) {
		return nil
	}
	header.Uid, header.Gid = p.UID, p.GID
	if p.Uname != "" {
		header.Uname = p.Uname
	}
	if p.Gname != "" {
		header.Gname = p.Gname
	}
	if p.Mode != "" {
		if _, err := fmt.Sscanf(p.Mode, "%o", &header.Mode); err != nil {
			return broken("a file has the mode %.100q: %.300s", p.Mode, err)
		}
	}
	return nil
}

// write writes a header.
func (p *packer) write(header *tar.Header) error {
	if header.Uname == "" {
		header.Uname = "root"
	}
	if header.Gname == "" {
		header.Gname = "root"
	}
	header.ModTime = time.Unix(1, 0)
	header.AccessTime, header.ChangeTime = time.Time{}, time.Time{}
	p.last = header.Name
	return p.tar.WriteHeader(header)
}

// content writes what is in a file of size bytes.
func (p *packer) content(path string, size int64) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.CopyBuffer(p.tar, within{p.ctx, io.LimitReader(file, size)}, p.buffer)
	return err
}
