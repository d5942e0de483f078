package mcpserver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/doctor"
	"homelab/internal/mcpserver"
	"homelab/internal/plan"
	"homelab/tools"
	"homelab/tools/toolstest"
)

// The input may end right after the last request, with or without a newline.
func TestEveryCallThatWasReadIsAnswered(t *testing.T) {
	core := toolstest.Core()
	const calls = 100
	started := make(chan struct{}, calls)
	core.List = func(context.Context, plan.ListRequest) (*plan.Listing, error) {
		started <- struct{}{}
		return toolstest.Listing(), nil
	}
	server, err := mcpserver.New(tools.Catalog(core), "test", t.Output())
	require.NoError(t, err)

	var in strings.Builder
	for id := range calls {
		fmt.Fprintf(&in, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"tools/call\",\"params\":{\"name\":\"registry_list\"}}\n", id)
	}
	var out bytes.Buffer
	require.NoError(t, server.ServeStdio(t.Context(), strings.NewReader(strings.TrimSuffix(in.String(), "\n")), &out))

	answered := map[string]bool{}
	for line := range strings.Lines(out.String()) {
		var a answer
		require.NoError(t, json.Unmarshal([]byte(line), &a), line)
		require.Contains(t, string(a.Result), "home-assistant")
		answered[string(a.ID)] = true
	}
	assert.Len(t, answered, calls)
	assert.Len(t, started, calls)
}

func TestServerThatIsAskedToStopStopsAtOnce(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	core := toolstest.Core()
	canceled := make(chan struct{})
	core.Doctor = func(ctx context.Context, _ func(doctor.Check)) (*doctor.Report, error) {
		cancel()
		<-ctx.Done()
		close(canceled)
		return nil, ctx.Err()
	}
	server, err := mcpserver.New(tools.Catalog(core), "test", t.Output())
	require.NoError(t, err)
	in, client := io.Pipe()
	defer client.Close()
	served := make(chan error)
	go func() { served <- server.ServeStdio(ctx, in, io.Discard) }()
	_, err = io.WriteString(client, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"doctor"}}`+"\n")
	require.NoError(t, err)
	assert.NoError(t, <-served, "asked to stop is not a failure")
	<-canceled
}

func TestUnreadableInputIsAnError(t *testing.T) {
	broken := errors.New("the pipe broke")
	err := newServer(t).ServeStdio(t.Context(), io.MultiReader(strings.NewReader("{}\n"), errorReader{broken}), io.Discard)
	assert.ErrorIs(t, err, broken)
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }

func TestGarbageIsAnsweredAndSurvived(t *testing.T) {
	client := connect(t, newServer(t))
	client.send(`this is not JSON`)
	assert.Contains(t, string(client.next().Error), "-32700")
	assert.False(t, client.call("registry_list", `{}`).IsError)
}

// A line that is too long is neither kept nor the end of the session.
func TestEndlessLineIsAnsweredAndSurvived(t *testing.T) {
	const most = 16 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	ping := `{"jsonrpc":"2.0","id":7,"method":"ping"}`
	var out bytes.Buffer
	require.NoError(t, newServer(t).ServeStdio(t.Context(), io.MultiReader(
		io.LimitReader(endless('x'), 20*most), strings.NewReader("\n"+ping+"\n"+ping+strings.Repeat(" ", most)),
	), &out))
	runtime.ReadMemStats(&after)
	const refusal = `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"the message has more than 16777216 bytes"}}`
	assert.Equal(t, refusal+"\n"+`{"jsonrpc":"2.0","id":7,"result":{}}`+"\n"+refusal+"\n", out.String())
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(20*most), "bytes allocated")

	out.Reset()
	line := ping + strings.Repeat(" ", most-len(ping)-1) + "\n"
	require.NoError(t, newServer(t).ServeStdio(t.Context(), strings.NewReader(line), &out))
	assert.Contains(t, out.String(), `"result":{}`, "the longest message")
}

// endless is a reader of one byte, again and again.
type endless byte

func (b endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}

func TestThirtyCallsRunSideBySide(t *testing.T) {
	const side = 30
	core := toolstest.Core()
	arrived, leave := make(chan struct{}, side), make(chan struct{})
	core.Check = func(context.Context, plan.CheckRequest) (*plan.Check, error) {
		arrived <- struct{}{}
		<-leave
		return toolstest.Check(), nil
	}
	server, err := mcpserver.New(tools.Catalog(core), "test", t.Output())
	require.NoError(t, err)
	client := connect(t, server)
	for id := range side {
		client.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"registry_check"}}`, id))
	}
	for range side {
		<-arrived
	}
	close(leave)
	for range side {
		client.next()
	}
}
