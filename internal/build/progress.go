package build

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// progress tells how far a build has come, one call at a time.
type progress struct {
	report func(done, total int, message string)

	mu       sync.Mutex
	services []*Outcome
	ended    map[string]bool // names of services
	total    int             // 0: not known yet, or nothing to build
	current  []current       // in the order they began
	times    map[string]time.Duration
	told     time.Time
	stopped  bool
}

// current is something that is being built or fetched.
type current struct {
	Step
	begun time.Time
}

// expect says how many services there are to build.
func (p *progress) expect(total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total = total
}

// begin says which services are built now.
func (p *progress) begin(services []*Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.services, p.ended, p.times = services, map[string]bool{}, map[string]time.Duration{}
	p.tell("building")
}

func (p *progress) say(message string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tell(message)
}

// calm is how often bytes that are fetched are told of.
const calm = 500 * time.Millisecond

// step takes note of what Nix does.
func (p *progress) step(s Step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := slices.IndexFunc(p.current, func(c current) bool { return c.Drv == s.Drv && c.Path == s.Path })
	switch {
	case s.Ended && at < 0, at < 0 && s.Done > 0:
		return
	case at < 0:
		p.current = append(p.current, current{s, time.Now()})
	case !s.Ended:
		p.current[at].Done, p.current[at].Expected = s.Done, s.Expected
		if time.Since(p.told) < calm {
			return
		}
	default:
		key := s.Drv + s.Path
		p.times[key] += time.Since(p.current[at].begun)
		p.current = slices.Delete(p.current, at, at+1)
		how := " ended" // well or not: what came of it is known when all is over
		if s.Failed {
			how = " failed"
		}
		if services := p.of(s); services != nil {
			for _, name := range services {
				p.ended[name] = true
			}
			p.tell(strings.TrimSuffix(strings.Join(services, " and ")+how+", "+p.doing(), ", "))
			return
		}
	}
	p.tell(cmp.Or(p.doing(), "building"))
}

// of are the services that something is the artifact of.
func (p *progress) of(s Step) []string {
	var names []string
	for _, service := range p.services {
		if s.Drv != "" && service.Drv == s.Drv || s.Path != "" && service.Out == s.Path {
			names = append(names, service.Name)
		}
	}
	return names
}

// took is how long the artifact of a service was built or fetched.
func (p *progress) took(s *Outcome) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.times[s.Drv] + p.times[s.Out]
}

// maxTold is how many things are named at once.
const maxTold = 5

// doing names what is under way: services by their names. Empty for nothing.
func (p *progress) doing() string {
	parts := []string{}
	for _, c := range p.current[:min(len(p.current), maxTold)] {
		name := c.Name
		if services := p.of(c.Step); services != nil {
			name = strings.Join(services, " and ")
		}
		switch {
		case c.Path == "":
			parts = append(parts, "building "+name)
		case c.Expected > 0:
			parts = append(parts, fmt.Sprintf("fetching %s (%d of %d MB)", name, c.Done/1e6, (c.Expected+1e6-1)/1e6))
		default:
			parts = append(parts, "fetching "+name)
		}
	}
	if more := len(p.current) - maxTold; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	return strings.Join(parts, ", ")
}

func (p *progress) tell(message string) {
	if p.report != nil && !p.stopped {
		p.told = time.Now()
		p.report(len(p.ended), p.total, message)
	}
}

// stop ends the telling: what a late builder says is dropped.
func (p *progress) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
}
