package nix

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"homelab/internal/command"
	"homelab/internal/fault"
	"homelab/internal/lazy"
)

const storeOp = "nix store"

// PathInfo is what the store knows about a valid path.
type PathInfo struct {
	NarHash string // of its contents: sha256-… in base64 (SRI)
	NarSize int64  // bytes
}

// Valid returns those of paths that are not valid, each once, in their order:
// not there, or not complete; never nil. Nothing is fetched or built.
func (n Nix) Valid(ctx context.Context, paths []string) (invalid []string, err error) {
	invalid = []string{}
	for _, some := range chunks(paths) {
		lines, err := n.query(ctx, append([]string{"--check-validity", "--print-invalid"}, some...))
		if err != nil {
			return nil, err
		}
		is := map[string]bool{}
		for _, line := range lines {
			is[line] = true
		}
		for _, path := range some {
			if is[path] {
				invalid = append(invalid, path)
			}
		}
	}
	return invalid, nil
}

// Hashes returns hash and size of valid store paths. It fails with
// [fault.NotFound] when one of them is not valid.
func (n Nix) Hashes(ctx context.Context, paths []string) (map[string]PathInfo, error) {
	infos := make(map[string]PathInfo, len(paths))
	for _, some := range chunks(paths) {
		var hashes, sizes []string
		var hashErr, sizeErr error
		var both sync.WaitGroup
		both.Go(func() { hashes, hashErr = n.query(ctx, append([]string{"--query", "--hash"}, some...)) })
		sizes, sizeErr = n.query(ctx, append([]string{"--query", "--size"}, some...))
		both.Wait()
		if err := cmp.Or(hashErr, sizeErr); err != nil {
			return nil, err
		}
		if len(hashes) != len(some) || len(sizes) != len(some) {
			return nil, fault.Newf(fault.Internal, "", "nix-store told %d hashes and %d sizes of %d paths", len(hashes), len(sizes), len(some))
		}
		for i, path := range some {
			hash, err := sri(hashes[i])
			if err != nil {
				return nil, err
			}
			size, err := strconv.ParseInt(sizes[i], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("size of %s: %w", path, err)
			}
			infos[path] = PathInfo{NarHash: hash, NarSize: size}
		}
	}
	return infos, nil
}

// AddRoot makes a link, at an absolute path, to a valid store path, which keeps
// it from garbage collection. An older link is replaced; anything else there
// is [fault.Conflict]. Removing the link removes the root. It fails with
// [fault.NotFound] when the path is not valid.
func (n Nix) AddRoot(ctx context.Context, path, link string) error {
	if err := checkRoot(link); err != nil {
		return err
	}
	args := append([]string{"--realise", path}, rootArgs(link)...)
	_, err := n.query(ctx, append(args, "--option", "substitute", "false"))
	return err
}

var notValid = lazy.Regexp(`is not valid|does not exist|no substituter that can build it|don't know how to build|^build of '[^']+' failed|is not in the Nix store`)

// query runs nix-store and returns the lines it prints.
func (n Nix) query(ctx context.Context, args []string) ([]string, error) {
	result, err := command.Run(ctx, n.nixStore(args...))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", storeOp, err)
	}
	if result.Exit == 0 {
		return strings.Fields(string(result.Stdout)), nil
	}
	c := read(string(result.Stderr), "")
	if c.message == "" {
		c.message = result.FirstLine()
	}
	e := &fault.Error{Op: storeOp, Code: fault.Internal, Message: cut(c.message, maxMessage), Hint: "more: nix-store --verify"}
	switch {
	case daemonDown().MatchString(c.message):
		e.Code, e.Hint = fault.Precondition, daemonHint
	case storeDenied().MatchString(c.message):
		e.Code, e.Hint = fault.Precondition, storeHint
	case diskFull().MatchString(c.message):
		e.Code, e.Hint = fault.Precondition, spaceHint
	case notValid().MatchString(c.message):
		e.Code, e.Hint = fault.NotFound, "build it first: it is not in the store, or was collected as garbage"
	}
	return nil, e
}

// maxArgs is how many bytes of arguments a command gets: every kernel takes
// more, with the environment beside them.
const maxArgs = 200 << 10

// chunks splits paths into lists short enough for a command line, without
// those that come again.
func chunks(paths []string) [][]string {
	var lists [][]string
	seen, size := make(map[string]bool, len(paths)), maxArgs
	for _, path := range paths {
		if seen[path] {
			continue
		}
		seen[path] = true
		need := len(path) + 1 + 8 // the byte at its end, and its pointer
		if size+need > maxArgs {
			lists, size = append(lists, nil), 0
		}
		lists[len(lists)-1] = append(lists[len(lists)-1], path)
		size += need
	}
	return lists
}

// sri turns sha256:<Nix's base 32> into sha256-<base64>.
func sri(hash string) (string, error) {
	digits, ok := strings.CutPrefix(hash, "sha256:")
	if bytes := base32(digits); ok && len(bytes) == 32 {
		return "sha256-" + base64.StdEncoding.EncodeToString(bytes), nil
	}
	return "", fault.Newf(fault.Internal, "", "nix-store told a hash that is none: %q", hash)
}

// base32 decodes Nix's base 32: its own alphabet, 5 bits a digit, the last
// digit first (nix, libutil/hash.cc). It is nil for anything else.
func base32(digits string) []byte {
	bytes := make([]byte, len(digits)*5/8)
	for i := range len(digits) {
		value := strings.IndexByte("0123456789abcdfghijklmnpqrsvwxyz", digits[len(digits)-1-i])
		if value < 0 {
			return nil
		}
		at, shift := i*5/8, i*5%8
		word := value << shift
		if at < len(bytes) {
			bytes[at] |= byte(word)
		}
		if at+1 < len(bytes) {
			bytes[at+1] |= byte(word >> 8)
		} else if word>>8 != 0 {
			return nil
		}
	}
	return bytes
}
