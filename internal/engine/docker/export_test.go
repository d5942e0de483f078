package docker

import (
	"context"
	"io"
	"time"

	"github.com/docker/docker/api/types/container"

	"homelab/internal/sidecar"
	"homelab/internal/state"
	"homelab/registry"
)

// Aside is a site that reads nothing in this process.
func (e *Engine) Aside(folders []string) state.FillableSite {
	return &site{engine: e, folders: folders, far: true}
}

// Sweep removes what a crash has left, however young it is.
func (e *Engine) Sweep(ctx context.Context) error { return e.sweep(ctx, -time.Minute) }

// Confined is what a sidecar may do that reads.
func Confined(item registry.StateItem) *container.HostConfig {
	return stateOf(item, sidecar.Order{}).confined()
}

// Swapping is what a sidecar may do that swaps a volume.
func Swapping(volume string) *container.HostConfig {
	return errand{at: volumeAt(volume, true), may: maySwap}.confined()
}

// Afar is a place that nothing of is on this machine.
func (e *Engine) Afar(folders []string, work string) state.Place {
	return &place{site: &site{engine: e, folders: folders, far: true}, work: work}
}

// OnHost is a place whose process has the paths of the engine's host.
func (e *Engine) OnHost(ctx context.Context, work string) (state.Place, error) {
	found, err := e.whatIsHere(ctx)
	found.paths = true
	return &place{site: &site{engine: e, asked: true, here: found}, work: work}, err
}

// SecretsOf is what is veiled of a container.
func SecretsOf(env []string, names string) []string {
	all := []string{}
	for _, secret := range secretsOf(&container.Config{Env: env, Labels: map[string]string{"homelab.envFiles": names}}) {
		all = append(all, string(secret))
	}
	return all
}

// CopyLogs copies what an engine sends, without secrets.
func CopyLogs(to io.Writer, from io.Reader, stamped bool, secrets ...string) error {
	all := [][]byte{}
	for _, secret := range secrets {
		all = append(all, []byte(secret))
	}
	return (&printed{to: to, stamped: stamped}).copy(from, all)
}
