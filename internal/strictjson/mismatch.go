package strictjson

import (
	"encoding/json"
	"reflect"
	"strings"
)

// other handles a value of another type than into: a lenient decoder may read
// it all the same, a strict one reports it.
func (d *decoder) other(into reflect.Value, f *field) {
	if d.opts.Lenient && d.convert(into, f) {
		return
	}
	raw, _ := d.raw()
	t := into.Type()
	d.report(excerptOf(raw), "wanted "+noun(t)+", got "+nounOf(raw), rewrite(raw, t))
}

func (d *decoder) null(raw []byte, t reflect.Type, f *field) {
	fix := "write " + noun(t)
	if f.optional {
		fix = "leave the field out, or " + fix
	}
	d.report(string(raw), "null where "+noun(t)+" is needed", fix)
}

// item is the field for the items of a list: they have its rules, but cannot
// be left out.
func (f *field) item() *field {
	if !f.optional {
		return f
	}
	item := *f
	item.optional = false
	return &item
}

// wanted describes the value of the field.
func (f *field) wanted() string {
	if f.enum != nil {
		return noun(f.typ) + ": " + strings.Join(f.enum, ", ")
	}
	return noun(f.typ)
}

// noun names what JSON the type t is written as.
func noun(t reflect.Type) string {
	switch kind := t.Kind(); {
	case t == rawType:
		return "a value"
	case kind == reflect.Pointer:
		return noun(t.Elem())
	case kind == reflect.String:
		return "a string"
	case kind == reflect.Bool:
		return "true or false"
	case kind == reflect.Float32 || kind == reflect.Float64:
		return "a number"
	case isNumber(kind):
		return "an integer"
	case kind == reflect.Struct || kind == reflect.Map:
		return "an object"
	case kind == reflect.Slice:
		return "a list of " + plural(t.Elem())
	}
	panic("strictjson: cannot decode into " + t.String())
}

func plural(t reflect.Type) string {
	switch n := noun(t); {
	case strings.HasPrefix(n, "a list"):
		return "lists"
	case n == "true or false":
		return "booleans"
	default:
		_, one, _ := strings.Cut(n, " ")
		return one + "s"
	}
}

// nounOf names what the JSON value raw is.
func nounOf(raw []byte) string {
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case 't', 'f':
		return string(raw)
	}
	return "a number"
}

// rewrite is the fix for the value raw of another type than t: the same value
// in the right form where that is plain, else the form.
func rewrite(raw []byte, t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	scalar := raw[0] != '{' && raw[0] != '['
	switch {
	case t.Kind() == reflect.Slice && fits(raw, t.Elem()):
		return "write [" + excerptOf(raw) + "]"
	case t.Kind() == reflect.String && scalar:
		return `write "` + excerptOf(raw) + `"`
	case raw[0] == '"':
		if bare, ok := unquote(raw); ok && fits(bare, t) {
			return "write " + string(bare) + " without quotes"
		}
	}
	return "write " + noun(t)
}

// fits says whether raw has the form of the type t.
func fits(raw []byte, t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String:
		return raw[0] == '"'
	case reflect.Bool:
		return string(raw) == "true" || string(raw) == "false"
	case reflect.Struct, reflect.Map:
		return raw[0] == '{'
	}
	return isNumber(t.Kind()) && isJSONNumber(raw)
}

// unquote is the text of a short JSON string that could be another value.
func unquote(raw []byte) ([]byte, bool) {
	bare := raw[1 : len(raw)-1]
	return bare, 0 < len(bare) && len(bare) <= 40
}

func isJSONNumber(text []byte) bool {
	return len(text) > 0 && (text[0] == '-' || '0' <= text[0] && text[0] <= '9') && json.Valid(text) &&
		text[len(text)-1] > ' '
}
