package strictjson

import (
	"fmt"
	"reflect"
	"strings"

	"homelab/internal/fault"
)

// deep steps over the value at the cursor when it is nested too deep, and says
// so.
func (d *decoder) deep() bool {
	if len(d.steps) < MaxDepth {
		return false
	}
	raw, _ := d.raw()
	d.reportDeep(raw)
	return true
}

func (d *decoder) reportDeep(raw []byte) {
	d.report(excerptOf(raw), fmt.Sprintf("nested deeper than %d levels", MaxDepth), "write it flatter")
}

func (d *decoder) object(into reflect.Value) {
	if d.deep() {
		return
	}
	s := shapeOf(into.Type())
	seen := make([]bool, len(s.fields))
	d.open()
	for d.more('}') {
		key := d.key()
		i, known := s.byName[string(key)]
		if !known {
			d.unknown(string(key), s.names)
			continue
		}
		f := &s.fields[i]
		d.enter(step{f.name, -1})
		if seen[i] {
			d.duplicate()
			into.Field(f.index).SetZero()
		}
		seen[i] = true
		d.value(into.Field(f.index), f)
		d.leave()
	}
	for i := range s.fields {
		if f := &s.fields[i]; !seen[i] && !f.optional {
			d.enter(step{f.name, -1})
			d.report("", "missing required field", fmt.Sprintf("add %q, %s", f.name, f.wanted()))
			d.leave()
		}
	}
}

func (d *decoder) dict(into reflect.Value) {
	if d.deep() {
		return
	}
	t := into.Type()
	if t.Key().Kind() != reflect.String {
		panic("strictjson: cannot decode into " + t.String())
	}
	m := reflect.MakeMap(t)
	name, item := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
	d.open()
	for d.more('}') {
		name.SetString(string(d.key()))
		d.enter(step{name.String(), -1})
		if m.MapIndex(name).IsValid() {
			d.duplicate()
		}
		item.SetZero()
		d.value(item, noRules)
		m.SetMapIndex(name, item)
		d.leave()
	}
	into.Set(m)
}

// list reads a list whose items follow the rules of f.
func (d *decoder) list(into reflect.Value, f *field) {
	if d.deep() {
		return
	}
	rules := f.item()
	into.Set(reflect.MakeSlice(into.Type(), 0, 0))
	d.open()
	for i := 0; d.more(']'); i++ {
		into.Grow(1)
		into.SetLen(i + 1)
		d.enter(step{"", i})
		d.value(into.Index(i), rules)
		d.leave()
	}
}

// key reads a key and steps to its value.
func (d *decoder) key() []byte {
	start := d.at
	key, valid := d.text()
	if !valid {
		d.enter(step{string(key), -1})
		d.reportInvalidText(d.data[start:d.at])
		d.leave()
	}
	d.colon()
	return key
}

func (d *decoder) unknown(key string, names []string) {
	raw, _ := d.raw()
	d.enter(step{key, -1})
	d.report(excerptOf(raw), "unknown field "+Excerpt(key), choose(key, names))
	d.leave()
}

func (d *decoder) duplicate() {
	d.report("", "duplicate key", "keep one of them")
}

// choose is the fix for a name that must be one of the valid ones: near names,
// then all of them.
func choose(asked string, valid []string) string {
	if len(valid) == 0 {
		return "remove it: nothing can be given here"
	}
	all := "valid: " + strings.Join(valid, ", ")
	if near := fault.Near(asked, valid); len(near) > 0 {
		return "did you mean " + strings.Join(near, ", ") + "? " + all
	}
	return all
}
