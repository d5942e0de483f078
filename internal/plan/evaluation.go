package plan

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"homelab/internal/cache"
	"homelab/internal/fault"
)

// evaluate evaluates a flake, or finds what an equal state evaluated to.
func (s *Source) evaluate(ctx context.Context, where location, at state) (*Loaded, error) {
	if where.outside {
		// It may move on its own: asked every time.
		raw, err := s.Nix.EvalJSON(ctx, where.ref, where.attr)
		if err != nil {
			return nil, err
		}
		return s.parse(digestOf(raw), raw)
	}
	keyOf := func(ctx context.Context, at state) (string, error) {
		return evaluationKey(ctx, fmt.Sprintf("homelab registry 1\n%q %q", where.path, where.attr), at)
	}
	key, err := keyOf(ctx, at)
	if err != nil {
		return nil, err
	}
	if key != "" {
		if loaded := s.remembered(key); loaded != nil {
			return loaded, nil
		}
		if raw, ok := s.disk().Get(key); ok {
			if missing := parseMissing(raw); missing != nil {
				return nil, missing
			}
			if loaded, err := s.parse(key, raw); err == nil {
				return loaded, nil
			}
		}
	}
	commit := at.commit.ID
	if at.work {
		commit = ""
	}
	raw, err := s.Nix.EvalJSON(ctx, s.Nix.GitRef(s.Root, commit, where.path), where.attr)
	if err != nil {
		if missing := missingOf(err); missing != nil && at.settled(ctx, key, keyOf) {
			s.disk().Put(key, missing)
		}
		return nil, err
	}
	if !at.settled(ctx, key, keyOf) {
		return s.parse(digestOf(raw), raw)
	}
	loaded, err := s.parse(key, raw)
	if err == nil {
		s.disk().Put(key, raw)
	}
	return loaded, err
}

// missingMark begins what is kept of a flake without the attribute: that, too, is
// a property of the state.
const missingMark = "missing "

// missingOf is what is kept of a [fault.NotFound]; nil for other errors.
func missingOf(err error) []byte {
	e := (*fault.Error)(nil)
	if !errors.As(err, &e) || e.Code != fault.NotFound {
		return nil
	}
	raw, err := json.Marshal(missingAttr{e.Op, e.Message, e.Hint})
	if err != nil {
		return nil
	}
	return append([]byte(missingMark), raw...)
}

// parseMissing is the error that was kept; nil when a value was.
func parseMissing(raw []byte) error {
	kept, ok := bytes.CutPrefix(raw, []byte(missingMark))
	m := missingAttr{}
	if !ok || json.Unmarshal(kept, &m) != nil {
		return nil
	}
	return m.err()
}

// evaluationKey identifies all that an evaluation of something can depend on: pure flakes
// see the tracked files of one commit and what was edited on top of it. It is
// empty when some of that cannot be read.
func evaluationKey(ctx context.Context, what string, at state) (string, error) {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s %s\n", what, at.commit.ID)
	if at.work {
		unseen, err := at.snapshot.Unseen(ctx)
		if err != nil {
			return "", err
		}
		if unseen != "" {
			fmt.Fprintf(sum, "%s\n", unseen)
		}
		for _, c := range at.edits {
			switch c.Status {
			case Untracked:
				continue // Nix does not see it
			case Unreadable:
				return "", nil
			}
			digest, err := at.snapshot.Digest(ctx, c)
			if err != nil {
				return "", fmt.Errorf("read %q: %w", c.Path, err)
			}
			fmt.Fprintf(sum, "%s %q %s\n", c.Status, c.Path, digest)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// disk keeps evaluated registries for later processes.
func (s *Source) disk() cache.Dir {
	if s.CacheDir == "" {
		return cache.Dir{}
	}
	const most = 64
	return cache.Dir{Path: filepath.Join(s.CacheDir, "registry"), Most: most}
}
