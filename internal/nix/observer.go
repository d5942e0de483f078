package nix

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

const (
	maxTail     = 25  // lines
	maxTailLine = 500 // bytes
	maxTails    = 200 // builders
	maxErrors   = 1000
	maxRefused  = 5
)

// observer looks at the events of one run of Nix.
type observer struct {
	ctx     context.Context
	asked   []Realisation
	open    []int                        // of asked
	needs   func() map[string][]int      // see [realising.needs]
	each    func(Event)                  // may be nil
	valid   func(outs []string) []string // those that are
	built   map[string]bool              // derivations whose builders started
	ended   map[string]bool              // derivations whose builders ended
	done    int64                        // number of builds
	fetched map[string]bool              // store paths

	lastBuild string // derivation whose builder ended last
	errors    []told
	refused   []string // by other machines: address and reason
	tails     map[string]*logTail
	order     []string // of the tails, oldest first
	mute      map[int]bool
}

// told is an error that Nix told of, and the builder that had ended last by then.
type told struct{ text, after string }

// logTail is the last lines of a builder.
type logTail struct{ lines []string }

func (r *realising) observe(ctx context.Context) *observer {
	valid := func(outs []string) []string {
		invalid, err := r.Valid(ctx, outs)
		if err != nil {
			return nil
		}
		return without(outs, invalid)
	}
	return &observer{
		valid: valid, ended: map[string]bool{},
		ctx: ctx, asked: r.asked, open: slices.Clone(r.open), each: r.how.Event,
		needs: sync.OnceValue(func() map[string][]int { return r.needs(ctx) }),
		built: map[string]bool{}, fetched: map[string]bool{}, tails: map[string]*logTail{}, mute: map[int]bool{},
	}
}

// needs tells which of what is open each derivation is needed for. Of one whose
// requirements cannot be asked nothing is known but itself.
func (r *realising) needs(ctx context.Context) map[string][]int {
	closures := make([][]string, len(r.open))
	var group errgroup.Group
	group.SetLimit(maxParallel)
	for at, i := range r.open {
		group.Go(func() error {
			var err error
			if closures[at], err = r.query(ctx, []string{"--query", "--requisites", r.asked[i].Drv}); err != nil {
				closures[at] = []string{r.asked[i].Drv}
			}
			return nil
		})
	}
	_ = group.Wait() // never fails
	needs := map[string][]int{}
	for at, i := range r.open {
		for _, path := range closures[at] {
			if strings.HasSuffix(path, ".drv") {
				needs[path] = append(needs[path], i)
			}
		}
	}
	return needs
}

// of are those of what is open that a derivation is, or else is needed for.
func (o *observer) of(drv string) []int {
	if len(o.open) == 1 {
		return o.open
	}
	var own []int
	for _, i := range o.open {
		if o.asked[i].Drv == drv {
			own = append(own, i)
		}
	}
	if own != nil {
		return own
	}
	return o.needs()[drv]
}

// realised says where what is there came from.
func (o *observer) realised(i int) Realised {
	built := o.built[o.asked[i].Drv]
	return Realised{Built: built, Substituted: !built && o.fetched[o.asked[i].Out]}
}

func (o *observer) see(e Event) {
	switch e.Kind {
	case BuildStarted:
		o.built[e.Drv] = true
	case BuildFinished:
		o.lastBuild = e.Drv
		if o.ended[e.Drv] {
			return
		}
		o.ended[e.Drv] = true
	case BuildsCounted:
		o.count(e.Done)
		return
	case FetchStarted:
		o.fetched[e.Path] = true
	case LogLine:
		o.keep(e)
		for _, i := range o.of(e.Drv) {
			prefix := ""
			if e.Drv != o.asked[i].Drv {
				prefix = ShortName(e.Drv) + "> "
			}
			o.log(i, prefix+e.Text)
		}
	case Message:
		if e.Level <= 1 {
			o.hear(e)
			o.tell(e.Text)
		}
	}
	if o.each != nil && o.ctx.Err() == nil { // after that everything ends, which tells nothing
		o.each(e)
	}
}

// hear remembers errors, and why another machine did not take a build, which is
// no failure yet.
func (o *observer) hear(e Event) {
	if found := refusal().FindStringSubmatch(e.Text); found != nil {
		why := cut(found[1]+": "+strings.Join(strings.Fields(found[2]), " "), maxMessage)
		if len(o.refused) < maxRefused && !slices.Contains(o.refused, why) {
			o.refused = append(o.refused, why)
		}
	} else if e.Level == 0 && len(o.errors) < maxErrors {
		o.errors = append(o.errors, told{cut(e.Text, 4*maxMessage), o.lastBuild})
		if drv := first(drvPath(), e.Text); o.built[drv] && !o.ended[drv] {
			o.see(Event{Kind: BuildFinished, Drv: drv, Failed: true})
		}
	}
}

// count takes note of builds that are done. Until all are, older versions do not
// say of those that were asked for that they are.
func (o *observer) count(done int64) {
	if done <= o.done || len(o.open) == 1 {
		return
	}
	o.done = done
	var outs []string
	for _, i := range o.open {
		if drv := o.asked[i].Drv; o.built[drv] && !o.ended[drv] {
			outs = append(outs, o.asked[i].Out)
		}
	}
	if len(outs) == 0 {
		return
	}
	for _, out := range o.valid(outs) {
		for _, i := range o.open {
			if o.asked[i].Out == out {
				o.see(Event{Kind: BuildFinished, Drv: o.asked[i].Drv})
			}
		}
	}
}

// tell writes what Nix says to the logs of those that it is about: of all, when
// it names none.
func (o *observer) tell(text string) {
	about := o.open
	if drv := first(drvPath(), text); drv != "" {
		about = o.of(drv)
	}
	for _, i := range about {
		o.log(i, "nix> "+text)
	}
}

// keep remembers the last lines of each builder, and of the last builders.
func (o *observer) keep(e Event) {
	tail := o.tails[e.Drv]
	if tail == nil {
		if len(o.order) == maxTails {
			delete(o.tails, o.order[0])
			o.order = o.order[1:]
		}
		tail = &logTail{}
		o.tails[e.Drv], o.order = tail, append(o.order, e.Drv)
	}
	if len(tail.lines) == maxTail {
		tail.lines = append(tail.lines[:0], tail.lines[1:]...)
	}
	tail.lines = append(tail.lines, cut(e.Text, maxTailLine-len("…")))
}

// without is list but for what others has, too.
func without(list, others []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(others, s) })
}

func (o *observer) log(i int, text string) {
	if log := o.asked[i].Log; log != nil && !o.mute[i] {
		_, err := io.WriteString(log, text+"\n")
		o.mute[i] = err != nil // the build matters more
	}
}
