package docker

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/docker/api/types/mount"

	"homelab/internal/durable"
	"homelab/internal/fault"
	"homelab/internal/mirror"
	"homelab/internal/sidecar"
	"homelab/internal/state"
	"homelab/internal/swap"
	"homelab/registry"
)

// there opens what is not on this machine, or not for certain.
func (p *place) there(ctx context.Context, item registry.StateItem) (state.Target, error) {
	t := &far{place: p, item: item, path: item.Path, names: map[string]string{}}
	if item.Volume != "" {
		v, err := p.volume(ctx, item.Volume)
		if err != nil {
			return nil, err
		}
		t.path = v.Mountpoint
	}
	if err := t.connect(ctx, false); err != nil {
		return nil, err
	}
	return t, nil
}

// far is a target that a sidecar swaps. There is one at a time that may change
// something: whoever is about to removes those that another has left, or lost.
type far struct {
	*place
	item  registry.StateItem
	path  string
	names map[string]string // that were staged, by the id of the swap

	call    *sidecar.Call // nil: there is none
	changes bool          // it may change something
	at      spot          // it has
}

// spot is what a sidecar has of the host.
type spot struct {
	mount mount.Mount
	name  string // of the target in it; empty: it is the target
	path  string // on the host
}

// around is a spot that has the target whatever it is: the folder that a path is in.
func (t *far) around(write bool) spot {
	if t.item.Volume != "" {
		return spot{mount: volumeAt(t.item.Volume, write), path: t.path}
	}
	in := filepath.Dir(t.path)
	return spot{pathAt(in, write), filepath.Base(t.path), in}
}

// least is a spot that is enough for changes: a folder itself, if all of it is there.
func (t *far) least(ctx context.Context) (spot, error) {
	if t.item.Volume == "" {
		found, err := t.look(ctx, 0)
		if err != nil {
			return spot{}, err
		}
		if found.Folder && !found.Beside {
			return spot{mount: pathAt(t.path, true), path: t.path}, nil
		}
	}
	return t.around(true), nil
}

func (t *far) about() string { return "place of " + t.item.Name() }

// connect has a sidecar that may do what is needed.
func (t *far) connect(ctx context.Context, write bool) error {
	if t.call != nil && !t.call.Broken() && (t.changes || !write) {
		return nil
	}
	do := errand{about: "state of " + t.item.Name(), may: mayRead}
	at := t.around(false)
	if write {
		var err error
		if at, err = t.least(ctx); err != nil {
			return err
		}
		if err := t.engine.alone(ctx, t.about()); err != nil {
			return err
		}
		do.about, do.may = t.about(), maySwap
	}
	_ = t.hangUp() // one that changes something is removed by the next
	do.at, do.order = at.mount, sidecar.Order{Swap: true, Name: at.name, Shown: t.path}
	stream, err := t.aside(ctx, do)
	if err != nil {
		return err
	}
	call, err := sidecar.NewCall(ctx, stream)
	if err != nil {
		return err
	}
	t.call, t.changes, t.at = call, write, at
	return nil
}

func (t *far) hangUp() error {
	if t.call == nil {
		return nil
	}
	call := t.call
	t.call, t.changes = nil, false
	return call.Close()
}

// ask asks the sidecar; once more, when it turns out that there is none any more: all
// that can be asked for goes on from where it was broken off.
func (t *far) ask(ctx context.Context, r sidecar.Request) (*sidecar.Answer, error) {
	var answer *sidecar.Answer
	for again := false; ; again = true {
		err := t.connect(ctx, r.Do != sidecar.Look && r.Do != sidecar.Measure)
		if err == nil {
			answer, err = t.call.Ask(ctx, r)
		}
		if t.call == nil || !t.call.Broken() {
			return answer, err
		}
		_ = t.hangUp()
		if again || ctx.Err() != nil {
			return nil, err
		}
	}
}

func (t *far) Path() string { return t.path }
func (t *far) Work() string { return t.work }
func (t *far) Close() error { return t.hangUp() }

// Look is part of [state.Target].
func (t *far) Look(ctx context.Context, most int64) (*swap.Found, error) { return t.look(ctx, most) }

func (t *far) look(ctx context.Context, most int64) (*swap.Found, error) {
	answer, err := t.ask(ctx, sidecar.Request{Do: sidecar.Look, Most: most})
	if err != nil {
		return nil, err
	}
	found, err := foundBy(answer)
	if err != nil {
		return nil, err
	}
	for i, m := range found.Mounts {
		if below, is := strings.CutPrefix(m, sidecar.Item); is {
			found.Mounts[i] = filepath.Join(t.at.path, below)
		}
	}
	return found, nil
}

// foundBy is what a sidecar found that was asked to look.
func foundBy(answer *sidecar.Answer) (*swap.Found, error) {
	if answer.Found == nil {
		return nil, fault.New(fault.HostUnreachable, "the sidecar does not say what it found", "use the same version of homelab at both ends")
	}
	return answer.Found, nil
}

// Measure is part of [state.Target].
func (t *far) Measure(ctx context.Context, most int64, without []string) (swap.Amount, error) {
	answer, err := t.ask(ctx, sidecar.Request{Do: sidecar.Measure, Most: most, Without: without})
	if err != nil {
		return swap.Amount{}, err
	}
	return answer.Amount, nil
}

// Stage is part of [state.Target].
func (t *far) Stage(ctx context.Context, id string) (*os.Root, string, error) {
	answer, err := t.ask(ctx, sidecar.Request{Do: sidecar.Stage, ID: id})
	if err != nil {
		return nil, "", err
	}
	if err := t.clear(id); err != nil {
		return nil, "", err
	}
	folder := filepath.Join(t.work, id)
	if err := os.Mkdir(folder, 0o700); err != nil {
		return nil, "", durable.Explain(err)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, "", durable.Explain(err)
	}
	t.names[id] = answer.Name
	return root, answer.Name, nil
}

// clear removes what was extracted here.
func (t *far) clear(id string) error {
	work, err := os.OpenRoot(t.work)
	if err != nil {
		return durable.Explain(err)
	}
	if err := errors.Join(work.RemoveAll(id), work.Close()); err != nil {
		return durable.Explain(err)
	}
	return nil
}

// Deliver is part of [state.Target]. The service is about to be stopped: so it sees to
// it that the sidecar that swaps is there still.
func (t *far) Deliver(ctx context.Context, id string) error {
	name, staged := t.names[id]
	if !staged {
		return fault.Newf(fault.NotFound, "restore it once more", "%s has nothing staged as %s", t.path, id)
	}
	if err := t.send(ctx, id, name); err != nil {
		_ = t.hangUp() // who undoes it begins by removing what still writes there
		return err
	}
	if err := t.clear(id); err != nil {
		return err
	}
	_, err := t.look(ctx, 0)
	return err
}

func (t *far) send(ctx context.Context, id, name string) error {
	if err := t.connect(ctx, true); err != nil {
		return err
	}
	root, err := os.OpenRoot(filepath.Join(t.work, id))
	if err != nil {
		return durable.Explain(err)
	}
	defer root.Close()
	order := sidecar.Order{Write: true, Privileged: true, Staged: id, Name: t.at.name, Shown: t.path}
	stream, err := t.aside(ctx, errand{t.about(), t.at.mount, mayWrite, order})
	if err != nil {
		return err
	}
	source, err := mirror.NewSource(stream, mirror.Tree{Root: root, Name: name})
	if err != nil {
		return errors.Join(err, stream.Close())
	}
	if _, err := source.Pass(ctx, true); err != nil {
		_ = source.Close() // the failure says more
		return err
	}
	return source.Close()
}

// Fill is part of [state.Target]. The sidecar that swaps is there already: whoever
// connects one later ends who fills.
func (t *far) Fill(ctx context.Context, id string) (io.ReadWriteCloser, error) {
	if err := t.clear(id); err != nil { // nothing is extracted here
		return nil, err
	}
	if err := t.connect(ctx, true); err != nil {
		return nil, err
	}
	order := sidecar.Order{Write: true, Privileged: true, Staged: id, Name: t.at.name, Shown: t.path}
	stream, err := t.aside(ctx, errand{t.about(), t.at.mount, mayWrite, order})
	if err != nil {
		return nil, err
	}
	return stream, nil
}

// Swap is part of [state.Target].
func (t *far) Swap(ctx context.Context, id string) error { return t.do(ctx, sidecar.Swap, id) }

// Back is part of [state.Target].
func (t *far) Back(ctx context.Context, id string) error { return t.do(ctx, sidecar.Back, id) }

// Discard is part of [state.Target].
func (t *far) Discard(ctx context.Context, id string) error {
	return errors.Join(t.clear(id), t.do(ctx, sidecar.Discard, id))
}

// Commit is part of [state.Target].
func (t *far) Commit(ctx context.Context, id string) error { return t.do(ctx, sidecar.Commit, id) }

func (t *far) do(ctx context.Context, what, id string) error {
	_, err := t.ask(ctx, sidecar.Request{Do: what, ID: id})
	return err
}
