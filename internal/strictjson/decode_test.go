package strictjson_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/strictjson"
)

type color string

// paint has a field of every supported type.
type paint struct {
	Name    string            `json:"name"`
	Color   color             `json:"color,omitempty" jsonschema:"enum=red,enum=green,enum=blue"`
	Coats   int               `json:"coats,omitempty" jsonschema:"minimum=1,maximum=9"`
	Small   int8              `json:"small,omitempty"`
	Grams   uint16            `json:"grams,omitempty" jsonschema:"minimum=10"`
	Price   float64           `json:"price,omitempty" jsonschema:"maximum=99.5"`
	Glossy  bool              `json:"glossy,omitempty"`
	Tags    []string          `json:"tags,omitempty"`
	Tints   []color           `json:"tints,omitempty" jsonschema:"enum=red,enum=blue"`
	Sizes   []int             `json:"sizes,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
	Rooms   map[string]room   `json:"rooms,omitempty"`
	Best    *room             `json:"best,omitempty"`
	Walls   []wall            `json:"walls,omitempty"`
	Extra   json.RawMessage   `json:"extra,omitempty"`
	Nested  *paint            `json:"nested,omitempty"`
	Count   *int              `json:"count,omitzero"`
	Skipped string            `json:"-"`
	Untag   string            `json:",omitempty"`
}

type room struct {
	Floor int `json:"floor"`
}

type wall struct {
	Side *string `json:"side"`
}

func problem(path, value, message, fix string) strictjson.Problem {
	return strictjson.Problem{Path: path, Value: value, Message: message, Fix: fix}
}

const paintFields = "name, color, coats, small, grams, price, glossy, tags, tints, sizes, env, rooms, best, walls, extra, nested, count, Untag"

func TestDecodeReportsProblems(t *testing.T) {
	tests := []struct {
		name string
		data string
		want []strictjson.Problem
	}{
		{"unknown field with a near name", `{"name":"x","colour":"red"}`, []strictjson.Problem{
			problem("$.colour", `"red"`, `unknown field "colour"`, "did you mean color? valid: "+paintFields)}},
		{"unknown field with no near name", `{"name":"x","best":{"floor":1,"z-index": [1, {"a": "b c"}] }}`, []strictjson.Problem{
			problem(`$.best["z-index"]`, `[1,{"a":"b c"}]`, `unknown field "z-index"`, "valid: floor")}},
		{"field name in another case", `{"name":"x","Coats":1}`, []strictjson.Problem{
			problem("$.Coats", "1", `unknown field "Coats"`, "did you mean coats? valid: "+paintFields)}},
		{"a field JSON does not see", `{"name":"x","Skipped":"s"}`, []strictjson.Problem{
			problem("$.Skipped", `"s"`, `unknown field "Skipped"`, "valid: "+paintFields)}},
		{"missing fields", `{"rooms":{"a.b":{}},"walls":[{}]}`, []strictjson.Problem{
			problem(`$.rooms["a.b"].floor`, "", "missing required field", `add "floor", an integer`),
			problem("$.walls[0].side", "", "missing required field", `add "side", a string`),
			problem("$.name", "", "missing required field", `add "name", a string`)}},
		{"duplicate keys", `{"name":"x","name":"y","rooms":{"a":{"floor":1},"a":{"floor":2}}}`, []strictjson.Problem{
			problem("$.name", "", "duplicate key", "keep one of them"),
			problem("$.rooms.a", "", "duplicate key", "keep one of them")}},
		{"duplicate key behind an escape", `{"name":"x","n\u0061me":"y"}`, []strictjson.Problem{
			problem("$.name", "", "duplicate key", "keep one of them")}},
		{"null", `{"name":null,"tags":null,"best":null,"env":{"a":null},"sizes":[null],"walls":[{"side":null}],"extra":null}`, []strictjson.Problem{
			problem("$.name", "null", "null where a string is needed", "write a string"),
			problem("$.tags", "null", "null where a list of strings is needed", "leave the field out, or write a list of strings"),
			problem("$.best", "null", "null where an object is needed", "leave the field out, or write an object"),
			problem("$.env.a", "null", "null where a string is needed", "write a string"),
			problem("$.sizes[0]", "null", "null where an integer is needed", "write an integer")}},
		{"number for a string", `{"name":42}`, []strictjson.Problem{
			problem("$.name", "42", "wanted a string, got a number", `write "42"`)}},
		{"list for a string", `{"name":[1, 2]}`, []strictjson.Problem{
			problem("$.name", "[1,2]", "wanted a string, got a list", "write a string")}},
		{"string for a number", `{"name":"x","coats":"3","price":"1.5","grams":"heavy"}`, []strictjson.Problem{
			problem("$.coats", `"3"`, "wanted an integer, got a string", "write 3 without quotes"),
			problem("$.price", `"1.5"`, "wanted a number, got a string", "write 1.5 without quotes"),
			problem("$.grams", `"heavy"`, "wanted an integer, got a string", "write an integer")}},
		{"string for a boolean", `{"name":"x","glossy":"true"}`, []strictjson.Problem{
			problem("$.glossy", `"true"`, "wanted true or false, got a string", "write true without quotes")}},
		{"scalars for lists", `{"name":"x","tags":"a","sizes":3,"walls":{"side":"n"},"tints":true}`, []strictjson.Problem{
			problem("$.tags", `"a"`, "wanted a list of strings, got a string", `write ["a"]`),
			problem("$.sizes", "3", "wanted a list of integers, got a number", "write [3]"),
			problem("$.walls", `{"side":"n"}`, "wanted a list of objects, got an object", `write [{"side":"n"}]`),
			problem("$.tints", "true", "wanted a list of strings, got true", "write a list of strings")}},
		{"not an object", `{"name":"x","best":[],"env":"A=b","rooms":{"a":1}}`, []strictjson.Problem{
			problem("$.best", "[]", "wanted an object, got a list", "write an object"),
			problem("$.env", `"A=b"`, "wanted an object, got a string", "write an object"),
			problem("$.rooms.a", "1", "wanted an object, got a number", "write an object")}},
		{"the document is not an object", ` [1]`, []strictjson.Problem{
			problem("$", "[1]", "wanted an object, got a list", "write an object")}},
		{"not integers", `{"name":"x","coats":1.0,"small":1e1,"sizes":[0.5]}`, []strictjson.Problem{
			problem("$.coats", "1.0", "not an integer", "write a whole number from 1 to 9"),
			problem("$.small", "1e1", "not an integer", "write a whole number from -128 to 127"),
			problem("$.sizes[0]", "0.5", "not an integer", "write a whole number from -9223372036854775808 to 9223372036854775807")}},
		{"out of range", `{"name":"x","small":128,"grams":-1,"price":-1e999}`, []strictjson.Problem{
			problem("$.small", "128", "integer out of range", "write a whole number from -128 to 127"),
			problem("$.grams", "-1", "integer out of range", "write a whole number from 10 to 65535"),
			problem("$.price", "-1e999", "number out of range", "write a smaller number")}},
		{"out of the bounds of the tag", `{"name":"x","coats":0,"nested":{"name":"y","coats":10,"grams":9,"price":100}}`, []strictjson.Problem{
			problem("$.coats", "0", "number out of range", "write a number from 1 to 9"),
			problem("$.nested.coats", "10", "number out of range", "write a number from 1 to 9"),
			problem("$.nested.grams", "9", "number out of range", "write 10 or more"),
			problem("$.nested.price", "100", "number out of range", "write 99.5 or less")}},
		{"not in the enum", `{"name":"x","color":"gren","tints":["red","green"]}`, []strictjson.Problem{
			problem("$.color", `"gren"`, "not one of the valid values", "did you mean green, red? valid: red, green, blue"),
			problem("$.tints[1]", `"green"`, "not one of the valid values", "valid: red, blue")}},
		{"not Unicode", "{\"name\":\"\\ud800x\",\"env\":{\"\xff\":\"a\",\"b\":\"\\ude00\\ud83d\"},\"tags\":[\"\\ud83d\\ude00\"]}", []strictjson.Problem{
			problem("$.name", `"\ud800x"`, "text that is not valid Unicode", "write it in UTF-8, and \\u escapes above U+FFFF as pairs"),
			problem("$.env[\"\\ufffd\"]", "\"\ufffd\"", "text that is not valid Unicode", "write it in UTF-8, and \\u escapes above U+FFFF as pairs"),
			problem("$.env.b", `"\ude00\ud83d"`, "text that is not valid Unicode", "write it in UTF-8, and \\u escapes above U+FFFF as pairs")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, strictjson.Decode([]byte(tt.data), new(paint), strictjson.Options{}))
		})
	}
}

func TestDecodeReportsRequiredEnums(t *testing.T) {
	type gate struct {
		Version int        `json:"version" jsonschema:"enum=1"`
		Kind    string     `json:"kind" jsonschema:"enum=tcp,enum=http"`
		Flags   []bool     `json:"flags"`
		Grid    [][]int    `json:"grid"`
		None    struct{}   `json:"none"`
		Rooms   []struct{} `json:"rooms"`
	}
	assert.Equal(t, []strictjson.Problem{
		problem("$.version", "", "missing required field", `add "version", an integer: 1`),
		problem("$.kind", "", "missing required field", `add "kind", a string: tcp, http`),
		problem("$.flags", "", "missing required field", `add "flags", a list of booleans`),
		problem("$.grid", "", "missing required field", `add "grid", a list of lists`),
		problem("$.none", "", "missing required field", `add "none", an object`),
		problem("$.rooms", "", "missing required field", `add "rooms", a list of objects`),
	}, strictjson.Decode([]byte(`{}`), new(gate), strictjson.Options{}))
	assert.Equal(t, []strictjson.Problem{
		problem("$.version", "2", "not the valid value", "write 1"),
		problem("$.kind", "false", "wanted a string, got false", `write "false"`),
		problem("$.flags[0]", "1", "wanted true or false, got a number", "write true or false"),
		problem("$.grid[0]", "1", "wanted a list of integers, got a number", "write [1]"),
		problem("$.none.a", "1", `unknown field "a"`, "remove it: nothing can be given here"),
		problem("$.rooms", "{}", "wanted a list of objects, got an object", "write [{}]"),
	}, strictjson.Decode([]byte(`{"version":2,"kind":false,"flags":[1],"grid":[1],"none":{"a":1},"rooms":{}}`), new(gate), strictjson.Options{}))
}

func TestDecodeReportsSyntax(t *testing.T) {
	tests := []struct{ name, data, message, fix string }{
		{"empty", " \n", "line 1, column 1: there is nothing", "write one JSON value"},
		{"cut off", "{\n  \"name\": \"é", "line 2, column 13: the text ends too early", "close what is open: a bracket, a brace or a quote is missing"},
		{"trailing data", "{\"name\":\"x\"}\n{}", "line 2, column 1: text after the end of the value", "remove it: there is one JSON value only"},
		{"trailing comma", "{\"name\":\"é\",\n}", "line 2, column 1: a comma before '}'", "remove the comma"},
		{"comment", "{\n// why\n}", "line 2, column 1: invalid character '/' looking for beginning of object key string", "remove the comment: JSON has none"},
		{"single quotes", "{'name':1}", "line 1, column 2: invalid character '\\'' looking for beginning of object key string", `write strings in double quotes (")`},
		{"missing comma", "[1 \"x\"]", "line 1, column 4: invalid character '\"' after array element", "write a comma or a colon before it"},
		{"byte order mark", "\xef\xbb\xbf{}", "line 1, column 1: a byte order mark", "save the file as UTF-8 without one"},
		{"bare word", "{\"name\": yes}", "line 1, column 10: invalid character 'y' looking for beginning of value", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := []strictjson.Problem{problem("$", "", "not JSON at "+tt.message, tt.fix)}
			assert.Equal(t, want, strictjson.Decode([]byte(tt.data), new(paint), strictjson.Options{}))
		})
	}
}

func TestDecodeFillsEveryType(t *testing.T) {
	data := ` { "name" : "a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é" , "color":"red", "coats":9, "small":-128,
		"grams":65535, "price":-1.5e1, "glossy":true, "tags":[], "tints":["blue"], "sizes":[1,-2 , 3],
		"env":{}, "rooms":{"a b":{"floor":-1},"c":{"floor":2}}, "best":{"floor":0},
		"walls":[{"side":null},{"side":"north"}], "extra": {"any": [null, {"thing":1}]},
		"nested":{"name":"","glossy":false}, "count":0, "Untag":"u" } `
	var got, want paint
	require.Empty(t, strictjson.Decode([]byte(data), &got, strictjson.Options{}))
	require.NoError(t, json.Unmarshal([]byte(data), &want))
	assert.Equal(t, want, got)
	assert.NotNil(t, got.Tags, "written but empty")
	assert.NotNil(t, got.Env, "written but empty")
	assert.Nil(t, got.Nested.Tags, "left out")
}

func TestDecodeLenient(t *testing.T) {
	lenient := strictjson.Options{Lenient: true}
	data := `{"name":"x","coats":"3","price":"-2.5","glossy":"true","tags":"a,b","tints":"red",
		"sizes":["4",5.0],"small":1e1,"best":null,"count":"7"}`
	seven := 7
	var got paint
	require.Empty(t, strictjson.Decode([]byte(data), &got, lenient))
	assert.Equal(t, paint{Name: "x", Coats: 3, Price: -2.5, Glossy: true, Tags: []string{"a,b"}, Tints: []color{"red"},
		Sizes: []int{4, 5}, Small: 10, Count: &seven}, got)

	assert.Equal(t, []strictjson.Problem{
		problem("$.name", "1", "wanted a string, got a number", `write "1"`),
		problem("$.coats", "10", "number out of range", "write a number from 1 to 9"),
		problem("$.grams", `"many"`, "wanted an integer, got a string", "write an integer"),
		problem("$.glossy", `"yes"`, "wanted true or false, got a string", "write true or false"),
		problem("$.tints", `"pink"`, "not one of the valid values", "valid: red, blue"),
		problem("$.sizes[0]", "1.5", "not an integer", "write a whole number from -9223372036854775808 to 9223372036854775807"),
		problem("$.sizes[1]", "null", "null where an integer is needed", "write an integer"),
		problem("$.best", `"x"`, "wanted an object, got a string", "write an object"),
	}, strictjson.Decode([]byte(`{"name":1,"coats":"10","grams":"many","glossy":"yes","tints":"pink","sizes":[1.5,null],"best":"x"}`), new(paint), lenient))
}

func TestLenientKeepsLargeIntegers(t *testing.T) {
	var got []int64
	require.Empty(t, strictjson.Decode([]byte(`["9223372036854775807",9007199254740993]`), &got, strictjson.Options{Lenient: true}))
	assert.Equal(t, []int64{9223372036854775807, 9007199254740993}, got)
}

func TestDecodeIsBounded(t *testing.T) {
	t.Run("problems", func(t *testing.T) {
		got := strictjson.Decode([]byte("["+strings.Repeat("0,", 5000)+"0]"), new([]string), strictjson.Options{})
		require.Len(t, got, strictjson.MaxProblems+1)
		assert.Equal(t, "$[999]", got[999].Path)
		assert.Equal(t, problem("$", "", "there are more than 1000 problems; the others are not shown", "fix these first"), got[1000])
	})
	t.Run("depth", func(t *testing.T) {
		nested := func(levels int) []byte {
			return []byte(strings.Repeat(`{"name":"x","nested":`, levels-1) + `{"name":"x"}` + strings.Repeat("}", levels-1))
		}
		assert.Empty(t, strictjson.Decode(nested(100), new(paint), strictjson.Options{}))
		assert.Equal(t, []strictjson.Problem{problem("$"+strings.Repeat(".nested", 100), `{"name":"x"}`,
			"nested deeper than 100 levels", "write it flatter")},
			strictjson.Decode(nested(101), new(paint), strictjson.Options{}))
	})
	t.Run("depth of a raw value", func(t *testing.T) {
		deep := func(levels int) []byte {
			return []byte(`{"name":"x","extra":` + strings.Repeat("[", levels) + strings.Repeat("]", levels) + `}`)
		}
		assert.Empty(t, strictjson.Decode(deep(99), new(paint), strictjson.Options{}))
		got := strictjson.Decode(deep(100), new(paint), strictjson.Options{})
		require.Len(t, got, 1)
		assert.Equal(t, "nested deeper than 100 levels", got[0].Message)
	})
	t.Run("depth beyond what encoding/json reads", func(t *testing.T) {
		got := strictjson.Decode([]byte(strings.Repeat("[", 1_000_000)), new(paint), strictjson.Options{})
		assert.Len(t, got, 1)
	})
	t.Run("text", func(t *testing.T) {
		long := strings.Repeat("é", 1<<20)
		got := strictjson.Decode(fmt.Appendf(nil, `{"name":"x","coats":%q,%q:[%q]}`, long, long, long), new(paint), strictjson.Options{})
		require.Len(t, got, 2)
		for _, p := range got {
			assert.Less(t, len(p.String()), 2000)
		}
		assert.Equal(t, `"`+strings.Repeat("é", 118)+"…", got[0].Value)
	})
}

func TestFieldNames(t *testing.T) {
	assert.Equal(t, []string{"floor"}, strictjson.FieldNames(reflect.TypeFor[room]()))
	assert.Equal(t, paintFields, strings.Join(strictjson.FieldNames(reflect.TypeFor[*paint]()), ", "))
	assert.Equal(t, []string{}, strictjson.FieldNames(reflect.TypeFor[struct{}]()))
}

func TestDecodePanicsOnADefectOfTheCaller(t *testing.T) {
	assert.Panics(t, func() { strictjson.Decode([]byte(`{}`), paint{}, strictjson.Options{}) })
	assert.Panics(t, func() { strictjson.Decode([]byte(`{}`), (*paint)(nil), strictjson.Options{}) })
	assert.Panics(t, func() { strictjson.Decode([]byte(`{}`), new(map[int]string), strictjson.Options{}) })
	assert.Panics(t, func() { strictjson.Decode([]byte(`{}`), new(any), strictjson.Options{}) })
	type badBound struct {
		N int `json:"n" jsonschema:"minimum=low"`
	}
	assert.Panics(t, func() { strictjson.Decode([]byte(`{}`), new(badBound), strictjson.Options{}) })
}
