// Package mcpserver is the MCP face: it shows every tool of the catalogue to
// MCP clients. It is the only importer of mcp-go.
//
// A failing tool answers with isError and the text "code: message" and "hint:
// …". The same as {code, message, hint, retryable} stands in the result's
// _meta under [FailureKey], not in structuredContent: the tools declare output
// schemas, and the TypeScript SDK (1.32) holds structuredContent against them
// also when isError is set, so that its callers would read of a schema
// violation instead of the hint.
package mcpserver

import (
	"fmt"
	"io"
	"log"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"homelab/schemas"
	"homelab/tools"
)

const instructions = `homelab knows the services of one repository: what builds them, what touches them, where they run.
The loop: registry_check after editing the registry; plan says which services a change touches and why; deploy previews what would happen to them and, with confirm, builds, loads and runs them; status and logs say how they do; rollback goes back. build, docker_load and docker_run are its parts. What takes long runs in the background: job_get follows it. registry_list gives the names that other tools take; doctor says what is missing on this machine.
A tool that takes something away previews first: show that to the user before you confirm. Which repository and registry: set when the server started; no tool takes a path. An error has a code and a hint: follow the hint.`

// Server offers a catalogue to MCP clients.
type Server struct {
	mcp     *server.MCPServer
	version string
	log     *log.Logger
}

// New returns a server that offers the catalogue and logs to logTo. Nothing is
// opened: tools can be listed where none of them could work.
func New(catalog []tools.Tool, version string, logTo io.Writer) (*Server, error) {
	s := &Server{
		version: version,
		mcp: server.NewMCPServer("homelab", version,
			server.WithTitle("homelab"),
			server.WithToolCapabilities(false),
			server.WithInstructions(instructions)),
		log: log.New(logTo, "homelab mcp: ", log.LstdFlags|log.LUTC),
	}
	for _, tool := range catalog {
		offered, err := offer(tool)
		if err != nil {
			return nil, err
		}
		s.mcp.AddTool(offered, s.handle(tool))
	}
	return s, nil
}

// offer is the tool as clients see it. It is a literal: the SDK's constructor
// adds a schema of its own beside the raw one, and its defaults call every
// tool destructive.
func offer(tool tools.Tool) (mcp.Tool, error) {
	input, output := schemas.Input(tool.Name), schemas.Output(tool.Name)
	if input == nil || output == nil {
		return mcp.Tool{}, fmt.Errorf("the tool %s has no generated schema: run make schemas", tool.Name)
	}
	return mcp.Tool{
		Name:            tool.Name,
		Title:           tool.Title,
		Description:     tool.Description + " " + tool.Guidance,
		RawInputSchema:  input,
		RawOutputSchema: output,
		Annotations: mcp.ToolAnnotation{
			Title:           tool.Title, // read by clients from before 2025-06-18
			ReadOnlyHint:    &tool.Annotations.ReadOnly,
			DestructiveHint: &tool.Annotations.Destructive,
			IdempotentHint:  &tool.Annotations.Idempotent,
			OpenWorldHint:   &tool.Annotations.OpenWorld,
		},
	}, nil
}
