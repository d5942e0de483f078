// Mcpclient works with homelab the way an agent does: it starts the server,
// learns which tools there are, and calls some.
//
//	mcpclient plan '{"base":"main"}' build '{"base":"main","planId":"$planId"}' -- homelab mcp --repo ~/homelab
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mcpclient:", err)
		os.Exit(1)
	}
}

const usage = "usage: mcpclient TOOL ARGUMENTS [TOOL ARGUMENTS…] -- SERVER [ARGUMENT…]"

// call is one call of a tool. $planId, $previewId and $jobId in its arguments stand
// for what the calls before it answered.
type call struct{ tool, arguments string }

func run(ctx context.Context, args []string, out io.Writer) error {
	var calls []call
	for len(args) >= 2 && args[0] != "--" {
		calls, args = append(calls, call{args[0], args[1]}), args[2:]
	}
	if len(calls) == 0 || len(args) < 2 {
		return errors.New(usage)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	server, err := client.NewStdioMCPClient(args[1], nil, args[2:]...)
	if err != nil {
		return fmt.Errorf("start %s: %w", args[1], err)
	}
	err = ask(ctx, server, calls, out)
	return errors.Join(err, server.Close())
}

func ask(ctx context.Context, server *client.Client, calls []call, out io.Writer) error {
	hello, err := server.Initialize(ctx, mcp.InitializeRequest{Params: mcp.InitializeParams{
		ProtocolVersion: mcp.LATEST_PROTOCOL_VERSION,
		ClientInfo:      mcp.Implementation{Name: "mcpclient", Version: "1"},
	}})
	if err != nil {
		return fmt.Errorf("initialize: %w", err)
	}
	listed, err := server.ListTools(ctx, mcp.ListToolsRequest{})
	if err != nil {
		return fmt.Errorf("tools/list: %w", err)
	}
	names := make([]string, 0, len(listed.Tools))
	for _, tool := range listed.Tools {
		names = append(names, tool.Name)
	}
	fmt.Fprintf(out, "server   %s, MCP %s\n", hello.ServerInfo.Name, hello.ProtocolVersion)
	fmt.Fprintf(out, "tools    %s\n", strings.Join(names, ", "))
	said := answer{}
	for _, c := range calls {
		arguments := strings.NewReplacer("$planId", said.PlanID, "$previewId", said.PreviewID, "$jobId", said.JobID).Replace(c.arguments)
		fmt.Fprintf(out, "\ncall     %s %s\n", c.tool, arguments)
		result, err := server.CallTool(ctx, mcp.CallToolRequest{Params: mcp.CallToolParams{Name: c.tool, RawArguments: json.RawMessage(arguments)}})
		if err != nil {
			return fmt.Errorf("tools/call: %w", err)
		}
		for _, content := range result.Content {
			if text, ok := content.(mcp.TextContent); ok {
				fmt.Fprintf(out, "\nWhat the model reads:\n%s\n", indent(text.Text))
			}
		}
		if result.IsError {
			return fmt.Errorf("%s answered with an error", c.tool)
		}
		got := answer{}
		if err := json.Unmarshal(result.RawStructuredContent, &got); err != nil {
			return fmt.Errorf("structuredContent: %w", err)
		}
		got.show(out)
		said.PlanID, said.PreviewID, said.JobID = cmp.Or(got.PlanID, said.PlanID), cmp.Or(got.PreviewID, said.PreviewID), cmp.Or(got.JobID, said.JobID)
	}
	return nil
}

// answer has the fields of answers that are shown here; schemas/tools has the
// whole schemas.
type answer struct {
	PlanID, PreviewID, JobID string
	Services                 services
	Result                   struct{ Services services } // of a job
}

type services []struct {
	Name, Decision, Action, Status string
	Reasons                        []struct{ Kind, Path, Status string }
	Artifact                       struct{ Digest string }
}

// UnmarshalJSON skips the services of a job, which are names.
func (s *services) UnmarshalJSON(raw []byte) error {
	type plain services
	*s = nil
	if json.Unmarshal(raw, (*plain)(s)) != nil {
		*s = nil
	}
	return nil
}

func (a answer) show(out io.Writer) {
	fmt.Fprintf(out, "\nWhat a program reads, some of it:\n")
	for _, id := range []struct{ name, value string }{{"planId", a.PlanID}, {"previewId", a.PreviewID}, {"jobId", a.JobID}} {
		if id.value != "" {
			fmt.Fprintf(out, "  %-9s %s\n", id.name, id.value)
		}
	}
	for i, s := range append(a.Services, a.Result.Services...) {
		fmt.Fprintf(out, "  services[%d] %s: %s", i, s.Name, strings.Join(strings.Fields(s.Decision+" "+s.Action+" "+s.Status+" "+s.Artifact.Digest), " "))
		for _, reason := range s.Reasons {
			fmt.Fprintf(out, " (%s)", strings.TrimSpace(reason.Kind+" "+reason.Status+" "+reason.Path))
		}
		fmt.Fprintln(out)
	}
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ")
}
