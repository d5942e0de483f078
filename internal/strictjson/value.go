package strictjson

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
)

var rawType = reflect.TypeFor[json.RawMessage]()

// value reads the value at the cursor, which has the rules of f. What does not
// fit is reported and stepped over.
func (d *decoder) value(into reflect.Value, f *field) {
	first, kind := d.peek(), into.Kind()
	switch {
	case into.Type() == rawType:
		raw, depth := d.raw()
		if len(d.steps)+depth > MaxDepth {
			d.reportDeep(raw)
		}
		into.SetBytes(slices.Clone(raw))
	case first == 'n':
		raw := d.literal()
		// Go writes null for a nil pointer that may not be left out.
		if kind == reflect.Pointer && !f.optional || f.optional && d.opts.Lenient {
			return
		}
		d.null(raw, into.Type(), f)
	case kind == reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		d.value(into.Elem(), f)
	case kind == reflect.Struct && first == '{':
		d.object(into)
	case kind == reflect.Map && first == '{':
		d.dict(into)
	case kind == reflect.Slice && first == '[':
		d.list(into, f)
	case kind == reflect.String && first == '"':
		d.str(into, f)
	case kind == reflect.Bool && (first == 't' || first == 'f'):
		into.SetBool(len(d.literal()) == len("true"))
	case isNumber(kind) && (first == '-' || first <= '9' && first >= '0'):
		d.number(d.literal(), into, f)
	default:
		d.other(into, f)
	}
}

func (d *decoder) str(into reflect.Value, f *field) {
	start := d.at
	value, valid := d.text()
	raw := d.data[start:d.at]
	if !valid {
		d.reportInvalidText(raw)
		return
	}
	if f.nonEmpty && len(value) == 0 {
		d.report(excerptOf(raw), "is empty", "leave it out, or give it a value")
		return
	}
	into.SetString(string(value))
	d.checkEnum(raw, into.String(), f)
}

func (d *decoder) reportInvalidText(raw []byte) {
	d.report(excerptOf(raw), "text that is not valid Unicode", "write it in UTF-8, and \\u escapes above U+FFFF as pairs")
}

func isNumber(kind reflect.Kind) bool {
	return reflect.Int <= kind && kind <= reflect.Uint64 || kind == reflect.Float32 || kind == reflect.Float64
}

// number stores a number that is spelled as JSON spells it.
func (d *decoder) number(raw []byte, into reflect.Value, f *field) {
	text := string(raw)
	if d.opts.Lenient && !into.CanFloat() {
		text = integral(text)
	}
	switch {
	case into.CanFloat():
		n, err := strconv.ParseFloat(text, into.Type().Bits())
		if err != nil {
			d.report(excerptOf(raw), "number out of range", "write a smaller number")
			return
		}
		into.SetFloat(n)
		d.checkBounds(raw, n, f)
	case into.CanInt():
		n, err := strconv.ParseInt(text, 10, into.Type().Bits())
		if err != nil {
			d.notInteger(raw, into.Type(), f)
			return
		}
		into.SetInt(n)
		d.checkBounds(raw, float64(n), f)
	default:
		n, err := strconv.ParseUint(text, 10, into.Type().Bits())
		if err != nil {
			d.notInteger(raw, into.Type(), f)
			return
		}
		into.SetUint(n)
		d.checkBounds(raw, float64(n), f)
	}
	d.checkEnum(raw, text, f)
}

func (d *decoder) notInteger(raw []byte, t reflect.Type, f *field) {
	bits := t.Bits()
	lowest, highest := "0", strconv.FormatUint(math.MaxUint64>>(64-bits), 10)
	if t.Kind() <= reflect.Int64 {
		lowest = strconv.FormatInt(math.MinInt64>>(64-bits), 10)
		highest = strconv.FormatInt(math.MaxInt64>>(64-bits), 10)
	}
	if f.minimum != nil {
		lowest = fmt.Sprint(*f.minimum)
	}
	if f.maximum != nil {
		highest = fmt.Sprint(*f.maximum)
	}
	message := "integer out of range"
	for _, c := range raw {
		if c == '.' || c == 'e' || c == 'E' {
			message = "not an integer"
		}
	}
	d.report(excerptOf(raw), message, fmt.Sprintf("write a whole number from %s to %s", lowest, highest))
}

func (d *decoder) checkEnum(raw []byte, value string, f *field) {
	switch {
	case f.enum == nil || slices.Contains(f.enum, value):
	case len(f.enum) == 1:
		d.report(excerptOf(raw), "not the valid value", "write "+f.enum[0])
	default:
		d.report(excerptOf(raw), "not one of the valid values", choose(value, f.enum))
	}
}

func (d *decoder) checkBounds(raw []byte, n float64, f *field) {
	below, above := f.minimum != nil && n < *f.minimum, f.maximum != nil && n > *f.maximum
	switch {
	case below && f.maximum != nil, above && f.minimum != nil:
		d.report(excerptOf(raw), "number out of range", fmt.Sprintf("write a number from %v to %v", *f.minimum, *f.maximum))
	case below:
		d.report(excerptOf(raw), "number out of range", fmt.Sprintf("write %v or more", *f.minimum))
	case above:
		d.report(excerptOf(raw), "number out of range", fmt.Sprintf("write %v or less", *f.maximum))
	}
}
