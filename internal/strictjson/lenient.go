package strictjson

import (
	"math"
	"reflect"
	"strconv"
	"strings"
)

// convert reads a string where into is a number, a boolean or a list of
// strings. It says false, and stays where it is, when that is not what the
// value is.
func (d *decoder) convert(into reflect.Value, f *field) bool {
	if d.peek() != '"' {
		return false
	}
	if into.Kind() == reflect.Slice && into.Type().Elem().Kind() == reflect.String {
		into.Set(reflect.MakeSlice(into.Type(), 1, 1))
		d.str(into.Index(0), f)
		return true
	}
	start := d.at
	raw, _ := d.raw()
	bare, ok := unquote(raw)
	switch {
	case ok && into.Kind() == reflect.Bool && fits(bare, into.Type()):
		into.SetBool(string(bare) == "true")
	case ok && isNumber(into.Kind()) && isJSONNumber(bare):
		d.number(bare, into, f)
	default:
		d.at = start
		return false
	}
	return true
}

// integral spells a whole number such as 1.0 or 1e3 without point and
// exponent, as far as a float64 counts exactly.
func integral(text string) string {
	const exact = 1 << 53
	if !strings.ContainsAny(text, ".eE") {
		return text
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n != math.Trunc(n) || math.Abs(n) > exact {
		return text
	}
	return strconv.FormatInt(int64(n), 10)
}
