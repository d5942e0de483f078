package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// event is one line of go test -json. See go doc test2json and go help
// buildjson.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// report prints events and counts them.
type report struct {
	out      io.Writer
	running  map[string]*tested // by package
	packages int

	passed, failed, skipped int
	toLookAt                []string // what failed or was skipped
}

// tested is a package that is not finished.
type tested struct {
	said   map[string][]string // by test that is not finished; "" is the package
	told   []string            // what tests said that failed or were skipped
	failed bool                // a test of it
}

func newReport(out io.Writer) *report {
	return &report{out: out, running: map[string]*tested{}}
}

func (r *report) read(lines io.Reader) error {
	reader := bufio.NewReader(lines)
	for {
		line, err := reader.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("%w: %s", err, line)
		}
		r.add(e)
	}
}

func (r *report) add(e event) {
	if e.Action == "build-output" {
		fmt.Fprint(r.out, e.Output)
		return
	}
	p := r.running[e.Package]
	if p == nil {
		p = &tested{said: map[string][]string{}}
		r.running[e.Package] = p
	}
	switch {
	case e.Action == "output":
		p.said[e.Test] = append(p.said[e.Test], e.Output)
	case e.Action != "pass" && e.Action != "fail" && e.Action != "skip":
	case e.Test == "":
		r.endPackage(e, p)
	default:
		r.endTest(e, p)
	}
}

func (r *report) endTest(e event, p *tested) {
	switch e.Action {
	case "pass":
		r.passed++
		delete(p.said, e.Test)
		return
	case "fail":
		r.failed++
		p.failed = true
	case "skip":
		r.skipped++
	}
	r.tell(e, p)
}

// tell keeps what a test said until its package is finished: packages run side
// by side.
func (r *report) tell(e event, p *tested) {
	for _, line := range p.said[e.Test] {
		if !strings.HasPrefix(line, "=== ") {
			p.told = append(p.told, line)
		}
	}
	delete(p.said, e.Test)
	name := e.Package + " " + e.Test
	if e.Action == "skip" {
		name += " (skipped)"
	}
	r.toLookAt = append(r.toLookAt, name)
}

func (r *report) endPackage(e event, p *tested) {
	delete(r.running, e.Package)
	ofPackage := p.said[""]
	delete(p.said, "")
	if e.Action == "fail" {
		r.endUnfinished(e, p)
	}
	if e.Action != "skip" { // it has no tests
		r.packages++
	}
	for _, line := range p.told {
		fmt.Fprint(r.out, line)
	}
	for _, line := range ofPackage {
		if e.Action == "fail" && line != "FAIL\n" || strings.HasPrefix(line, "ok ") {
			fmt.Fprint(r.out, line)
		}
	}
}

// endUnfinished ends the tests that a panic or a time limit cut off. A package
// that failed without them did not compile, or its TestMain failed.
func (r *report) endUnfinished(e event, p *tested) {
	var cut []string
	for test := range p.said {
		cut = append(cut, test)
	}
	slices.Sort(cut)
	for _, test := range cut {
		r.endTest(event{Action: "fail", Package: e.Package, Test: test}, p)
	}
	if !p.failed {
		r.failed++
		r.toLookAt = append(r.toLookAt, e.Package)
	}
}
