package swap

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"homelab/internal/fault"
	"homelab/internal/tree"
)

// Step is how far a swap has come.
type Step string

const (
	Staging   Step = "staging"   // what is new is being made, or is there
	Out       Step = "out"       // what was there goes aside
	In        Step = "in"        // what is new takes its place
	Swapped   Step = "swapped"   // what was there is kept aside
	BackOut   Step = "backOut"   // what is new leaves its place
	BackIn    Step = "backIn"    // what was there takes it again
	Committed Step = "committed" // what was there is being removed
	Stray     Step = "stray"     // nothing is left but what somebody had put in the way
)

// What is in the folder of a swap.
const (
	newName   = "new" // what is new: all of it is in the folder, or the one file by its name
	oldName   = "old" // what was there, likewise
	aboutName = "about.json"
	aboutTemp = "about.new"
	stepName  = "step-"  // an empty file: with the step behind it
	strayName = "stray-" // with a number: folders with what somebody had put in the way
)

// about is what a folder of a swap says of itself.
type about struct {
	Name  string      `json:"name"` // that is swapped
	Begun time.Time   `json:"begun"`
	Old   *attributes `json:"old,omitempty"` // of the folder that is swapped
	New   *attributes `json:"new,omitempty"`
}

const maxAbout = 4 << 20

// area is the folder of a swap.
type area struct {
	spot
	id  string
	top *os.File // the folder of the spot
	dir *os.File // its own
	about
	step Step // empty: it is not complete, or not any more
}

// stage makes the folder of a swap. Before its step is there nothing is in it.
func (s spot) stage(ctx context.Context, id string) error {
	top, err := s.root.Open(".")
	if err != nil {
		return err
	}
	a := &area{spot: s, id: id, top: top, about: about{Name: s.name, Begun: time.Now().UTC().Truncate(time.Second)}}
	defer a.close()
	if err := a.keepingTime(func() error { return a.make(ctx) }); err != nil {
		return err
	}
	if err := a.tell(ctx); err != nil {
		return err
	}
	for _, name := range []string{newName, oldName} {
		if err := a.change(ctx, func() error { return unix.Mkdirat(int(a.dir.Fd()), name, 0o700) }); err != nil {
			return err
		}
	}
	err = a.change(ctx, func() error {
		fd, err := tree.Open(int(a.dir.Fd()), stepName+string(Staging), unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
		if err != nil {
			return err
		}
		return unix.Close(fd)
	})
	return errors.Join(err, a.dir.Sync())
}

// make makes the folder itself, for nobody else.
func (a *area) make(ctx context.Context) error {
	return a.change(ctx, func() error {
		err := unix.Mkdirat(int(a.top.Fd()), Prefix+a.id, 0o700)
		if err == nil {
			a.dir, err = folder(a.top, Prefix+a.id)
		}
		if err == nil {
			err = tree.DropACL(int(a.dir.Fd()))
		}
		return err
	})
}

// open opens the folder of a swap; nil: it is not there.
func (s spot) open(id string) (*area, error) {
	top, err := s.root.Open(".")
	if err != nil {
		return nil, err
	}
	a := &area{spot: s, id: id, top: top}
	a.dir, err = folder(top, Prefix+id)
	if err == nil {
		err = a.read()
	}
	if err == nil && (a.Name == s.name || a.Name == "") {
		return a, nil
	}
	a.close()
	if errors.Is(err, unix.ENOENT) {
		err = nil
	}
	return nil, err
}

func (a *area) close() {
	for _, f := range []*os.File{a.top, a.dir} {
		if f != nil {
			_ = f.Close() // nothing was written through it
		}
	}
}

// read reads how far the swap is.
func (a *area) read() error {
	names, err := namesOf(a.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if step, is := strings.CutPrefix(name, stepName); is {
			if a.step != "" {
				return fault.Newf(fault.Conflict, "see what is in it, and move it away", "%s has two steps", a.dir.Name())
			}
			a.step = Step(step)
		}
	}
	fd, err := tree.Open(int(a.dir.Fd()), aboutName, unix.O_RDONLY)
	if err == unix.ENOENT && a.step == "" {
		return nil
	}
	if err != nil {
		return fault.Newf(fault.Conflict, "see what is in it, and move it away", "%s of %s cannot be read: %v", aboutName, a.dir.Name(), err)
	}
	file := os.NewFile(uintptr(fd), aboutName)
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxAbout))
	if err == nil {
		err = json.Unmarshal(content, &a.about)
	}
	return err
}

// tell writes what the folder says of itself.
func (a *area) tell(ctx context.Context) error {
	content, err := json.Marshal(a.about)
	if err != nil {
		return err
	}
	err = a.change(ctx, func() error {
		if err := unix.Unlinkat(int(a.dir.Fd()), aboutTemp, 0); err != nil && err != unix.ENOENT {
			return err
		}
		fd, err := tree.Open(int(a.dir.Fd()), aboutTemp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
		if err != nil {
			return err
		}
		file := os.NewFile(uintptr(fd), aboutTemp)
		_, err = file.Write(content)
		if err == nil {
			err = file.Sync()
		}
		return errors.Join(err, file.Close())
	})
	if err != nil {
		return err
	}
	return a.change(ctx, func() error {
		if err := unix.Renameat(int(a.dir.Fd()), aboutTemp, int(a.dir.Fd()), aboutName); err != nil {
			return err
		}
		return a.dir.Sync()
	})
}

// to goes on to a step, when what was done before is on the disk.
func (a *area) to(ctx context.Context, step Step) error {
	err := a.change(ctx, func() error {
		if err := unix.Renameat(int(a.dir.Fd()), stepName+string(a.step), int(a.dir.Fd()), stepName+string(step)); err != nil {
			return err
		}
		return a.dir.Sync()
	})
	if err == nil {
		a.step = step
	}
	return err
}

// change changes something on the disk, unless ctx is done.
func (a *area) change(ctx context.Context, do func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return do()
}

// keepingTime leaves the time of the folder what it was.
func (a *area) keepingTime(do func() error) error {
	before, err := tree.StatOpen(int(a.top.Fd()))
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	sec, nsec := before.Mtim.Unix()
	return tree.SetTime(int(a.top.Fd()), ".", sec, nsec)
}

// namesOf lists a folder from its start.
func namesOf(dir *os.File) ([]string, error) {
	if _, err := dir.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return dir.Readdirnames(-1)
}
