// Package strictjson decodes JSON that a person or an agent wrote, and reports
// everything that is wrong with it at once: what, where, and what to write
// instead.
//
// It reads the same struct tags as encoding/json and the schema generator: a
// field without omitempty (or omitzero) is required, jsonschema enum=,
// minimum=, maximum= and minLength=1 hold for the value, or for each item of a list. Unlike
// encoding/json it refuses unknown fields, duplicate keys, null, names in
// another case and text that is not UTF-8.
package strictjson

import (
	"fmt"
	"reflect"
)

// MaxDepth is how deep lists and objects may nest.
const MaxDepth = 100

// Options change what is accepted. The zero value is strict.
type Options struct {
	// Lenient accepts what language models tend to write in tool arguments:
	// numbers and booleans in quotes, 1.0 for an integer, one string for a
	// list of strings, null for a field that may be left out.
	Lenient bool
}

// Decode reads the one JSON value of data into what the pointer into points
// to, which should be zero, and returns what is wrong with it in the order of
// the document: at most [MaxProblems], then one that says there are more. When
// there is any problem, into holds what could be read.
//
// A list or an object that is written but empty becomes empty, not nil. The
// types it can fill are structs without embedding, maps with string keys,
// slices, pointers, strings, booleans, integers, floats, named forms of these,
// and json.RawMessage; it panics on others, which are a defect of the caller.
func Decode(data []byte, into any, opts Options) []Problem {
	if problem, wrong := checkSyntax(data); wrong {
		return []Problem{problem}
	}
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		panic(fmt.Sprintf("strictjson: cannot decode into %T, a pointer is needed", into))
	}
	d := &decoder{cursor: cursor{data: data}, opts: opts}
	d.value(v.Elem(), noRules)
	return d.problems.List()
}

// decoder walks a document that is known to be well-formed.
type decoder struct {
	cursor
	opts     Options
	steps    []step // from the root to the value being read
	problems Collector
}

// step is one level of a path. It is rendered only when there is a problem, so
// that a good document costs nothing.
type step struct {
	key   string
	index int // of a list item; -1 for a key
}

func (d *decoder) enter(s step) { d.steps = append(d.steps, s) }
func (d *decoder) leave()       { d.steps = d.steps[:len(d.steps)-1] }

func (d *decoder) here() Path {
	at := Root
	for _, s := range d.steps {
		if s.index < 0 {
			at = at.Key(s.key)
		} else {
			at = at.Index(s.index)
		}
	}
	return at
}

func (d *decoder) report(value, message, fix string) {
	if !d.problems.Full() {
		d.problems.Add(Problem{Path: string(d.here()), Value: value, Message: message, Fix: fix})
	}
}

// more says whether another key or item follows in the list or object that
// ends with closer; the cursor then stands on it. A full collector ends every
// loop, since nobody would hear of what follows.
func (d *decoder) more(closer byte) bool {
	return !d.problems.Full() && d.next(closer)
}
