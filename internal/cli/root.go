package cli

import (
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"homelab/internal/fault"
)

// Environment variables that stand in for global flags.
const (
	repoVariable     = "HOMELAB_REPO"
	registryVariable = "HOMELAB_REGISTRY"
	optionsVariable  = "HOMELAB_NIX_OPTIONS"
)

func init() {
	cobra.EnableCommandSorting = false // commands are shown in the order they are added
}

func (r *run) root() *cobra.Command {
	root := group("homelab")
	root.Long = "homelab knows the services of one repository: what builds them, what touches them, where they run."
	root.Example = "  homelab plan\n  homelab plan --base main --merge-base\n  homelab registry list"
	root.Version = r.app.Version.String()
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { r.unhelped = writeHelp(cmd) })
	root.SetFlagErrorFunc(wrongFlag)
	root.SetHelpCommand(helpCommand())

	flags := root.PersistentFlags()
	flags.StringVar(&r.settings.Repo, "repo", os.Getenv(repoVariable),
		"A `DIR` in the repository; left out: "+repoVariable+", else the current one")
	flags.StringVar(&r.settings.Registry, "registry", os.Getenv(registryVariable),
		"The `PLACE` of the registry, flake:REF#attr or a path; left out: "+registryVariable+", else the flake's homelab, else homelab.json")
	flags.StringArrayVar(&r.settings.NixOptions, "nix-option", optionsFromEnvironment(),
		"A setting for Nix, as `NAME=VALUE`, such as builders, store, substituters or max-jobs (repeat it); left out: "+optionsVariable+", one on a line")
	flags.BoolVar(&r.json, "json", false, "Print the exact result as JSON, and errors too")
	flags.BoolVar(&r.noColor, "no-color", false, "No colours; NO_COLOR says the same")
	for _, name := range []string{"repo", "registry", "nix-option"} {
		flags.Lookup(name).DefValue = ""
	}

	for _, tool := range r.catalog {
		parent := root
		for _, word := range tool.Command[:len(tool.Command)-1] {
			parent = under(parent, word)
		}
		parent.AddCommand(r.toolCommand(tool))
	}
	under(root, "job").AddCommand(r.workCommand())
	under(root, "state").AddCommand(r.watchCommand())
	root.AddCommand(r.mcpCommand(), r.inspectCommand(), r.versionCommand(), completionCommand())
	return root
}

// optionsFromEnvironment are lines: the value of builders has spaces.
func optionsFromEnvironment() []string {
	var options []string
	for line := range strings.Lines(os.Getenv(optionsVariable)) {
		if line = strings.TrimSpace(line); line != "" {
			options = append(options, line)
		}
	}
	return options
}

// group is a command that only has subcommands.
func group(name string) *cobra.Command {
	return &cobra.Command{
		Use:  name,
		Args: cobra.ArbitraryArgs, // so that RunE gets to name what is near
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		},
	}
}

// isGroup tells a group from a tool that has subcommands: only what does something
// has a line that says what.
func isGroup(cmd *cobra.Command) bool { return cmd.HasSubCommands() && cmd.Short == "" }

func under(parent *cobra.Command, word string) *cobra.Command {
	for _, child := range parent.Commands() {
		if child.Name() == word {
			return child
		}
	}
	child := group(word)
	parent.AddCommand(child)
	return child
}

func unknownCommand(cmd *cobra.Command, word string) error {
	known := []string{}
	for _, leaf := range leaves(cmd) {
		known = append(known, strings.TrimPrefix(leaf.CommandPath(), cmd.CommandPath()+" "))
	}
	return fault.Newf(fault.InvalidArgument, fault.DidYouMean(word, known),
		"there is no command %q", cmd.CommandPath()+" "+word)
}

// wrongFlag says which flags there are, where that helps.
func wrongFlag(cmd *cobra.Command, err error) error {
	hint := "see " + cmd.CommandPath() + " --help"
	if unknown := (*pflag.NotExistError)(nil); errors.As(err, &unknown) {
		known := []string{}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				known = append(known, "--"+f.Name)
			}
		})
		asked := "-" + unknown.GetSpecifiedName()
		if unknown.GetSpecifiedShortnames() == "" {
			asked = "-" + asked
		}
		return fault.Newf(fault.InvalidArgument, fault.DidYouMean(asked, known),
			"%q has no flag %s", cmd.CommandPath(), asked)
	}
	if missing := (*pflag.ValueRequiredError)(nil); errors.As(err, &missing) {
		return fault.Newf(fault.InvalidArgument, hint, "--%s needs a value", missing.GetSpecifiedName())
	}
	if invalid := (*pflag.InvalidValueError)(nil); errors.As(err, &invalid) {
		return fault.Newf(fault.InvalidArgument, hint, "--%s takes %s, not %q",
			invalid.GetFlag().Name, valueName(invalid.GetFlag()), invalid.GetValue())
	}
	return fault.New(fault.InvalidArgument, err.Error(), hint)
}

func valueName(f *pflag.Flag) string {
	switch f.Value.Type() {
	case "int", "int64":
		return "an integer"
	case "float64":
		return "a number"
	case "bool":
		return "true or false"
	}
	return "a " + f.Value.Type()
}
