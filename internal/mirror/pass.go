package mirror

import (
	"cmp"
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"homelab/internal/fault"
	"homelab/internal/hint"
	"homelab/internal/tree"
)

// inFlight is how many steps are between the walk and the stream, each with a
// block at most.
const inFlight = 32

// pass is one pass of a source. A walk makes steps, in the order of the stream;
// workers do what of them takes long, several at a time; then they are emitted,
// one after the other.
type pass struct {
	*Source
	ctx     context.Context
	stop    context.CancelFunc // of the walk
	final   bool
	report  Report // of the walk; what the steps find is added when all are done
	matcher *hint.Matcher
	placed  map[inode]placed

	steps   chan *step
	work    chan *step
	waited  time.Duration // of the walk for the steps
	working atomic.Int64  // nanoseconds of all workers
	emitted struct {
		files, read, unsettled, suspect int64
		cloning                         time.Duration
		uncloned                        string
	}

	asked   bool          // for clones
	clones  *clones       // nil: none are made
	cloning time.Duration // of the walk
	held    bool          // nothing is sent before all of the tree was looked at
	queue   []func()      // of the walk, while it is held
	told    bool          // that the tree is needed no more
}

// inode identifies a file that has several names, and placed is where its first
// one was in this pass.
type inode struct{ dev, number uint64 }

type placed struct {
	content *content
	path    string
}

// step is a part of the pass.
type step struct {
	work  func() // may be nil; then it is ready
	ready chan struct{}
	emit  func() error
	drop  func() // in place of emit, when the pass has failed; may be nil
}

var buffers = sync.Pool{New: func() any { return new([blockSize]byte) }}

func (p *pass) run() error {
	if p.final {
		p.trust.look()
	} else if err := p.sync(); err != nil {
		return err
	}
	if p.without != nil {
		p.matcher = p.without.Matcher()
	}
	if p.clones != nil {
		defer p.clones.close()
	}
	p.steps, p.work = make(chan *step, inFlight), make(chan *step, inFlight)
	var all sync.WaitGroup
	for range workers() {
		all.Go(p.worker)
	}
	walked := make(chan error, 1)
	go func() {
		begun := time.Now()
		err := p.walk()
		if err == nil && p.held {
			err = p.letGo()
		}
		close(p.work)
		close(p.steps)
		p.report.Look = (time.Since(begun) - p.waited).Seconds()
		walked <- err
	}()
	err := p.emit(walked)
	all.Wait()
	if err == nil && p.final {
		if err = p.out.to.Flush(); err == nil && !p.told {
			err = p.sweep()
		}
		err = cut(err)
	}
	r, e := &p.report, &p.emitted
	r.Files, r.Read, r.Suspect = e.files, e.read, r.Suspect+e.suspect
	r.Unsettled += e.unsettled
	r.Clone, r.Uncloned = (p.cloning + e.cloning).Seconds(), cmp.Or(r.Uncloned, e.uncloned)
	r.Cloned = p.asked && r.Uncloned == ""
	r.Compare = time.Duration(p.working.Load()).Seconds() / float64(workers())
	return err
}

// sync writes the file system of the tree.
func (p *pass) sync() error {
	begun := time.Now()
	fd := int(p.parent.Fd())
	stat, err := tree.Stat(fd, p.name)
	if err == nil {
		// What is mounted below it has another device, and is read every time.
		p.trust.stamps, p.trust.dev = tree.Stamps(fd), uint64(stat.Dev)
		err = p.trust.sync(fd)
	}
	p.report.Sync = time.Since(begun).Seconds()
	if err != nil && err != unix.ENOENT { // the walk tells that better
		return readFailed(p.name, err)
	}
	return nil
}

func (p *pass) worker() {
	for s := range p.work {
		begun := time.Now()
		s.work()
		p.working.Add(int64(time.Since(begun)))
		close(s.ready)
	}
}

// emit emits all steps, and returns what failed first.
func (p *pass) emit(walked <-chan error) (err error) {
	for s := range p.steps {
		if s.ready != nil {
			<-s.ready
		}
		if err == nil {
			if err = s.emit(); err != nil {
				p.stop()
			}
		} else if s.drop != nil {
			s.drop()
		}
	}
	if walkErr := <-walked; err == nil {
		err = walkErr
	}
	return err
}

// put hands a step on.
func (p *pass) put(s *step) {
	if p.held {
		p.queue = append(p.queue, func() { p.put(s) })
		return
	}
	begun := time.Now()
	if s.work != nil {
		s.ready = make(chan struct{})
		p.work <- s
	}
	p.steps <- s
	p.waited += time.Since(begun)
}

func (p *pass) then(emit func() error) { p.put(&step{emit: emit}) }

// workers is how many work at a time.
func workers() int { return max(2, runtime.GOMAXPROCS(0)) }

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "/" + name
}

func shown(path string) string {
	if path == "" {
		return "."
	}
	return path
}

// tooDeep is an entry that no bundle could hold.
func tooDeep(path string) error {
	return fault.Newf(fault.Precondition, "exclude it, or move it", "%.300q… is deeper than %d folders, or longer than %d bytes", path, maxDepth, maxPath)
}
