// Emptyserver is the smallest MCP server that mcp-go can make: what `homelab
// mcp` is compared with.
package main

import (
	"fmt"
	"os"

	"github.com/mark3labs/mcp-go/server"
)

func main() {
	if err := server.ServeStdio(server.NewMCPServer("empty", "0")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
