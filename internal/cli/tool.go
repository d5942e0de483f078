package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"homelab/internal/fault"
	"homelab/registry"
	"homelab/tools"
)

// toolCommand is the tool as a subcommand: flags and arguments become the JSON
// that an MCP client would have sent.
func (r *run) toolCommand(tool tools.Tool) *cobra.Command {
	arguments := positionalOf(tool)
	cmd := &cobra.Command{
		Use:     strings.Join(slices.Concat([]string{tool.Command[len(tool.Command)-1]}, arguments.usage(), requiredFlags(tool)), " "),
		Short:   tool.Title,
		Long:    tool.Description,
		Example: examples(tool),
		Args: func(cmd *cobra.Command, args []string) error {
			return cmp.Or(arguments.check(cmd, args), missing(cmd, tool))
		},
	}
	input := bindFlags(cmd.Flags(), tool)
	var yes bool
	if tool.Confirms {
		cmd.Flags().BoolVarP(&yes, "yes", "y", false, "Do what the preview says, without asking")
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if tool.Engines && r.app.HandOver != nil {
			return r.app.HandOver()
		}
		given := input()
		arguments.add(given, args)
		if tool.Confirms && given["confirm"] == nil && given["dryRun"] != true {
			return r.confirmed(cmd.Context(), tool, given, yes)
		}
		result, err := r.call(cmd.Context(), tool, given)
		if err != nil {
			return err
		}
		return r.answer(result)
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if tool.Complete == nil || arguments.full(len(args)) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names, err := tool.Complete(cmd.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(args, name) })
		return names, cobra.ShellCompDirectiveNoFileComp
	}
	completeFlags(cmd)
	return cmd
}

// confirmed previews, and does what the preview said when somebody agrees.
func (r *run) confirmed(ctx context.Context, tool tools.Tool, given map[string]any, yes bool) error {
	asked := maps.Clone(given)
	if yes {
		delete(asked, "background") // that is for what comes then
	}
	result, err := r.call(ctx, tool, asked)
	if err != nil {
		return err
	}
	if result.Unconfirmed == "" || !yes || !r.json { // two documents are not JSON
		if err := r.answer(result); err != nil || result.Unconfirmed == "" {
			return err
		}
	}
	if !yes {
		if agreed, err := r.agreed(ctx, result.Unconfirmed); !agreed {
			return err
		}
	}
	given["confirm"] = result.Unconfirmed
	if result, err = r.call(ctx, tool, given); err != nil {
		return err
	}
	return r.answer(result)
}

// call calls a tool with fields of its input.
func (r *run) call(ctx context.Context, tool tools.Tool, given map[string]any) (tools.Result, error) {
	raw, err := json.Marshal(given)
	if err != nil {
		return tools.Result{}, err
	}
	display := r.display()
	defer display.end()
	return tool.Call(ctx, raw, display.report)
}

// answer shows a result, and ends with its verdict.
func (r *run) answer(result tools.Result) error {
	if err := r.show(result); err != nil {
		return err
	}
	if result.Verdict != "" {
		return verdict(result.Verdict)
	}
	return nil
}

// completeFlags offers the values of a tool's flags where they are known. No
// flag of a tool takes the name of a file.
func completeFlags(cmd *cobra.Command) {
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		var values []string
		if f.Name == "system" {
			values = registry.Systems
		}
		// It fails only for a flag that does not exist, or is registered twice.
		if err := cmd.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
			panic(err)
		}
	})
}

func examples(tool tools.Tool) string {
	var b strings.Builder
	for _, example := range tool.Examples {
		b.WriteString("  # " + example.About + "\n  " + example.Command + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// positional is the input field that a command's arguments fill.
type positional struct {
	name     string // of the field; empty: no arguments are taken
	many     bool
	required bool
}

func positionalOf(tool tools.Tool) positional {
	for _, field := range tool.Fields() {
		if field.Name == tool.Positional {
			return positional{name: field.Name, many: field.Type.Kind() == reflect.Slice, required: field.Required}
		}
	}
	return positional{}
}

// placeholder is the name of one argument: SERVICE for services.
func (p positional) placeholder() string {
	name := strings.ToUpper(kebab(p.name))
	if p.many {
		name = strings.TrimSuffix(name, "S")
	}
	return name
}

func (p positional) usage() []string {
	if p.name == "" {
		return nil
	}
	usage := p.placeholder()
	if p.many {
		usage += "…"
	}
	if !p.required {
		usage = "[" + usage + "]"
	}
	return []string{usage}
}

func (p positional) full(n int) bool { return p.name == "" || !p.many && n > 0 }

func (p positional) check(cmd *cobra.Command, args []string) error {
	usage := "usage: " + useLine(cmd)
	switch {
	case p.required && len(args) == 0:
		return fault.Newf(fault.InvalidArgument, usage, "%s is missing", p.placeholder())
	case p.name == "" && len(args) > 0:
		return fault.Newf(fault.InvalidArgument, usage, "%q takes no arguments, got %q", cmd.CommandPath(), args[0])
	case !p.many && len(args) > 1:
		return fault.Newf(fault.InvalidArgument, usage, "%q takes one %s, got %d", cmd.CommandPath(), p.placeholder(), len(args))
	}
	return nil
}

func (p positional) add(input map[string]any, args []string) {
	switch {
	case len(args) == 0:
	case p.many:
		input[p.name] = args
	default:
		input[p.name] = args[0]
	}
}
