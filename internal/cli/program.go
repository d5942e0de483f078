package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"homelab/internal/fault"
	"homelab/tools"
)

// Version says which build this is.
type Version struct {
	Number string `json:"version"`
	Commit string `json:"commit"` // empty: not known
}

func (v Version) String() string {
	text := v.Number
	if v.Commit != "" {
		text += fmt.Sprintf(" (%s)", v.Commit[:min(len(v.Commit), 12)])
	}
	return fmt.Sprintf("%s %s %s/%s", text, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func (r *run) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  homelab version --json",
		Args:    positional{}.check,
		RunE: func(*cobra.Command, []string) error {
			if !r.json {
				return r.print("homelab version " + r.app.Version.String() + "\n")
			}
			value, err := json.Marshal(struct {
				Version
				Go       string `json:"go"`
				Platform string `json:"platform"`
			}{r.app.Version, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH})
			if err != nil {
				return err
			}
			return r.printJSON(value)
		},
	}
}

func (r *run) mcpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "mcp",
		Short: "Serve the tools to an MCP client on standard input and output",
		Long: "Speaks the Model Context Protocol on standard input and output: the command that an agent or an editor starts. " +
			"It starts anywhere; a tool that needs a repository, git, Nix or Docker says so when it is called.",
		Example: "  # as an MCP client starts it\n  homelab mcp --repo ~/homelab",
		Args:    positional{}.check,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r.settings.Resident = true
			if r.app.HandOver == nil {
				defer r.start(cmd.Context())()
			}
			return r.app.Serve(cmd.Context(), r.catalog, r.app.Streams)
		},
	}
}

// start does beside the serving what is to be done once. The function that it returns
// ends that.
func (r *run) start(ctx context.Context) (end func()) {
	ctx, stop := context.WithCancel(ctx)
	var starting sync.WaitGroup
	starting.Go(func() {
		r.starting(ctx, func(line string) {
			fmt.Fprintln(r.app.Streams.Err, "homelab mcp: "+tools.Printable(line))
		})
	})
	return func() { stop(); starting.Wait() }
}

// workCommand is what a detached job's own process runs.
func (r *run) workCommand() *cobra.Command {
	one := positional{name: "id", required: true}
	return &cobra.Command{
		Use: "work ID", Short: "Do a detached job; homelab starts this by itself", Hidden: true,
		Args: one.check,
		RunE: func(cmd *cobra.Command, args []string) error { return r.work(cmd.Context(), args[0]) },
	}
}

// watchCommand is what wakes a service when the process that put it to rest ends.
func (r *run) watchCommand() *cobra.Command {
	return &cobra.Command{
		Use: "watch FOLDER HOST SERVICE TOKEN", Short: "Wake a service that is at rest; homelab starts this by itself", Hidden: true,
		Args: cobra.ExactArgs(4),
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.watch(cmd.Context(), args[0], args[1], args[2], args[3])
		},
	}
}

func (r *run) inspectCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "inspect",
		Short:   "Show the tools as an MCP client sees them, and what they cost",
		Long:    "Lists the tools over the protocol, in process: schemas, annotations, and an estimate of the tokens they cost (four bytes each).",
		Example: "  homelab inspect --json",
		Args:    positional{}.check,
		RunE: func(cmd *cobra.Command, _ []string) error {
			seen, err := r.app.Inspect(cmd.Context(), r.catalog)
			if err != nil {
				return err
			}
			if r.json {
				value, err := json.Marshal(seen)
				if err != nil {
					return err
				}
				return r.printJSON(value)
			}
			text, err := seen.Text()
			if err != nil {
				return err
			}
			return r.print(text)
		},
	}
}

// shells are the shells there are completions for.
var shells = map[string]func(root *cobra.Command, out io.Writer) error{
	"bash":       func(root *cobra.Command, out io.Writer) error { return root.GenBashCompletionV2(out, true) },
	"zsh":        (*cobra.Command).GenZshCompletion,
	"fish":       func(root *cobra.Command, out io.Writer) error { return root.GenFishCompletion(out, true) },
	"powershell": (*cobra.Command).GenPowerShellCompletionWithDesc,
}

var shellNames = []string{"bash", "zsh", "fish", "powershell"}

func completionCommand() *cobra.Command {
	one := positional{name: "shell", required: true}
	return &cobra.Command{
		Use:       "completion SHELL",
		Short:     "Print completions for bash, zsh, fish or powershell",
		Example:   "  # for this bash\n  source <(homelab completion bash)",
		Args:      one.check,
		ValidArgs: shellNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			generate, ok := shells[args[0]]
			if !ok {
				return fault.Newf(fault.InvalidArgument, fault.DidYouMean(args[0], shellNames), "there are no completions for %q", args[0])
			}
			var script strings.Builder
			if err := generate(cmd.Root(), &script); err != nil {
				return err
			}
			return write(cmd.OutOrStdout(), script.String())
		},
	}
}
