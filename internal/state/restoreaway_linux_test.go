package state_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"homelab/internal/bundle"
	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/state"
)

// moved moves what was extracted elsewhere to where it is swapped from.
func moved(work string, to *os.Root) error {
	return os.CopyFS(to.Name(), os.DirFS(work))
}

// What is extracted elsewhere is brought to the place while the service runs.
func TestRestoreElsewhere(t *testing.T) {
	inDwelling(t, func(d *dwelling) {
		t, delivered := d.t, 0
		d.deliver = func(work string, to *os.Root) error {
			assert.Equal(t, deploy.Running, d.is().State)
			content, _ := d.content()
			assert.Equal(t, before, content)
			delivered++
			return moved(work, to)
		}
		_, err := d.restore()
		require.NoError(t, err)
		assert.Equal(t, 3, delivered)
		content, _ := d.content()
		assert.Equal(t, after, content)
		d.idle()
	})
}

// What cannot be brought there stops nothing.
func TestRestoreIsNotDelivered(t *testing.T) {
	inDwelling(t, func(d *dwelling) {
		t := d.t
		started := d.is().Started
		time.Sleep(time.Second)
		d.deliver = func(string, *os.Root) error { return fault.New(fault.HostUnreachable, "it is gone", "") }
		_, err := d.restore()
		assert.Equal(t, fault.HostUnreachable, fault.CodeOf(err), "%v", err)
		assert.Equal(t, started, d.is().Started)
		d.untouched()
	})
}

// There has to be room for what is extracted elsewhere, too: for all of it together.
func TestRestoreElsewhereOnAFullDisk(t *testing.T) {
	inDwelling(t, func(d *dwelling) {
		t := d.t
		disk := t.TempDir()
		require.NoError(t, unix.Mount("tmpfs", disk, "tmpfs", 0, "size=1m"))
		t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
		d.deliver, d.work = moved, disk
		x := d.restoring(d.packed)
		for i := range x.Bundle.Manifest().Items {
			x.Bundle.Manifest().Items[i].Stored = 400_000
		}
		_, err := d.restorer().Restore(t.Context(), x)
		assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
		assert.ErrorContains(t, err, "the disk of "+disk+" has 1048576 bytes left")
		d.untouched()
	})
}

// poor is a bundle whose entries cannot be given to whom they belong.
type poor struct{ state.Bundle }

func (p poor) Extract(ctx context.Context, x bundle.Extraction) (*bundle.Extracted, error) {
	done, err := p.Bundle.Extract(ctx, x)
	if err == nil {
		done.Unowned = 2
	}
	return done, err
}

func TestRestoreThatLosesOwners(t *testing.T) {
	inDwelling(t, func(d *dwelling) {
		x := d.restoring(d.packed)
		x.Bundle = poor{x.Bundle}
		_, err := d.restorer().Restore(d.t.Context(), x)
		assert.Equal(d.t, fault.Precondition, fault.CodeOf(err), "%v", err)
		assert.ErrorContains(d.t, err, "would lose their owners")
		d.untouched()
	})
}
