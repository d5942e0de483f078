package gitrepo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"path"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// Unseen is part of [plan.Snapshot]. A commit has nothing that git does not see.
func (t *tree) Unseen(context.Context) (string, error) { return "", nil }

// Unseen is part of [plan.Snapshot]: the stamps of all tracked files, where git
// was told to look away from some, or takes what filters, line endings and
// permissions make of them for equal.
func (w *workTree) Unseen(ctx context.Context) (string, error) {
	all, err := w.sees(ctx)
	if all || err != nil {
		return "", err
	}
	entries, err := w.Entries(ctx)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	encoder := json.NewEncoder(sum)
	for _, e := range entries {
		var st unix.Stat_t // zero for what is not there, or out of reach, which Nix cannot read either
		_ = unix.Lstat(filepath.Join(w.repo.root, e.Path), &st)
		if err := encoder.Encode(stampOf(&st)); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// sees says whether git compares every byte and every mode there is.
func (w *workTree) sees(ctx context.Context) (bool, error) {
	if w.index == nil {
		return false, nil // rare enough not to ask
	}
	s, err := w.repo.settingsOf(ctx)
	if err != nil {
		return false, err
	}
	// One that git ignores works all the same.
	attributes := w.index.attributes || slices.ContainsFunc(w.strangers, func(name string) bool { return path.Base(name) == ".gitattributes" })
	return s.Plain && !s.Odd && s.FileMode && !attributes && !w.index.hidden, nil
}
