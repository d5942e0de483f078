package mcpserver

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

const (
	// workers is how many calls are made at once; the SDK's own 5 would let a
	// few slow ones hold up the rest.
	workers = 32
	// drainFor is how long calls that were read may take to finish after the
	// input has ended.
	drainFor = 30 * time.Second
	// maxMessage is the length in bytes of the longest line that is read.
	maxMessage = 16 << 20
)

// ServeStdio speaks JSON-RPC, one message a line, until in ends, and then
// until the calls that were read are answered; or until ctx ends. Nothing else
// is written to out.
func (s *Server) ServeStdio(ctx context.Context, in io.Reader, out io.Writer) error {
	client := &stdio{ctx: ctx, in: bufio.NewReader(in), out: out, calls: map[string]bool{}, grace: drainFor}
	transport := server.NewStdioServer(s.mcp)
	for _, option := range []server.StdioOption{
		server.WithErrorLogger(s.log),
		server.WithWorkerPoolSize(workers),
		server.WithStdioContextFunc(func(ctx context.Context) context.Context {
			return context.WithValue(ctx, stdioKey{}, client)
		}),
	} {
		option(transport)
	}
	err := transport.Listen(ctx, client, client)
	if errors.Is(err, context.Canceled) {
		return nil // asked to stop: that is how a server ends well
	}
	return err
}

type stdioKey struct{}

// stdio is the client at the other end of the two streams. It does what the
// SDK's transport does not: it holds back the end of the input until every
// call is answered, so that `homelab mcp <requests` answers them all, it writes
// progress in order with the results, and it keeps ids as they are.
type stdio struct {
	ctx   context.Context
	in    *bufio.Reader
	rest  []byte // of a line that was only partly handed on
	grace time.Duration

	mu    sync.Mutex // one line at a time
	out   io.Writer
	calls map[string]bool // calls without an answer, by id
	idle  chan struct{}   // made when the input has ended, closed when calls is empty
}

// message is what tells calls, answers and notifications apart.
type message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

// key tells ids apart, however they are spelled; "" is none.
func (m message) key() string {
	var id any
	if json.Unmarshal(m.ID, &id) != nil || id == nil {
		return ""
	}
	return fmt.Sprintf("%T %v", id, id)
}

// Read hands on the input line by line.
func (c *stdio) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		line, tooLong, err := c.line()
		switch {
		case tooLong:
			// Nobody knows its id, which was not kept.
			refusal := mcp.NewJSONRPCError(mcp.NewRequestId(nil), mcp.INVALID_REQUEST, fmt.Sprintf("the message has more than %d bytes", maxMessage), nil)
			if err := c.send(refusal); err != nil {
				return 0, err
			}
			continue
		case len(line) == 0:
			if errors.Is(err, io.EOF) {
				c.drain()
			}
			return 0, err
		}
		if line[len(line)-1] != '\n' {
			line = append(line, '\n') // the SDK drops a last line without one
		}
		c.rest = c.received(line)
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// line reads one line to its end. Of one that is too long nothing is kept.
func (c *stdio) line() (line []byte, tooLong bool, err error) {
	for {
		piece, err := c.in.ReadSlice('\n')
		if tooLong = tooLong || len(line)+len(piece) > maxMessage; tooLong {
			line = nil
		} else {
			line = append(line, piece...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, tooLong, err
		}
	}
}

// received notes a call, and returns the line as the SDK gets it.
func (c *stdio) received(line []byte) []byte {
	var m message
	if json.Unmarshal(line, &m) != nil {
		return line
	}
	line = m.markNumbers(line)
	if key := m.key(); key != "" && m.Method == string(mcp.MethodToolsCall) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.calls[key] = true
	}
	return line
}

// Write sends one line, which the SDK writes in one piece.
func (c *stdio) Write(line []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var m message
	isAnswer := json.Unmarshal(line, &m) == nil && m.Method == ""
	n, err := c.out.Write(m.asAsked(line))
	if n = min(n, len(line)); err == nil {
		n = len(line) // of what was handed over
	}
	if isAnswer {
		delete(c.calls, m.key())
	}
	if len(c.calls) == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
	return n, err
}

// progress tells the client how far a call has come.
func (c *stdio) progress(params mcp.ProgressNotificationParams) error {
	if token, ok := params.ProgressToken.(string); ok {
		if number, was := unmarked(token); was {
			params.ProgressToken = number
		}
	}
	return c.send(struct {
		JSONRPC string                         `json:"jsonrpc"`
		Method  mcp.MCPMethod                  `json:"method"`
		Params  mcp.ProgressNotificationParams `json:"params"`
	}{mcp.JSONRPC_VERSION, mcp.MethodNotificationProgress, params})
}

// send writes a message of our own.
func (c *stdio) send(message any) error {
	line, err := json.Marshal(message)
	if err != nil {
		return err
	}
	_, err = c.Write(append(line, '\n'))
	return err
}

// drain waits until every call is answered.
func (c *stdio) drain() {
	c.mu.Lock()
	if len(c.calls) == 0 {
		c.mu.Unlock()
		return
	}
	idle := make(chan struct{})
	c.idle = idle
	c.mu.Unlock()

	late := time.NewTimer(c.grace)
	defer late.Stop()
	select {
	case <-idle:
	case <-late.C:
	case <-c.ctx.Done():
	}
}
