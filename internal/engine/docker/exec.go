package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/docker/docker/pkg/stdcopy"
)

// maxPrinted is how many bytes are kept of what a command prints.
const maxPrinted = 4 << 10

// Exec is part of [deploy.Containers]. A command that cannot be started has the
// exit status 126 or 127, as in a shell. When ctx is over, nobody waits for the
// command any more; an engine has no way to end it.
func (e *Engine) Exec(ctx context.Context, id string, command []string) (int, string, error) {
	return e.ExecAs(ctx, id, command, func(string) error { return nil })
}

// follow starts a command, and reads what it prints to its end. The API client
// would make a connection of its own for it, which knows neither sockets nor ssh
// as it is set up here; without being asked to change protocols, an engine sends
// the output as a plain answer.
func (e *Engine) follow(ctx context.Context, doing, id string) (string, error) {
	base, way := e.host.HTTP()
	url := fmt.Sprintf("%s/v%s/exec/%s/start", base, e.api.ClientVersion(), id)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(`{"Detach":false,"Tty":false}`))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := way.Do(request)
	if err != nil {
		return "", e.host.Explain(ctx, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", e.refusal(doing, refusedWith(response))
	}
	kept := &tail{most: maxPrinted}
	if _, err := stdcopy.StdCopy(kept, kept, response.Body); err != nil {
		return "", e.host.Explain(ctx, err)
	}
	return string(kept.bytes), nil
}

// refusedWith is what an engine says with another status than 200.
func refusedWith(response *http.Response) error {
	const most = 1 << 20
	var said struct{ Message string }
	if err := json.NewDecoder(io.LimitReader(response.Body, most)).Decode(&said); err != nil || said.Message == "" {
		return errors.New(response.Status)
	}
	return errors.New(said.Message)
}

// exit is the exit status of a command whose output is over. The engine may take a
// moment to notice its end.
func (e *Engine) exit(ctx context.Context, doing, id string) (int, error) {
	const pause = 10 * time.Millisecond
	for {
		state, err := e.api.ContainerExecInspect(ctx, id)
		if err != nil {
			return 0, e.explain(ctx, doing, err)
		}
		if !state.Running {
			return state.ExitCode, nil
		}
		select {
		case <-ctx.Done():
			return 0, e.host.Explain(ctx, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// tail keeps the last most bytes.
type tail struct {
	bytes []byte
	most  int
}

func (t *tail) Write(p []byte) (int, error) {
	t.bytes = append(t.bytes, p...)
	if over := len(t.bytes) - t.most; over > 0 {
		t.bytes = append(t.bytes[:0], t.bytes[over:]...)
	}
	return len(p), nil
}
