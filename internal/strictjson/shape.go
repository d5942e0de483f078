package strictjson

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
)

// shape is what a struct type accepts.
type shape struct {
	fields []field
	names  []string       // of the fields, in the order they are declared
	byName map[string]int // index in fields
}

// field is one field of a struct, and the rules of its tags. The zero field
// has no rules.
type field struct {
	name     string
	index    int // in the struct
	typ      reflect.Type
	optional bool
	enum     []string
	minimum  *float64
	maximum  *float64
	nonEmpty bool // minLength=1
}

var noRules = &field{}

// FieldNames are the JSON names of the fields of the struct type t, or of the
// struct it points to, in the order they are declared.
func FieldNames(t reflect.Type) []string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return append([]string{}, shapeOf(t).names...)
}

var shapes sync.Map // reflect.Type to *shape

func shapeOf(t reflect.Type) *shape {
	if known, ok := shapes.Load(t); ok {
		return known.(*shape)
	}
	s := &shape{byName: map[string]int{}}
	for i := range t.NumField() {
		f, ok := fieldOf(t.Field(i), i)
		if !ok {
			continue
		}
		s.byName[f.name] = len(s.fields)
		s.names = append(s.names, f.name)
		s.fields = append(s.fields, f)
	}
	shapes.Store(t, s)
	return s
}

func fieldOf(sf reflect.StructField, index int) (field, bool) {
	tag := sf.Tag.Get("json")
	if !sf.IsExported() || tag == "-" {
		return field{}, false
	}
	tag, options, _ := strings.Cut(tag, ",")
	f := field{name: sf.Name, index: index, typ: sf.Type}
	if tag != "" {
		f.name = tag
	}
	for option := range strings.SplitSeq(options, ",") {
		f.optional = f.optional || option == "omitempty" || option == "omitzero"
	}
	for rule := range strings.SplitSeq(sf.Tag.Get("jsonschema"), ",") {
		switch key, value, _ := strings.Cut(rule, "="); key {
		case "enum":
			f.enum = append(f.enum, value)
		case "minimum":
			f.minimum = bound(sf, value)
		case "maximum":
			f.maximum = bound(sf, value)
		case "minLength":
			if value != "1" {
				panic(fmt.Sprintf("strictjson: minLength of field %s can only be 1", sf.Name))
			}
			f.nonEmpty = true
		}
	}
	return f, true
}

func bound(sf reflect.StructField, value string) *float64 {
	n, err := strconv.ParseFloat(value, 64)
	if err != nil {
		panic(fmt.Sprintf("strictjson: the bound %q of field %s is not a number", value, sf.Name))
	}
	return &n
}
