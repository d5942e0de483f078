package tools

import (
	"reflect"
	"strings"
)

// Field is one argument of a tool.
type Field struct {
	Name        string // as in JSON: mergeBase
	Description string
	Required    bool
	Type        reflect.Type
}

// Fields are the arguments of the tool, in the order they are declared.
func (t Tool) Fields() []Field {
	fields := []Field{}
	for i := range t.input.NumField() {
		field := t.input.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		fields = append(fields, Field{
			Name:        name,
			Description: field.Tag.Get("jsonschema_description"),
			Required:    !strings.Contains(options, "omitempty"),
			Type:        field.Type,
		})
	}
	return fields
}
