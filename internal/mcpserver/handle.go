package mcpserver

import (
	"context"
	"errors"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"homelab/tools"
)

// FailureKey is the key of a [tools.Failure] in the _meta of a failed result.
const FailureKey = "homelab/failure"

// handle makes calls of the tool. It never returns an error, since that would
// be a failure of the protocol, which clients hide from the model.
func (s *Server) handle(tool tools.Tool) server.ToolHandlerFunc {
	return func(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		result, err := tool.Call(ctx, request.Params.RawArguments, report(ctx, request))
		if err != nil {
			return s.failed(tool.Name, err), nil
		}
		value, err := result.JSON()
		if err != nil {
			return s.failed(tool.Name, err), nil
		}
		return &mcp.CallToolResult{
			Content:              []mcp.Content{mcp.NewTextContent(result.Text)},
			RawStructuredContent: value,
		}, nil
	}
}

func (s *Server) failed(name string, err error) *mcp.CallToolResult {
	if crash := (*tools.Panic)(nil); errors.As(err, &crash) {
		s.log.Printf("%s panicked: %v\n%s", name, crash.Value, crash.Stack)
	}
	failure := tools.FailureOf(err)
	result := &mcp.CallToolResult{
		Content: []mcp.Content{mcp.NewTextContent(failure.Text())},
		IsError: true,
	}
	result.Meta = mcp.NewMetaFromMap(map[string]any{FailureKey: failure})
	return result
}

// report passes progress on to a client that asked for it, nil otherwise.
func report(ctx context.Context, request mcp.CallToolRequest) tools.Report {
	client, ok := ctx.Value(stdioKey{}).(*stdio)
	meta := request.Params.Meta
	if !ok || meta == nil || meta.ProgressToken == nil {
		return nil
	}
	return func(p tools.Progress) {
		// Progress is a courtesy: the call goes on when nobody takes it.
		_ = client.progress(mcp.ProgressNotificationParams{
			ProgressToken: meta.ProgressToken, Progress: float64(p.Done), Total: float64(p.Total), Message: p.Message,
		})
	}
}
