package state_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/hint"
	"homelab/internal/quiesce"
	"homelab/internal/state"
	"homelab/internal/swap"
	"homelab/registry"
)

func TestRestore(t *testing.T) {
	inDwelling(t, func(d *dwelling) {
		t := d.t
		preview, err := d.restorer().Preview(t.Context(), d.restoring(d.packed))
		require.NoError(t, err)
		assert.True(t, preview.Stops)
		assert.Equal(t, []string{d.dir + "/etc/other"}, preview.Untouched)
		require.Len(t, preview.Items, 3)
		assert.Equal(t, swap.Amount{Entries: 5, Bytes: 9}, preview.Items[0].There)
		assert.Equal(t, swap.Amount{Entries: 5, Bytes: 9}, preview.Items[0].Comes)
		assert.Equal(t, swap.Amount{}, preview.Items[2].There)
		assert.Empty(t, preview.Items[0].Kept)
		d.untouched()

		started := d.is().Started
		time.Sleep(time.Second)
		done, err := d.restore()
		require.NoError(t, err)
		content, ours := d.content()
		assert.Equal(t, after, content)
		assert.Equal(t, 3, ours, "what was there is kept")
		assert.Equal(t, deploy.Running, d.is().State)
		assert.True(t, d.is().Started.After(started))
		assert.Equal(t, int64(7), done.Placed)
		assert.Equal(t, []state.RestoredItem{{"data", d.dir + "/data.volume"}, {d.items[1].Path, d.items[1].Path}, {d.items[2].Path, d.items[2].Path}}, done.Items)
		d.idle()

		preview, err = d.restorer().Preview(t.Context(), d.restoring(d.packed))
		require.NoError(t, err)
		require.Len(t, preview.Items[0].Kept, 1)
		assert.Equal(t, swap.Swapped, preview.Items[0].Kept[0].Step)
		again, err := d.restore()
		require.NoError(t, err, "what is kept is in nobody's way")
		for _, id := range []string{done.ID, done.ID, again.ID} {
			require.NoError(t, d.restorer().Commit(t.Context(), "web", d.items, id))
		}
		content, ours = d.content()
		assert.Equal(t, after, content)
		assert.Zero(t, ours)
	})
}

func TestRestoreSomeItems(t *testing.T) {
	inDwelling(t, func(d *dwelling) {
		t := d.t
		x := d.restoring(d.packed)
		x.Only = []string{d.items[1].Path}
		r, over := d.restorer(), 0
		r.Watch = func(e *state.RestoreEntry) (func(), error) {
			content, _ := d.content()
			assert.Equal(t, before, content, "it is watched before anything is changed")
			return func() { over++ }, nil
		}
		_, err := r.Restore(t.Context(), x)
		require.NoError(t, err)
		assert.Equal(t, 1, over)
		want := maps.Clone(before)
		want["etc/web.conf"] = "new"
		content, ours := d.content()
		assert.Equal(t, want, content)
		assert.Equal(t, 1, ours)
	})
}

// A service that did not run is not started.
func TestRestoreOfWhatDoesNotRun(t *testing.T) {
	inDwelling(t, func(d *dwelling) {
		t := d.t
		require.NoError(t, d.engine.Stop(t.Context(), d.id, 0))
		done, err := d.restore()
		require.NoError(t, err)
		assert.Zero(t, done.Outage)
		assert.Equal(t, deploy.Exited, d.is().State)
		x := d.restoring(d.packed)
		x.Container = nil
		_, err = d.restorer().Restore(t.Context(), x)
		require.NoError(t, err)
	})
}

// What is refused changes nothing, and stops nothing.
func TestRestoreIsRefused(t *testing.T) {
	for name, row := range map[string]struct {
		code   fault.Code
		change func(d *dwelling, x *state.Restoring)
	}{
		"another service": {fault.BundleIncompatible, func(d *dwelling, x *state.Restoring) { x.Service = "other" }},
		"no destination":  {fault.BundleIncompatible, func(d *dwelling, x *state.Restoring) { x.Items = d.items[1:] }},
		"of another kind": {fault.BundleIncompatible, func(d *dwelling, x *state.Restoring) { x.Items = []registry.StateItem{{Path: "data"}} }},
		"no such item":    {fault.NotFound, func(d *dwelling, x *state.Restoring) { x.Only = []string{"date"} }},
		"it is paused":    {fault.Precondition, func(d *dwelling, x *state.Restoring) { x.Container.State = deploy.Paused }},
		"too large":       {fault.Precondition, func(d *dwelling, x *state.Restoring) { x.Bundle.Manifest().Items[0].Stored = 1 << 50 }},
		"it is at rest":   {fault.Conflict, func(d *dwelling, x *state.Restoring) { d.rest() }},
		"no folder for it": {fault.NotFound, func(d *dwelling, x *state.Restoring) {
			d.items[2].Path = d.dir + "/no/such"
			x.Bundle.Manifest().Items[2].Name = d.items[2].Path
		}},
		"damaged":            {fault.BundleCorrupt, func(d *dwelling, x *state.Restoring) { x.Bundle = d.opened(damaged(d.packed)) }},
		"nobody can stop it": {fault.Precondition, func(d *dwelling, x *state.Restoring) { d.runs("stuck"); x.Container = d.is() }},
	} {
		t.Run(name, func(t *testing.T) {
			inDwelling(t, func(d *dwelling) {
				x := d.restoring(d.packed)
				row.change(d, &x)
				started := d.is().Started
				time.Sleep(time.Second)
				_, err := d.restorer().Restore(d.t.Context(), x)
				assert.Equal(d.t, row.code, fault.CodeOf(err), "%v", err)
				d.untouched()
				assert.Equal(d.t, started, d.is().Started)
			})
		})
	}
}

// rest has the service be captured by somebody.
func (d *dwelling) rest() {
	require.NoError(d.t, d.restorer().Quiescer.Journal.Write(&quiesce.Entry{Service: "web", Host: "nas"}))
}

// damaged has a wrong byte near its end, where all has been extracted.
func damaged(data []byte) []byte {
	data = bytes.Clone(data)
	data[len(data)-5] ^= 1
	return data
}

// What is not healthy with what was restored has what was there before again.
func TestRestoreIsUnhealthy(t *testing.T) {
	for name, ends := range map[string]bool{"unhealthy": false, "ends": true} {
		t.Run(name, func(t *testing.T) {
			inDwelling(t, func(d *dwelling) {
				t := d.t
				d.engine.Sicken(d.id)
				if ends {
					d.engine.End(d.id)
				}
				_, err := d.restore()
				assert.Equal(t, fault.Unhealthy, fault.CodeOf(err), "%v", err)
				assert.ErrorContains(t, err, "what was there before is there again, but")
				d.asBefore()
			})
		})
	}
}

// A disk that is too full for what is new leaves what was there.
func TestRestoreOnAFullDisk(t *testing.T) {
	inDwelling(t, func(d *dwelling) {
		t := d.t
		volume := d.pathOf(d.items[0])
		require.NoError(t, os.WriteFile(volume+"/large", make([]byte, 1<<20), 0o600))
		d.put("etc/none", "new")
		packed := d.pack("web")
		require.NoError(t, os.Remove(d.dir+"/etc/none"))
		require.NoError(t, unix.Mount("tmpfs", volume, "tmpfs", 0, "size=256k"))
		t.Cleanup(func() { _ = unix.Unmount(volume, unix.MNT_DETACH) })
		d.put("volumes/data", "old")
		x := d.restoring(packed)
		_, err := d.restorer().Restore(t.Context(), x)
		assert.Equal(t, fault.Precondition, fault.CodeOf(err))
		assert.ErrorContains(t, err, "bytes left")
		d.untouched()
		x = d.restoring(packed)
		x.Bundle.Manifest().Items[0].Stored = 1 // as if somebody else took the room meanwhile
		_, err = d.restorer().Restore(t.Context(), x)
		assert.Equal(t, fault.Precondition, fault.CodeOf(err))
		assert.ErrorContains(t, err, "no space is left to extract")
		d.untouched()
	})
}

// A service that somebody starts while it is swapped may have read half of each.
func TestRestoreIsMeddledWith(t *testing.T) {
	inDwelling(t, func(d *dwelling) {
		t := d.t
		d.meddle = func() { require.NoError(t, d.engine.Start(t.Context(), d.id)) }
		_, err := d.restore()
		assert.Equal(t, fault.Conflict, fault.CodeOf(err), "%v", err)
		assert.ErrorContains(t, err, "somebody has started container")
		d.untouched()
	})
}

// Two do not restore the same service.
func TestRestoreIsLocked(t *testing.T) {
	inDwelling(t, func(d *dwelling) {
		t := d.t
		r := d.restorer()
		r.Watch = func(e *state.RestoreEntry) (func(), error) {
			_, err := d.restore()
			assert.Equal(t, fault.Locked, fault.CodeOf(err), "%v", err)
			_, err = d.restorer().Repair(t.Context(), "web")
			assert.Equal(t, fault.Locked, fault.CodeOf(err), "%v", err)
			return nil, errors.New("no more processes")
		}
		_, err := r.Restore(t.Context(), d.restoring(d.packed))
		assert.ErrorContains(t, err, "no more processes")
		d.untouched()
	})
}

// Whenever a restore is killed, and the repair of it, the next repair has all as it
// was, or the restore was over.
func TestRestoreIsKilled(t *testing.T) {
	for n, over := 0, false; !over; n++ {
		for m, repaired := 0, false; !repaired; m += 23 {
			inDwelling(t, func(d *dwelling) {
				t := d.t
				over = !d.killedAt(n, func() error { _, err := d.restore(); return err })
				what, err := d.restorer().Quiescer.Wake(t.Context(), "web", "")
				require.NoError(t, err)
				require.Empty(t, what, "nobody else wakes it, half swapped")
				if n%2 == 0 { // but the engine does, after a reboot
					require.NoError(t, d.engine.Start(t.Context(), d.id))
				}
				repaired = !d.killedAt(m, func() error { _, err := d.restorer().Repair(t.Context(), "web"); return err })
				_, err = d.restorer().Repair(t.Context(), "web")
				require.NoError(t, err)
				require.Equal(t, deploy.Running, d.is().State, "killed at %d and %d", n, m)
				if content, ours := d.content(); over || ours > 0 {
					require.Equal(t, after, content)
					require.Equal(t, 3, ours)
					d.idle()
					return
				}
				d.untouched("killed at %d and %d", n, m)
			})
		}
	}
}

// What a restore has put aside is in no later bundle.
func TestWhatIsAsideIsNotCaptured(t *testing.T) {
	asked := readings{}
	_, err := state.Take(t.Context(), nil, &asked, state.Capturing{Items: []registry.StateItem{{Volume: "data", Exclude: []string{"cache"}}}})
	require.ErrorIs(t, err, errRead)
	set, err := hint.Compile(asked.Exclude)
	require.NoError(t, err)
	for path, out := range map[string]bool{
		".homelab-x": true, ".homelab-x/old/a": true, "cache/a": true, "a/.homelab-x": false, "homelab-x": false,
	} {
		assert.Equal(t, out, len(set.Matcher().Match(path)) > 0, path)
	}
}

// readings is a site that cannot be read, and remembers what was asked for.
type readings struct{ registry.StateItem }

var errRead = errors.New("not today")

func (r *readings) Read(_ context.Context, item registry.StateItem) (io.ReadWriteCloser, error) {
	r.StateItem = item
	return nil, errRead
}

// What is a file in the bundle does not take the place of a folder.
func TestRestoreOfAFileOntoAFolder(t *testing.T) {
	inDwelling(t, func(d *dwelling) {
		t := d.t
		require.NoError(t, os.Remove(d.dir+"/etc/web.conf"))
		d.put("etc/web.conf/inside", "old")
		content, _ := d.content()
		_, err := d.restore()
		assert.Equal(t, fault.BundleIncompatible, fault.CodeOf(err), "%v", err)
		now, ours := d.content()
		assert.Equal(t, content, now)
		assert.Zero(t, ours)
		d.idle()
	})
}

// A context that is over undoes what was begun.
func TestRestoreIsCanceled(t *testing.T) {
	inDwelling(t, func(d *dwelling) {
		t := d.t
		ctx, stop := context.WithCancel(t.Context())
		d.engine.Fail = func(call string) error {
			if call == "start" {
				stop()
				d.engine.Fail = nil
				return ctx.Err()
			}
			return nil
		}
		_, err := d.restorer().Restore(ctx, d.restoring(d.packed))
		assert.Equal(t, fault.Canceled, fault.CodeOf(err), "%v", err)
		d.untouched()
	})
}

// An engine that goes away while it is undone leaves it to a repair.
func TestRestoreCannotBeUndone(t *testing.T) {
	inDwelling(t, func(d *dwelling) {
		t := d.t
		d.engine.Fail = func(call string) error {
			if call == "start" {
				d.engine.Fail = func(string) error {
					return fault.New(fault.EngineUnavailable, "the engine does not answer", "start it")
				}
				return fault.New(fault.EngineUnavailable, "the engine does not answer", "start it")
			}
			return nil
		}
		_, err := d.restore()
		assert.Equal(t, fault.RollbackFailed, fault.CodeOf(err), "%v", err)
		d.engine.Fail = nil
		_, err = d.restore()
		assert.Equal(t, fault.Conflict, fault.CodeOf(err), "%v", err)
		assert.Equal(t, fault.Conflict, fault.CodeOf(d.restorer().Commit(t.Context(), "web", d.items, state.NewID(time.Now()))))
		what, err := d.restorer().Repair(t.Context(), "web")
		require.NoError(t, err)
		assert.Contains(t, what, "was undone")
		d.untouched()
		what, err = d.restorer().Repair(t.Context(), "web")
		require.NoError(t, err)
		assert.Empty(t, what)
	})
}

// What a restore put aside comes back, and what came instead is kept in its turn.
func TestRestoreIsUndone(t *testing.T) {
	inDwelling(t, func(d *dwelling) {
		t := d.t
		done, err := d.restore()
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(d.dir+"/data.volume/since", []byte("then"), 0o644))
		preview, err := d.restorer().PreviewUndo(t.Context(), d.restoring(d.packed), done.ID)
		require.NoError(t, err)
		assert.True(t, preview.Stops)
		require.Len(t, preview.Items, 3)
		assert.Equal(t, swap.Amount{Entries: 6, Bytes: 13}, preview.Items[0].There)
		assert.Equal(t, swap.Amount{Entries: 4, Bytes: 9}, preview.Items[0].Comes)

		undone, err := d.restorer().Undo(t.Context(), state.Restoring{Service: "web", Container: d.is(), Items: d.items}, done.ID)
		require.NoError(t, err)
		assert.Equal(t, done.Items, undone.Items)
		content, ours := d.content()
		assert.Equal(t, before, content)
		assert.Equal(t, 3, ours, "what the restore brought is kept")
		assert.Equal(t, deploy.Running, d.is().State)
		assert.FileExists(t, d.dir+"/data.volume/.homelab-"+done.ID+".0/new/since")
		d.idle()

		_, err = d.restorer().Undo(t.Context(), d.restoring(d.packed), done.ID)
		assert.Equal(t, fault.Conflict, fault.CodeOf(err), "once")
		_, err = d.restorer().PreviewUndo(t.Context(), d.restoring(d.packed), state.NewID(time.Now().Add(time.Hour)))
		assert.Equal(t, fault.NotFound, fault.CodeOf(err))
		preview, err = d.restorer().PreviewCommit(t.Context(), d.restoring(d.packed), done.ID)
		require.NoError(t, err)
		assert.Equal(t, swap.Amount{Entries: 5, Bytes: 13}, preview.Items[0].Comes)
		require.NoError(t, d.restorer().Commit(t.Context(), "web", d.items, done.ID))
		content, ours = d.content()
		assert.Equal(t, before, content)
		assert.Zero(t, ours)
	})
}

// Whenever an undoing is killed, the repair finishes it.
func TestUndoIsKilled(t *testing.T) {
	for n, over := 0, false; !over; n++ {
		inDwelling(t, func(d *dwelling) {
			t := d.t
			done, err := d.restore()
			require.NoError(t, err)
			over = !d.killedAt(n, func() error { _, err := d.restorer().Undo(t.Context(), d.restoring(d.packed), done.ID); return err })
			what, err := d.restorer().Repair(t.Context(), "web")
			require.NoError(t, err)
			content, ours := d.content()
			if over || what != "" {
				assert.Equal(t, before, content, "killed at %d", n)
			} else { // it had not begun, or was over
				assert.Contains(t, []map[string]string{before, after}, content)
			}
			assert.Equal(t, 3, ours, "nothing is lost")
			assert.Equal(t, deploy.Running, d.is().State)
			d.idle()
			assert.True(t, !over || n > 10, "%d chances", n)
		})
	}
}

// A restore is watched until nothing has to be repaired any more: also while it is
// undone.
func TestRestoreIsWatchedToItsEnd(t *testing.T) {
	for name, c := range map[string]struct {
		data func(*dwelling) []byte
		ok   bool
	}{"restored": {func(d *dwelling) []byte { return d.packed }, true}, "undone": {func(d *dwelling) []byte { return damaged(d.packed) }, false}} {
		t.Run(name, func(t *testing.T) {
			inDwelling(t, func(d *dwelling) {
				t := d.t
				r, over := d.restorer(), 0
				r.Watch = func(*state.RestoreEntry) (func(), error) {
					return func() { over++; d.idle() }, nil
				}
				_, err := r.Restore(t.Context(), d.restoring(c.data(d)))
				assert.Equal(t, c.ok, err == nil, "%v", err)
				assert.Equal(t, 1, over)
			})
		})
	}
}
