package mirror

import "time"

// SetClock has the clock go wrong by so much.
func (s *Source) SetClock(by time.Duration) {
	s.trust.clock = func() (time.Time, time.Duration) {
		wall, steady := clock()
		return wall.Add(by), steady
	}
}
