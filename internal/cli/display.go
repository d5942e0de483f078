package cli

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"homelab/tools"
)

// display shows how far a call has come on standard error: on a terminal one
// line that is written over and over, elsewhere a line for each step that is
// done.
type display struct {
	out   io.Writer
	file  *os.File // the terminal; nil when there is none
	begun time.Time
	stop  chan struct{}
	wait  sync.WaitGroup

	mu   sync.Mutex
	last tools.Progress
	told int // steps that were told of, where there is no terminal
}

const redraw = 200 * time.Millisecond

func (r *run) display() *display {
	d := &display{out: r.app.Streams.Err, begun: time.Now(), stop: make(chan struct{})}
	if file, ok := d.out.(*os.File); ok && term.IsTerminal(int(file.Fd())) && os.Getenv("TERM") != "dumb" {
		d.file = file
		d.wait.Go(d.run)
	}
	return d
}

func (d *display) report(p tools.Progress) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = p
	if d.file == nil && p.Total > 0 && p.Done > d.told {
		d.told = p.Done
		fmt.Fprintf(d.out, "[%d/%d] %s\n", p.Done, p.Total, tools.Printable(p.Message))
	}
}

// run draws until the end. What is over within the first moment is not drawn
// at all.
func (d *display) run() {
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	drawn := false
	for {
		select {
		case <-d.stop:
			if drawn {
				fmt.Fprint(d.out, "\r\x1b[K")
			}
			return
		case now := <-tick.C:
			drawn = d.draw(now) || drawn
		}
	}
}

func (d *display) draw(now time.Time) bool {
	d.mu.Lock()
	p := d.last
	d.mu.Unlock()
	if p.Message == "" {
		return false
	}
	line := clock(now.Sub(d.begun)) + " "
	if p.Total > 0 {
		line += fmt.Sprintf("[%d/%d] ", p.Done, p.Total)
	}
	line += tools.Printable(p.Message)
	if width, _, err := term.GetSize(int(d.file.Fd())); err == nil && width > 1 {
		line = cut(line, width-1)
	}
	fmt.Fprint(d.out, "\r\x1b[K"+line)
	return true
}

// clock is a duration as minutes and seconds.
func clock(d time.Duration) string {
	return fmt.Sprintf("%d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}

func (d *display) end() {
	close(d.stop)
	d.wait.Wait()
}
