package build

import (
	"slices"
	"strings"
	"sync"
)

// progress tells how far a build has come, one call at a time.
type progress struct {
	report func(done, total int, message string)

	mu      sync.Mutex
	done    int
	total   int        // 0: not known yet, or nothing to build
	current []activity // in the order they began
	stopped bool
}

// activity is a service that is being built.
type activity struct{ service, doing string }

func (p *progress) begin(service string) {
	p.change(func() { p.current = append(p.current, activity{service, "building"}) })
}

// doing says what is being built or fetched for a service.
func (p *progress) doing(service, what string) {
	p.change(func() {
		for i := range p.current {
			if p.current[i].service == service {
				p.current[i].doing = what
			}
		}
	})
}

func (p *progress) end(service string, status Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	p.current = slices.DeleteFunc(p.current, func(a activity) bool { return a.service == service })
	p.tell(service + ": " + string(status))
}

// expect says how many services there are to build.
func (p *progress) expect(total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total = total
}

func (p *progress) say(message string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tell(message)
}

// change changes what is under way, and tells it.
func (p *progress) change(what func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	what()
	parts := make([]string, len(p.current))
	for i, a := range p.current {
		parts[i] = a.service + ": " + a.doing
	}
	p.tell(strings.Join(parts, "; "))
}

func (p *progress) tell(message string) {
	if p.report != nil && !p.stopped {
		p.report(p.done, p.total, message)
	}
}

// stop ends the telling: what a late builder says is dropped.
func (p *progress) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
}
