package gitrepo

import (
	"context"
	"crypto/sha1" //nolint:gosec // git's object ids, compared with what git stored
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"golang.org/x/sys/unix"

	"homelab/internal/plan"
)

// decide settles in process what is beyond doubt without git's help: files to
// which no filter can apply, by their hash, and untracked paths under plain
// ignore rules. It returns what is left for git.
func (w *workTree) decide(ctx context.Context, found *suspects) (tracked, unknown []string, err error) {
	s, err := w.repo.settingsOf(ctx)
	if err != nil {
		return nil, nil, err
	}
	plain := s.Plain && !s.Odd && !w.index.attributes
	for _, path := range found.unknown {
		plain = plain && filepath.Base(path) != ".gitattributes"
	}
	for _, path := range found.tracked {
		decided := false
		if e := w.index.find(path); e != nil && e.mode != filemode.Symlink && e.mode != filemode.Submodule && w.repo.denied(path) {
			w.unreadable = append(w.unreadable, path) // git would give up
			continue
		}
		if w.looped(path) {
			continue
		}
		if plain {
			if decided, err = w.decideTracked(ctx, s, path); err != nil {
				return nil, nil, err
			}
		}
		if !decided {
			tracked = append(tracked, path)
		}
	}
	for _, path := range found.unknown {
		verdict := unsure
		if !s.Odd && !w.index.ruled {
			verdict = w.repo.ignores(s, path)
		}
		switch verdict {
		case ignored:
		case kept:
			if !strings.HasSuffix(path, "/") {
				w.untracked = append(w.untracked, path)
				continue
			}
			unknown = append(unknown, path) // git lists what is in it
		default:
			unknown = append(unknown, path)
		}
	}
	return tracked, unknown, nil
}

// looped settles a file below what is now a link to itself: it is deleted, as
// git says of any other that is gone, while git diff leaves this one out.
func (w *workTree) looped(path string) bool {
	var st unix.Stat_t
	e := w.index.find(path)
	if e == nil || e.assumeValid || e.skipped || !errors.Is(unix.Lstat(filepath.Join(w.repo.root, path), &st), unix.ELOOP) {
		return false
	}
	w.edited[path] = plan.Change{Path: path, Status: plan.Deleted, Old: kindOf(e.mode)}
	return true
}

// maxHashed is the size in bytes above which git hashes.
const maxHashed = 64 << 20

// decideTracked compares one path with the index by content, and says whether it
// could.
func (w *workTree) decideTracked(ctx context.Context, s *settings, path string) (bool, error) {
	e := w.index.find(path)
	if e == nil || e.mode == filemode.Submodule || e.skipped {
		return false, ctx.Err()
	}
	file := filepath.Join(w.repo.root, path)
	var st unix.Stat_t
	err := unix.Lstat(file, &st)
	if errors.Is(err, unix.ENOENT) {
		w.edited[path] = plan.Change{Path: path, Status: plan.Deleted, Old: kindOf(e.mode)}
		return true, nil
	}
	mode := modeOf(&st)
	if err != nil || mode == 0 {
		return false, nil
	}
	if !s.FileMode && mode != filemode.Symlink && e.mode != filemode.Symlink {
		mode = e.mode
	}
	if mode == e.mode {
		same, ok := sameContent(file, &st, e.hash)
		if !ok || same {
			return ok, nil
		}
	}
	w.edited[path] = plan.Change{Path: path, Status: statusOf(e.mode, mode), Old: kindOf(e.mode), New: kindOf(mode)}
	return true, nil
}

// sameContent compares a file or link with a blob; ok is false where it cannot.
func sameContent(file string, st *unix.Stat_t, want plumbing.Hash) (same, ok bool) {
	if st.Size > maxHashed {
		return false, false
	}
	var content []byte
	if modeOf(st) == filemode.Symlink {
		target, err := os.Readlink(file)
		if err != nil {
			return false, false
		}
		content = []byte(target)
	} else {
		opened, err := os.OpenFile(file, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			return false, false
		}
		content, err = io.ReadAll(io.LimitReader(opened, maxHashed+1))
		if closed := opened.Close(); err != nil || closed != nil || len(content) > maxHashed {
			return false, false
		}
	}
	sum := sha1.New() //nolint:gosec // see above
	fmt.Fprintf(sum, "blob %d\x00", len(content))
	sum.Write(content)
	return plumbing.Hash(sum.Sum(nil)) == want, true
}
