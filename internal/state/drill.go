package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"time"

	"homelab/internal/bundle"
	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/mirror"
	"homelab/internal/swap"
	"homelab/registry"
)

// Driller tries bundles: what is in one is brought into a copy of its service that has
// nothing of the service, nor of anything else.
type Driller struct {
	Engine deploy.Drills
	Site   FillableSite
	// Safe says whether the paths of a spec may be mounted: see [deploy.SafeMounts].
	Safe   func(context.Context, deploy.Spec) error
	Report func(message string)
}

// Drilling is one drill.
type Drilling struct {
	ID   string
	Spec deploy.Spec // of the service, with the image that is tried
	Gate deploy.Gate
	// Items are those of the bundle, of which Copies has an extracted one for each,
	// named by its number. What else is made there is the drill's.
	Items  []bundle.Item
	Copies *os.Root
}

// Drilled is what came of a drill that took place.
type Drilled struct {
	Tried    []string // names of the items that the copy had
	Seconds  float64  // until it was healthy, or was given up
	Unwell   error    // [fault.Unhealthy]: why it was not healthy
	Log      []string // what it printed last then
	Left     error    // what of it could not be removed
	Warnings []string
}

// drillLines is how much of its log is told of a copy that is not healthy.
const drillLines = 20

// clearPatience is how long removing a drill may take, whoever cancels it.
const clearPatience = time.Minute

// Unpack extracts a bundle for a drill, and verifies all of it. It looks for room first.
func Unpack(ctx context.Context, b Bundle, copies *os.Root) (*bundle.Extracted, error) {
	m := b.Manifest()
	if err := roomFor(ctx, copies.Name(), m.Totals()); err != nil {
		return nil, err
	}
	x := bundle.Extraction{}
	for i := range m.Items {
		x.Targets = append(x.Targets, bundle.Target{Root: copies, Name: strconv.Itoa(i)})
	}
	done, err := b.Extract(ctx, x)
	if err != nil {
		return nil, err
	}
	if done.Unowned > 0 {
		return nil, fault.Newf(fault.Precondition, "run homelab as root where the drill is made", "%d entries of bundle %s are of other users than this one, and would lose their owners", done.Unowned, m.ID)
	}
	return done, nil
}

// roomFor says whether a folder of this machine has room for a drill.
func roomFor(ctx context.Context, place string, need bundle.Totals) error {
	disk, err := lookAtWork(ctx, place)
	if err != nil {
		return err
	}
	return enoughToDrill(need, disk, place)
}

func enoughToDrill(need bundle.Totals, disk *swap.Found, place string) error {
	return enough(need, disk, place, "the drill", "make room on that disk; a drill gives back what it takes")
}

// Drill makes the copy, has it pass the health gate, and removes it again, whatever
// happens. An error says that the bundle was not tried.
func (d *Driller) Drill(ctx context.Context, x Drilling) (done *Drilled, err error) {
	t := &drilling{Driller: d, Drilling: x, done: &Drilled{Warnings: []string{}, Tried: []string{}, Log: []string{}}}
	if err := t.prepare(ctx); err != nil {
		return nil, err
	}
	defer func() {
		ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), clearPatience)
		defer stop()
		t.say("removing the copy")
		if left := d.Engine.Clear(ctx, x.ID); left != nil && err != nil {
			err = errors.Join(err, left)
		} else if left != nil {
			t.done.Left = left
		}
	}()
	id, err := t.make(ctx)
	if err != nil {
		return nil, err
	}
	if err := t.try(ctx, id); err != nil {
		return nil, err
	}
	return t.done, nil
}

type drilling struct {
	*Driller
	Drilling
	volumes []drillVolume
	copy    deploy.Copy
	done    *Drilled
}

func (t *drilling) say(format string, args ...any) {
	if t.Report != nil {
		t.Report(fmt.Sprintf(format, args...))
	}
}

// prepare decides what the copy is; nothing is made of it yet.
func (t *drilling) prepare(ctx context.Context) error {
	if err := t.place(); err != nil {
		return err
	}
	if err := t.isolate(); err != nil {
		return err
	}
	return t.Safe(ctx, t.copy.Spec)
}

// make makes the copy, with what the bundle has in volumes of its own.
func (t *drilling) make(ctx context.Context) (id string, err error) {
	if err := t.Engine.Isolate(ctx, t.ID); err != nil {
		return "", err
	}
	need := bundle.Totals{}
	for i := range t.Items {
		need.Stored += t.Items[i].Stored
		need.Entries += t.Items[i].Entries
	}
	for i, v := range t.volumes {
		place, err := t.Engine.Fresh(ctx, t.ID, v.name)
		if err != nil {
			return "", err
		}
		if i > 0 {
			continue // all are on one disk
		}
		disk, err := t.Site.Room(ctx, registry.StateItem{Volume: v.name})
		if err != nil {
			return "", err
		}
		if err := enoughToDrill(need, disk, place); err != nil {
			return "", err
		}
	}
	for _, v := range t.volumes {
		if v.tree == "" {
			continue
		}
		t.say("filling a volume with %s", v.of)
		if err := t.fill(ctx, v); err != nil {
			return "", fmt.Errorf("%s: %w", v.of, err)
		}
	}
	return t.Engine.Copy(ctx, t.copy)
}

// fill brings what was extracted into a volume of the drill.
func (t *drilling) fill(ctx context.Context, v drillVolume) error {
	root, err := t.Copies.OpenRoot(v.tree)
	if err != nil {
		return err
	}
	defer root.Close()
	stream, err := t.Site.Fill(ctx, registry.StateItem{Volume: v.name}, false)
	if err != nil {
		return err
	}
	source, err := mirror.NewSource(stream, mirror.Tree{Root: root})
	if err != nil {
		return errors.Join(err, stream.Close())
	}
	_, err = source.Pass(ctx, true)
	return errors.Join(err, source.Close())
}

// try starts the copy, and waits until it is healthy or is not.
func (t *drilling) try(ctx context.Context, id string) error {
	t.say("starting a copy of %s", t.Spec.Service)
	began := time.Now()
	if err := t.Engine.Start(ctx, id); err != nil {
		return err
	}
	if err := t.reached(ctx, id); err != nil {
		return err
	}
	t.say("waiting until the copy of %s is healthy", t.Spec.Service)
	err := t.Gate.Pass(ctx, t.Engine, id)
	t.done.Seconds = time.Since(began).Seconds()
	if fault.CodeOf(err) != fault.Unhealthy {
		return err
	}
	t.done.Unwell = t.unwell(err)
	if c, err := t.Engine.Container(ctx, id); err == nil && c != nil && !t.Gate.Mute {
		if said, err := deploy.Logs(ctx, t.Engine, "", *c, deploy.LogsRequest{Tail: drillLines}); err == nil {
			t.done.Log = said.Lines
		}
	}
	return nil
}

// reached fails where the gate could never pass: a port that is not published is out of
// reach of an engine with a network of its own.
func (t *drilling) reached(ctx context.Context, id string) error {
	if t.Gate.Kind != "tcp" && t.Gate.Kind != "http" {
		return nil
	}
	c, err := t.Engine.Container(ctx, id)
	if err != nil || c == nil || c.State != deploy.Running || c.Address == "" {
		return err // the gate says why
	}
	conn, err := t.Engine.Dial(ctx, *c, t.Gate.Port)
	if err == nil {
		return conn.Close()
	}
	if fault.CodeOf(err) == fault.Precondition {
		return fault.Newf(fault.Precondition, "give "+t.Spec.Service+" a health check of kind exec or docker, or reach its host through ssh: a copy publishes no port",
			"the health gate of %s cannot reach a copy of it there: %w", t.Spec.Service, err)
	}
	return nil
}

// unwell adds to why a copy is not healthy what a drill adds to it. Its log goes with it.
func (t *drilling) unwell(err error) error {
	hint := fault.Of(err).Hint
	if t.Gate.Mute {
		hint = "what it printed may have something of its env files, and is left out"
	}
	return &fault.Error{Code: fault.Unhealthy, Message: fault.Of(err).Message, Hint: hint + "; a copy reaches no other service, and has no devices", Err: err}
}

// isThere says what was extracted at a place, if anything was.
func (t *drilling) isThere(at string) (fs.FileInfo, error) {
	info, err := t.Copies.Lstat(at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fault.Newf(fault.Precondition, "use another bundle", "what the bundle has at %.200q cannot be mounted: %w", at, err)
	}
	return info, nil
}

func (t *drilling) warn(format string, args ...any) {
	if w := fmt.Sprintf(format, args...); !slices.Contains(t.done.Warnings, w) {
		t.done.Warnings = append(t.done.Warnings, w)
	}
}
