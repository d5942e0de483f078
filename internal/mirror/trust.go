package mirror

import (
	"time"

	"homelab/internal/tree"
)

// margin is how much older than a sync the times of a file must be, to be sure
// that nothing was written to it since. It covers the tick of the clock, file
// systems that store whole seconds, and half of itself of a clock that went back.
const margin = 2 * time.Second

// era counts how often the clock went back: what was sure before is not after.
// There is no era 0.
type era uint32

// trust tells which files need not be read.
//
// A sync writes every page of the file system, and from then on the first write
// to any page, also through a memory map, gives the file new times. So a file
// that was read after a sync is unchanged as long as it has the times it had
// then, if these are from before the sync.
type trust struct {
	clock func() (wall time.Time, steady time.Duration)

	stamps bool   // a write changes the times on this file system
	dev    uint64 // of which it is told
	synced time.Time
	era    era
	lead   time.Duration // the most that the wall clock was ahead of the steady one
}

// started is where the steady clock begins.
var started = time.Now()

func clock() (time.Time, time.Duration) {
	now := time.Now()
	return now.Round(0), now.Sub(started)
}

// look looks at the clock.
func (t *trust) look() time.Time {
	wall, steady := t.clock()
	lead := time.Duration(wall.UnixNano()) - steady
	if t.era == 0 || lead < t.lead-margin/2 {
		t.era, t.lead, t.synced = t.era+1, lead, time.Time{}
	}
	t.lead = max(t.lead, lead)
	return wall
}

// sync writes the file system that a folder is on.
func (t *trust) sync(fd int) error {
	wall := t.look()
	if err := tree.SyncAll(fd); err != nil {
		return err
	}
	t.synced = wall
	return nil
}

// sure is the era in which a file that is read now is known by its stamp; 0 if
// it is not.
func (t *trust) sure(s *stamp) era {
	before := t.synced.Add(-margin).Unix()
	if !t.stamps || s.dev != t.dev || t.synced.IsZero() || s.msec >= before || s.csec >= before {
		return 0
	}
	return t.era
}
