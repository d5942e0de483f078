package tools

import (
	"fmt"
	"reflect"
	"strings"

	"homelab/internal/fault"
	"homelab/internal/strictjson"
)

// decode reads the arguments of a call into the struct that in points to and
// validates them. Everything that is wrong is said at once.
func decode(raw []byte, in any) error {
	problems := strictjson.Decode(raw, in, strictjson.Options{Lenient: true})
	if len(problems) > 0 {
		return wrongArguments(problems, in)
	}
	if v, ok := in.(validator); ok {
		return v.Validate()
	}
	return nil
}

// validator is what an input implements that has more rules than its types.
type validator interface{ Validate() error }

func wrongArguments(problems []strictjson.Problem, in any) error {
	const most = 5
	for i := range problems {
		// Agents and people know an argument by its name, not by a JSON path.
		path := strings.TrimPrefix(strings.TrimPrefix(problems[i].Path, "$"), ".")
		if path == "" {
			path = "arguments"
		}
		problems[i].Path = path
	}
	if only := problems[0]; len(problems) == 1 && only.Fix != "" {
		hint := only.Fix
		only.Fix = ""
		return fault.New(fault.InvalidArgument, only.String(), hint)
	}
	message := make([]string, 0, most+1)
	for i, p := range problems {
		if i == most {
			message = append(message, fmt.Sprintf("… and %d more", len(problems)-most))
			break
		}
		message = append(message, p.String())
	}
	hint := "no arguments are taken"
	if names := strictjson.FieldNames(reflect.TypeOf(in)); len(names) > 0 {
		hint = "valid: " + strings.Join(names, ", ")
	}
	return fault.New(fault.InvalidArgument, strings.Join(message, "\n"), hint)
}
