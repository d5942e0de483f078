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
func (e *Engine) Load(ctx context.Context, archive io.Reader) error {
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
		broken, unpacks := strings.CutPrefix(line, "Error unpacking image ")
		switch {
		case err == nil && unpacks: // all that containerd's store says; the name leads to what it could not unpack
			broken, _, _ = strings.Cut(broken, ": ")
			_, err := e.Untag(ctx, broken)
			return errors.Join(e.refusal(doing, errors.New(line)), err)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return e.explain(ctx, doing, err)
		case said.Error != "":
			return e.refusal(doing, errors.New(said.Error))
		}
	}
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
