package cli

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"homelab/internal/fault"
	"homelab/tools"
)

// bindFlags makes a flag of every input field that is not positional. The
// function it returns gives the fields whose flags were set: what was left out
// on the command line is left out of the call.
func bindFlags(flags *pflag.FlagSet, tool tools.Tool) func() map[string]any {
	values := map[string]func() any{} // by flag
	fields := map[string]string{}     // name of the field, by flag
	for _, field := range tool.Fields() {
		if field.Name == tool.Positional {
			continue
		}
		flag := kebab(field.Name)
		values[flag] = bind(flags, flag, field)
		fields[flag] = field.Name
	}
	return func() map[string]any {
		input := map[string]any{}
		flags.Visit(func(f *pflag.Flag) {
			if value, ok := values[f.Name]; ok {
				input[fields[f.Name]] = value()
			}
		})
		return input
	}
}

func bind(flags *pflag.FlagSet, name string, field tools.Field) func() any {
	usage := strings.TrimSuffix(field.Description, ".")
	fieldType := field.Type
	if fieldType.Kind() == reflect.Pointer { // one that knows whether it was left out
		fieldType = fieldType.Elem()
	}
	switch kind := fieldType.Kind(); {
	case kind == reflect.String:
		return read(flags.String(name, "", usage))
	case kind == reflect.Bool:
		return read(flags.Bool(name, false, usage))
	case kind == reflect.Int || kind == reflect.Int64:
		return read(flags.Int64(name, 0, usage))
	case kind == reflect.Float64:
		return read(flags.Float64(name, 0, usage))
	case kind == reflect.Slice && fieldType.Elem().Kind() == reflect.String:
		return read(flags.StringSlice(name, nil, usage+" (repeat it, or separate by commas)"))
	}
	panic(fmt.Sprintf("the field %s has no spelling as a flag: %s", field.Name, field.Type))
}

// requiredFlags are the flags that a tool cannot do without, as its usage has them.
func requiredFlags(tool tools.Tool) []string {
	var flags []string
	for _, field := range tool.Fields() {
		if flag := kebab(field.Name); field.Required && field.Name != tool.Positional {
			flags = append(flags, "--"+flag+" "+strings.ToUpper(flag[strings.LastIndex(flag, "-")+1:]))
		}
	}
	return flags
}

// missing fails when a flag was not given that a tool cannot do without.
func missing(cmd *cobra.Command, tool tools.Tool) error {
	for _, flag := range requiredFlags(tool) {
		name, _, _ := strings.Cut(strings.TrimPrefix(flag, "--"), " ")
		if !cmd.Flags().Changed(name) {
			return fault.Newf(fault.InvalidArgument, "usage: "+useLine(cmd), "--%s is missing", name)
		}
	}
	return nil
}

func read[T any](value *T) func() any { return func() any { return *value } }

// kebab spells a camelCase name as a flag: mergeBase is merge-base.
func kebab(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) {
			if i > 0 {
				b.WriteByte('-')
			}
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}
