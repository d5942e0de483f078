package docker

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"

	"github.com/docker/docker/pkg/stdcopy"

	"homelab/internal/fault"
)

// attach connects to the standard input and output of a container. The connection
// changes protocols, so that it stays open both ways: with the HTTP client that knows
// the way, as in [Engine.follow]. It is the caller's to close; ctx is only for the
// asking.
func (e *Engine) attach(ctx context.Context, doing, id string) (*attachment, error) {
	base, way := e.host.HTTP()
	url := fmt.Sprintf("%s/v%s/containers/%s/attach?stream=1&stdin=1&stdout=1&stderr=1", base, e.api.ClientVersion(), id)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "tcp")
	response, err := way.Do(request)
	if err != nil {
		return nil, e.host.Explain(ctx, err)
	}
	conn, both := response.Body.(io.ReadWriteCloser)
	if response.StatusCode != http.StatusSwitchingProtocols || !both {
		defer response.Body.Close()
		return nil, e.refusal(doing, refusedWith(response))
	}
	const frames = 64 << 10
	return &attachment{conn: conn, from: bufio.NewReaderSize(conn, frames), said: tail{most: maxPrinted}}, nil
}

// attachment is the standard input and output of a container. What it says on standard
// error becomes the error at the end of its output.
type attachment struct {
	conn io.ReadWriteCloser
	from *bufio.Reader
	kind stdcopy.StdType // of the frame that is being read
	left int64           // bytes of it
	said tail
}

func (a *attachment) Write(p []byte) (int, error) { return a.conn.Write(p) }
func (a *attachment) Close() error                { return a.conn.Close() }

func (a *attachment) Read(p []byte) (int, error) {
	for a.left == 0 || a.kind != stdcopy.Stdout {
		if _, err := io.CopyN(&a.said, a.from, a.left); err != nil {
			return 0, a.over(err)
		}
		// See https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerAttach
		var start [8]byte
		if _, err := io.ReadFull(a.from, start[:]); err != nil {
			return 0, a.over(err)
		}
		a.kind, a.left = stdcopy.StdType(start[0]), int64(binary.BigEndian.Uint32(start[4:]))
	}
	n, err := a.from.Read(p[:min(int64(len(p)), a.left)])
	a.left -= int64(n)
	if err != nil {
		return n, a.over(err)
	}
	return n, nil
}

// over is the end of the output, or why it ended.
func (a *attachment) over(err error) error {
	if err == io.EOF && len(a.said.bytes) > 0 {
		return fault.Newf(fault.Precondition, "see the log of the engine", "the container ended: %s", a.said.bytes)
	}
	return err
}
