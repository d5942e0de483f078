package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// widest is how wide help gets on a wide terminal: longer lines are hard to read.
const widest = 100

// writeHelp prints what --help does: what the command answers, how to type it, an
// example, its flags.
func writeHelp(cmd *cobra.Command) error {
	out := &strings.Builder{}
	width := helpWidth(cmd.OutOrStdout())
	if about := firstOf(cmd.Long, cmd.Short); about != "" {
		fmt.Fprintf(out, "%s\n\n", wrap(about, width))
	}
	fmt.Fprintf(out, "Usage:\n  %s\n", useLine(cmd))
	if cmd.Example != "" {
		fmt.Fprintf(out, "\nExamples:\n%s\n", cmd.Example)
	}
	if commands := leaves(cmd); cmd.HasSubCommands() {
		fmt.Fprintf(out, "\nCommands:\n")
		table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
		for _, leaf := range commands {
			line := strings.TrimPrefix(useLine(leaf), cmd.CommandPath()+" ")
			fmt.Fprintf(table, "  %s\t%s\n", line, leaf.Short)
		}
		_ = table.Flush() // a Builder takes everything
		if !isGroup(cmd) {
			fmt.Fprintf(out, "\nAfter -- a word is no command: %s -- %s\n", cmd.CommandPath(), commands[0].Name())
		}
	}
	printFlags(out, "Flags", cmd.LocalNonPersistentFlags(), width)
	printFlags(out, "Global flags", cmd.Root().PersistentFlags(), width)
	return write(cmd.OutOrStdout(), out.String())
}

// useLine is how the command is typed.
func useLine(cmd *cobra.Command) string {
	line := strings.TrimSuffix(cmd.UseLine(), " [flags]")
	if isGroup(cmd) {
		line += " COMMAND"
	}
	return line
}

// printFlags prints one flag a paragraph: its name, then what it means beside
// it. Help itself is not listed: whoever reads this has found it.
func printFlags(out io.Writer, heading string, flags *pflag.FlagSet, width int) {
	const column = 22
	var b strings.Builder
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" || f.Name == "version" {
			return
		}
		kind, usage := pflag.UnquoteUsage(f)
		name := strings.TrimRight("  --"+f.Name+" "+strings.ToUpper(kind), " ")
		indent := strings.Repeat(" ", column)
		text := strings.ReplaceAll(wrap(usage, width-column), "\n", "\n"+indent)
		if len(name) >= column {
			name += "\n" + indent
		}
		fmt.Fprintf(&b, "%-*s%s\n", column, name, text)
	})
	if b.Len() > 0 {
		fmt.Fprintf(out, "\n%s:\n%s", heading, b.String())
	}
}

// leaves are the commands below cmd that do something, in the order they were
// added.
func leaves(cmd *cobra.Command) []*cobra.Command {
	found := []*cobra.Command{}
	for _, child := range cmd.Commands() {
		if child.Hidden {
			continue
		}
		if !isGroup(child) {
			found = append(found, child)
		}
		found = append(found, leaves(child)...)
	}
	return found
}

// helpCommand is `homelab help COMMAND`, the same as `homelab COMMAND --help`.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "help [COMMAND…]",
		Short:  "Help about a command",
		Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 && isGroup(about) {
				return unknownCommand(about, rest[0])
			}
			return writeHelp(about)
		},
	}
}

func helpWidth(out io.Writer) int {
	if file, ok := out.(*os.File); ok {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil {
			return min(width, widest)
		}
	}
	return widest
}

func wrap(text string, width int) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		switch {
		case column == 0:
		case column+1+len(word) > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}
