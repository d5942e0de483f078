package docker

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync/atomic"

	"github.com/docker/docker/client"
)

// Load is part of [deploy.Engine]. The API answers 200 before it has looked at
// the archive, and tells what came of it in a stream of JSON.
func (e *Engine) Load(ctx context.Context, archive io.Reader, names ...string) error {
	const doing = "docker load"
	// An archive that cannot be read to its end looks like a connection that broke.
	source := &watched{from: archive}
	response, err := e.api.ImageLoad(ctx, source, client.ImageLoadWithQuiet(true))
	if err != nil {
		if failed := source.failure.Load(); failed != nil {
			return *failed
		}
		return e.explain(ctx, doing, err)
	}
	defer response.Body.Close()
	decoder := json.NewDecoder(response.Body)
	for {
		var said struct{ Error, Stream string }
		err := decoder.Decode(&said)
		line, _, _ := strings.Cut(said.Stream, "\n")
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return e.explain(ctx, doing, err)
		case strings.HasPrefix(line, "Error unpacking image "): // and goes on, as Docker 28 does
			return e.notUnpacked(ctx, e.refusal(doing, errors.New(line)), names)
		case strings.HasPrefix(said.Error, "failed to unpack loaded image"): // Docker 26 does so
			return e.notUnpacked(ctx, e.refusal(doing, errors.New(said.Error)), names)
		case said.Error != "":
			return e.refusal(doing, errors.New(said.Error))
		}
	}
}

// notUnpacked takes the names away that the store of containerd has given to what it
// could not unpack.
func (e *Engine) notUnpacked(ctx context.Context, refusal error, names []string) error {
	for _, name := range names {
		_, err := e.Untag(ctx, name)
		refusal = errors.Join(refusal, err)
	}
	return refusal
}

// watched remembers why a reader failed.
type watched struct {
	from    io.Reader
	failure atomic.Pointer[error]
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		w.failure.Store(&err)
	}
	return n, err
}
