package registry_test

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/registry"
)

// docs/registry.md has a table for every type of the registry, with the fields
// of the type, the required ones in bold, and the values of the enumerations, all
// in the same order.
func TestDocumentedFieldsAreTheFields(t *testing.T) {
	text, err := os.ReadFile("../docs/registry.md")
	require.NoError(t, err)
	assert.Equal(t, fieldsBelow("registry", reflect.TypeFor[registry.Registry]()), documentedFields(string(text)))
}

// fieldsBelow lists the fields of a struct type, and of those below it, by where
// they stand in a document.
func fieldsBelow(at string, in reflect.Type) map[string][]string {
	all := map[string][]string{}
	for field := range in.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		cell := "`" + name + "`"
		if options == "" {
			cell = "**" + cell + "**"
		}
		for rule := range strings.SplitSeq(field.Tag.Get("jsonschema"), ",") {
			if value, ok := strings.CutPrefix(rule, "enum="); ok {
				cell += " `" + value + "`"
			}
		}
		all[at] = append(all[at], cell)

		below := strings.TrimPrefix(at+"."+name, "registry.")
		inner := field.Type
		for ; ; inner = inner.Elem() {
			if inner.Kind() == reflect.Map {
				below += ".NAME"
			} else if inner.Kind() == reflect.Slice {
				below += "[]"
			} else if inner.Kind() != reflect.Pointer {
				break
			}
		}
		if inner.Kind() == reflect.Struct {
			for where, fields := range fieldsBelow(below, inner) {
				all[where] = fields
			}
		}
	}
	return all
}

// documentedFields lists the first cells of the tables under "### `place`", with
// the second where that is an enumeration.
func documentedFields(text string) map[string][]string {
	heading := regexp.MustCompile("^### `(.+)`$")
	row := regexp.MustCompile("^\\| ((?:\\*\\*)?`[$\\w]+`(?:\\*\\*)?) \\|((?: `[\\w-]+`)+ \\|)?")
	all := map[string][]string{}
	at := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case heading.MatchString(line):
			at = heading.FindStringSubmatch(line)[1]
		case strings.HasPrefix(line, "#"):
			at = ""
		case at != "" && row.MatchString(line):
			cells := row.FindStringSubmatch(line)
			all[at] = append(all[at], cells[1]+strings.TrimSuffix(cells[2], " |"))
		}
	}
	return all
}
