package swap

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"homelab/internal/fault"
	"homelab/internal/hint"
	"homelab/internal/tree"
)

// Amount is how much something holds.
type Amount struct {
	Entries int64 `json:"entries" jsonschema_description:"Folders, files and links."`
	Bytes   int64 `json:"bytes" jsonschema_description:"Sizes of its files."`
	More    bool  `json:"more,omitempty" jsonschema_description:"It was not counted to the end: there is more."`
}

// Kept is a swap that something is left of.
type Kept struct {
	ID    string    `json:"id" jsonschema_description:"Id of the restore that put it aside."`
	Step  Step      `json:"step" jsonschema:"enum=staging,enum=out,enum=in,enum=swapped,enum=backOut,enum=backIn,enum=committed,enum=stray" jsonschema_description:"swapped (what was there before is kept aside), stray (what somebody had put in the way while it was swapped), staging (what is new, not in its place), committed (being removed), or the step that it was broken off in."`
	Begun time.Time `json:"begun" jsonschema_description:"When the restore began."`
	Amount
}

// Found is what there is at a target.
type Found struct {
	Folder  bool     // it is a folder
	Beside  bool     // something of a swap of it is beside it, and not in the folder that it is
	There   Amount   // what would go aside, with the folder or file itself
	Kept    []Kept   // by id
	Free    int64    // bytes
	Entries int64    // that can be made; -1: as many as there is room for
	Device  uint64   // of its file system
	Mounts  []string // what is mounted in it
}

// maxDepth is how deep a look goes.
const maxDepth = 256

// Look looks at what is there, and counts no more than so many entries of each thing.
func (t *Target) Look(ctx context.Context, most int64) (*Found, error) {
	found := &Found{Kept: []Kept{}, Folder: t.spots[0].name == "."}
	for i, s := range t.spots {
		if err := s.look(ctx, found, most, i == 0); err != nil {
			return nil, failed(t.path, err)
		}
	}
	slices.SortFunc(found.Kept, func(a, b Kept) int { return strings.Compare(a.ID, b.ID) })
	return found, nil
}

// Measure counts what is there, with the folder or file itself, but for what is left out:
// spelled like hints. It counts no more than so many entries.
func (t *Target) Measure(ctx context.Context, most int64, without []string) (Amount, error) {
	var found Amount
	count := counting{ctx: ctx, most: most, to: &found}
	if len(without) > 0 {
		set, err := hint.Compile(without)
		if err != nil {
			return found, fault.Newf(fault.InvalidArgument, "correct it in the registry", "exclude: %w", err)
		}
		count.without = set.Matcher()
	}
	s := t.spots[0]
	top, err := s.root.Open(".")
	if err != nil {
		return found, failed(t.path, err)
	}
	defer top.Close()
	if s.name == "." {
		found.Entries++
		err = count.folder(top, "", 0)
	} else {
		err = count.entry(top, s.name, "", 0)
	}
	return found, failed(t.path, err)
}

func (s spot) look(ctx context.Context, found *Found, most int64, first bool) error {
	top, err := s.root.Open(".")
	if err != nil {
		return err
	}
	defer top.Close()
	names, err := namesOf(top)
	if err != nil {
		return err
	}
	for _, name := range names {
		if id, is := strings.CutPrefix(name, Prefix); is && idSyntax().MatchString(id) {
			kept, err := s.kept(ctx, id, most)
			if err != nil {
				return err
			}
			found.Beside = found.Beside || s.name != "." && s.mayHave(id)
			if kept != nil {
				found.Kept = append(found.Kept, *kept)
			}
		}
	}
	if !first {
		return nil
	}
	stat, err := tree.StatOpen(int(top.Fd()))
	if err != nil {
		return err
	}
	found.Device = uint64(stat.Dev)
	if found.Free, found.Entries, err = room(int(top.Fd())); err != nil {
		return err
	}
	if found.Mounts, err = mounts(top, s.name); err != nil {
		return err
	}
	count := counting{ctx: ctx, most: most, to: &found.There}
	if s.name != "." {
		return count.entry(top, s.name, "", 0)
	}
	found.There.Entries++
	return count.folder(top, "", 0)
}

// mayHave says whether a swap is one of this target, or cannot be read.
func (s spot) mayHave(id string) bool {
	a, err := s.open(id)
	if a != nil {
		a.close()
	}
	return a != nil || err != nil
}

// kept tells of a swap; nil: it is none, or not of this target. What cannot be read is
// not ours: the service may have made it.
func (s spot) kept(ctx context.Context, id string, most int64) (*Kept, error) {
	a, err := s.open(id)
	if a == nil || err != nil {
		return nil, nil
	}
	defer a.close()
	k := &Kept{ID: id, Step: a.step, Begun: a.Begun}
	if a.step == "" {
		k.Step = Staging
	}
	names, err := namesOf(a.dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if name == oldName || name == newName && a.step != Swapped || strings.HasPrefix(name, strayName) {
			aside, err := folder(a.dir, name)
			if err != nil {
				return nil, err
			}
			err = (&counting{ctx: ctx, most: most, to: &k.Amount}).folder(aside, "", 0)
			_ = aside.Close()
			if err != nil {
				return nil, err
			}
		}
	}
	return k, nil
}

// counting counts entries, up to a limit.
type counting struct {
	ctx  context.Context
	most int64
	to   *Amount
	// without is what is left out, by its path; nil: nothing.
	without *hint.Matcher
}

// folder counts what is in a folder; path is that of the folder, below what is counted.
func (c *counting) folder(in *os.File, path string, depth int) error {
	names, err := namesOf(in)
	if err != nil {
		return err
	}
	for _, name := range names {
		if depth == 0 && isOurs(name) {
			continue
		}
		at := name
		if path != "" {
			at = path + "/" + name
		}
		if c.without != nil && len(c.without.Match(at)) > 0 {
			continue
		}
		if err := c.entry(in, name, at, depth); err != nil || c.to.More {
			return err
		}
	}
	return nil
}

// entry counts an entry with all that is below it. It may go away meanwhile.
func (c *counting) entry(in *os.File, name, path string, depth int) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	stat, err := tree.Stat(int(in.Fd()), name)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return err
	}
	if c.to.Entries >= c.most || depth > maxDepth {
		c.to.More = true
		return nil
	}
	c.to.Entries++
	switch uint32(stat.Mode) & unix.S_IFMT {
	case unix.S_IFREG:
		c.to.Bytes += stat.Size
	case unix.S_IFDIR:
		below, err := folder(in, name)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
			return nil
		}
		if err != nil {
			return err
		}
		defer below.Close()
		return c.folder(below, path, depth+1)
	}
	return nil
}
