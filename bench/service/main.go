// Service is the other side of what is measured of containers. It runs in them,
// where it serves from its first moment on and ends as soon as it is asked to, and
// it watches one from outside, as its clients see it.
//
//	service                 serves port 8080
//	service crash           ends at once
//	service write DIR       serves, and writes to the files of a folder all the while
//	service watch ADDRESS   asks every millisecond until standard input ends, and
//	                        prints for how long nobody answered, in nanoseconds
package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

const address = ":8080"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "service:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 0:
		return serve(nil)
	case args[0] == "write" && len(args) == 2:
		return serve(func() error { return write(args[1]) })
	case args[0] == "watch" && len(args) == 2:
		return watch(args[1])
	}
	return errors.New("this version does not work")
}

// serve serves, and does something beside that, which may be nil.
func serve(beside func() error) error {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	if beside != nil {
		go func() { failed <- beside() }()
	}
	go func() {
		failed <- http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	}()
	select {
	case err := <-failed:
		return err
	case <-asked:
		return nil
	}
}

const (
	writeEvery = 10 * time.Millisecond
	block      = 256 << 10
	anySize    = 1 << 40
)

// write changes a file of those in the folders of dir, and now and then a block of one
// in dir itself, a hundred and ten times a second.
func write(dir string) error {
	small, _ := filepath.Glob(filepath.Join(dir, "*", "*"))
	large, _ := filepath.Glob(filepath.Join(dir, "large*"))
	for i := 0; len(small) > 0 && len(large) > 0; i++ {
		if err := overwrite(small[rand.IntN(len(small))], anySize); err != nil {
			return err
		}
		if i%10 == 0 {
			if err := overwrite(large[rand.IntN(len(large))], block); err != nil {
				return err
			}
		}
		time.Sleep(writeEvery)
	}
	return errors.New("there is nothing to write to")
}

// overwrite writes to the beginning of a file, or of one of the steps that it has.
func overwrite(path string, step int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		_, err = f.WriteAt(fmt.Appendf(nil, "%020d", rand.Uint64()), rand.Int64N(max(info.Size()/step, 1))*step)
	}
	return errors.Join(err, f.Close())
}

// probe is one request: when it was made, and when it was over.
type probe struct {
	begun, over time.Time
	good        bool
}

const (
	interval = time.Millisecond
	patience = 2 * time.Second  // of one probe
	silence  = 30 * time.Second // without a good one
)

// watch does not wait for a probe before it makes the next: one that hangs hides
// nothing. It says "watching" with the first good one, and ends with the first good
// one after the end of standard input.
func watch(address string) error {
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // whatever ends it
		close(ended)
	}()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	found := make(chan probe, 1<<16)
	var last bool // standard input is over
	var since time.Time
	w := watched{}
	silent := time.NewTimer(silence)
	for {
		select {
		case <-silent.C:
			return fmt.Errorf("nobody answers at %s for %s", address, silence)
		case <-ended:
			last, since, ended = true, time.Now(), nil
		case <-tick.C:
			go func() { found <- ask(address) }()
		case p := <-found:
			if p.good {
				silent.Reset(silence)
			}
			if p.good && !w.up {
				w.up = true
				fmt.Fprintln(os.Stdout, "watching")
			}
			if w.up {
				w.probes = append(w.probes, p)
			}
			if last && p.good && p.begun.After(since) {
				fmt.Fprintln(os.Stdout, w.outage().Nanoseconds())
				return nil
			}
		}
	}
}

type watched struct {
	up     bool // a probe was good
	probes []probe
}

// outage is from the first probe that failed to the first good answer after the
// last one that did, or the longest silence.
func (w watched) outage() time.Duration {
	var first, last, back time.Time
	for _, p := range w.probes {
		if p.good {
			continue
		}
		if first.IsZero() || p.begun.Before(first) {
			first = p.begun
		}
		if p.begun.After(last) {
			last = p.begun
		}
	}
	for _, p := range w.probes {
		if p.good && p.begun.After(last) && (back.IsZero() || p.over.Before(back)) {
			back = p.over
		}
	}
	if first.IsZero() {
		return w.silence()
	}
	return max(back.Sub(first), w.silence())
}

// silence is the longest time without a good answer: what asks somebody who is paused
// does not fail, but waits.
func (w watched) silence() time.Duration {
	answers := []time.Time{}
	for _, p := range w.probes {
		if p.good {
			answers = append(answers, p.over)
		}
	}
	slices.SortFunc(answers, time.Time.Compare)
	var longest time.Duration
	for i := range answers[1:] {
		longest = max(longest, answers[i+1].Sub(answers[i]))
	}
	return longest
}

// ask makes one request on a connection of its own.
func ask(address string) probe {
	p := probe{begun: time.Now()}
	err := request(address)
	p.over, p.good = time.Now(), err == nil
	return p
}

func request(address string) error {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	// Closed at once: a thousand a second would use up the ports.
	if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
		return err
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return err
	}
	const good = "HTTP/1.0 200"
	answer := make([]byte, len(good))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	if string(answer) != good {
		return fmt.Errorf("it says %q", answer)
	}
	return nil
}
