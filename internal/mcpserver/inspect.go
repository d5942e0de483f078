package mcpserver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/mark3labs/mcp-go/mcp"
)

// Inspection is what a client learns when it connects, and what that costs.
type Inspection struct {
	Server          mcp.Implementation `json:"server"`
	ProtocolVersion string             `json:"protocolVersion"`       // agreed upon by initialize
	LatestVersion   string             `json:"latestProtocolVersion"` // spoken without initialize
	Instructions    string             `json:"instructions"`
	Tools           []InspectedTool    `json:"tools"`
	Tokens          Tokens             `json:"tokens"`
}

// InspectedTool is one entry of tools/list, byte for byte, and its cost.
type InspectedTool struct {
	Tool   json.RawMessage `json:"tool"`
	Tokens Tokens          `json:"tokens"`
}

// Tokens estimates what text costs a model, at four bytes a token.
type Tokens struct {
	Prompt int `json:"prompt"` // name, description, input schema: what clients show the model
	Wire   int `json:"wire"`   // the whole entry, with title, annotations and output schema
}

// entry is what the estimate and the table need of a tool.
type entry struct {
	Name        string          `json:"name"`
	Title       string          `json:"title"`
	Description string          `json:"description"`
	InputSchema json.RawMessage `json:"inputSchema"`
	Annotations struct {
		ReadOnly    *bool `json:"readOnlyHint"`
		Destructive *bool `json:"destructiveHint"`
		Idempotent  *bool `json:"idempotentHint"`
		OpenWorld   *bool `json:"openWorldHint"`
	} `json:"annotations"`
}

// Inspect connects to the server as a client does and lists its tools.
func (s *Server) Inspect(ctx context.Context) (*Inspection, error) {
	var hello mcp.InitializeResult
	if err := s.ask(ctx, mcp.MethodInitialize, mcp.InitializeParams{
		ProtocolVersion: mcp.LATEST_LEGACY_PROTOCOL_VERSION,
		ClientInfo:      mcp.Implementation{Name: "homelab inspect", Version: s.version},
	}, &hello); err != nil {
		return nil, err
	}
	var list struct {
		Tools []json.RawMessage `json:"tools"`
	}
	if err := s.ask(ctx, mcp.MethodToolsList, struct{}{}, &list); err != nil {
		return nil, err
	}
	seen := &Inspection{
		Server: hello.ServerInfo, ProtocolVersion: hello.ProtocolVersion, LatestVersion: mcp.LATEST_PROTOCOL_VERSION, Instructions: hello.Instructions,
		Tools: make([]InspectedTool, 0, len(list.Tools)),
	}
	for _, raw := range list.Tools {
		var tool entry
		if err := json.Unmarshal(raw, &tool); err != nil {
			return nil, fmt.Errorf("read tools/list: %w", err)
		}
		cost := Tokens{Prompt: (len(tool.Name) + len(tool.Description) + len(tool.InputSchema)) / 4, Wire: len(raw) / 4}
		seen.Tools = append(seen.Tools, InspectedTool{Tool: raw, Tokens: cost})
		seen.Tokens.Prompt += cost.Prompt
		seen.Tokens.Wire += cost.Wire
	}
	return seen, nil
}

// ask sends one request through the protocol, in process.
func (s *Server) ask(ctx context.Context, method mcp.MCPMethod, params, into any) error {
	request, err := json.Marshal(struct {
		JSONRPC string        `json:"jsonrpc"`
		ID      int           `json:"id"`
		Method  mcp.MCPMethod `json:"method"`
		Params  any           `json:"params"`
	}{mcp.JSONRPC_VERSION, 1, method, params})
	if err != nil {
		return err
	}
	answer, err := json.Marshal(s.mcp.HandleMessage(ctx, request))
	if err != nil {
		return err
	}
	var response struct {
		Result json.RawMessage `json:"result"`
		Error  json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(answer, &response); err != nil {
		return err
	}
	if response.Error != nil {
		return fmt.Errorf("%s: %s", method, response.Error)
	}
	return json.Unmarshal(response.Result, into)
}

// Text is the inspection for people: a table of the tools, then each in full.
func (i *Inspection) Text() (string, error) {
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s %s, MCP %s, without initialize up to %s\n\n%s\n\n", i.Server.Name, i.Server.Version, i.ProtocolVersion, i.LatestVersion, i.Instructions)
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TOOL\tANNOTATIONS\tPROMPT TOKENS\tWIRE TOKENS\t")
	entries := make([]entry, len(i.Tools))
	for n, tool := range i.Tools {
		if err := json.Unmarshal(tool.Tool, &entries[n]); err != nil {
			return "", err
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t\n", entries[n].Name, entries[n].traits(), tool.Tokens.Prompt, tool.Tokens.Wire)
	}
	fmt.Fprintf(table, "total\t\t%d\t%d\t\n", i.Tokens.Prompt, i.Tokens.Wire)
	if err := table.Flush(); err != nil {
		return "", err
	}
	for n, tool := range entries {
		fmt.Fprintf(&text, "\n%s: %s\n%s\n", tool.Name, tool.Title, tool.Description)
		if err := json.Indent(&text, i.Tools[n].Tool, "", "  "); err != nil {
			return "", err
		}
		text.WriteByte('\n')
	}
	return text.String(), nil
}

func (e entry) traits() string {
	traits := []string{}
	for _, hint := range []struct {
		set     *bool
		yes, no string
	}{
		{e.Annotations.ReadOnly, "read-only", "writes"},
		{e.Annotations.Destructive, "destructive", ""},
		{e.Annotations.Idempotent, "idempotent", ""},
		{e.Annotations.OpenWorld, "open-world", ""},
	} {
		word := hint.no
		if hint.set == nil {
			word = "unset"
		} else if *hint.set {
			word = hint.yes
		}
		if word != "" {
			traits = append(traits, word)
		}
	}
	return strings.Join(traits, ", ")
}
