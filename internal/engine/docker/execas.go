package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/docker/docker/api/types/container"

	"homelab/internal/deploy"
)

// ExecAs is part of [deploy.Containers].
func (e *Engine) ExecAs(ctx context.Context, id string, command []string, told func(exec string) error) (int, string, error) {
	const doing = "docker exec"
	c, err := e.own(ctx, doing, id)
	if err != nil {
		return 0, "", err
	}
	made, err := e.api.ContainerExecCreate(ctx, c.ID, container.ExecOptions{AttachStdout: true, AttachStderr: true, Cmd: command})
	if err != nil {
		return 0, "", e.trouble(ctx, doing, c, err)
	}
	if err := told(made.ID); err != nil {
		return 0, "", err
	}
	printed, err := e.follow(ctx, doing, made.ID)
	if err != nil {
		return 0, "", err
	}
	exit, err := e.exit(ctx, doing, made.ID)
	return exit, printed, err
}

// ExecState is part of [deploy.Containers]. The API client takes a command that has
// not begun for one that ended with 0: the engine tells them apart by the status.
func (e *Engine) ExecState(ctx context.Context, exec string) (deploy.ExecState, error) {
	base, way := e.host.HTTP()
	url := fmt.Sprintf("%s/v%s/exec/%s/json", base, e.api.ClientVersion(), exec)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := way.Do(request)
	if err != nil {
		return "", e.host.Explain(ctx, err)
	}
	defer response.Body.Close()
	var said struct {
		Running  bool
		ExitCode *int
	}
	switch {
	case response.StatusCode == http.StatusNotFound:
		return deploy.ExecOver, nil
	case response.StatusCode != http.StatusOK:
		return "", e.refusal("docker exec", refusedWith(response))
	}
	if err := json.NewDecoder(response.Body).Decode(&said); err != nil {
		return "", e.host.Explain(ctx, err)
	}
	switch {
	case said.Running:
		return deploy.ExecRuns, nil
	case said.ExitCode == nil:
		return deploy.ExecReady, nil
	}
	return deploy.ExecOver, nil
}
