// Mcpclient asks homelab a question the way an agent does: it starts the
// server, learns which tools there are, and calls plan.
//
//	mcpclient '{"base":"main","mergeBase":true}' homelab mcp --repo ~/homelab
package main

import (
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

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) < 2 {
		return errors.New("usage: mcpclient ARGUMENTS-OF-PLAN SERVER [ARGUMENT…]")
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	server, err := client.NewStdioMCPClient(args[1], nil, args[2:]...)
	if err != nil {
		return fmt.Errorf("start %s: %w", args[1], err)
	}
	err = ask(ctx, server, json.RawMessage(args[0]), out)
	return errors.Join(err, server.Close())
}

func ask(ctx context.Context, server *client.Client, arguments json.RawMessage, out io.Writer) error {
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
	fmt.Fprintf(out, "call     plan %s\n", arguments)

	answer, err := server.CallTool(ctx, mcp.CallToolRequest{Params: mcp.CallToolParams{Name: "plan", RawArguments: arguments}})
	if err != nil {
		return fmt.Errorf("tools/call: %w", err)
	}
	for _, content := range answer.Content {
		if text, ok := content.(mcp.TextContent); ok {
			fmt.Fprintf(out, "\nWhat the model reads:\n%s\n", indent(text.Text))
		}
	}
	if answer.IsError {
		return errors.New("plan answered with an error")
	}
	return show(answer.RawStructuredContent, out)
}

// plan has the fields of the answer that are shown here; schemas/tools has the
// whole schema.
type plan struct {
	PlanID   string
	Services []struct {
		Name, Decision string
		Reasons        []struct{ Kind, Path, Status string }
	}
}

func show(structured json.RawMessage, out io.Writer) error {
	var p plan
	if err := json.Unmarshal(structured, &p); err != nil {
		return fmt.Errorf("structuredContent: %w", err)
	}
	fmt.Fprintf(out, "\nWhat a program reads, some of it:\n  planId    %s\n", p.PlanID)
	for i, service := range p.Services {
		fmt.Fprintf(out, "  services[%d] %s: %s", i, service.Name, service.Decision)
		for _, reason := range service.Reasons {
			fmt.Fprintf(out, " (%s)", strings.TrimSpace(reason.Kind+" "+reason.Status+" "+reason.Path))
		}
		fmt.Fprintln(out)
	}
	return nil
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ")
}
