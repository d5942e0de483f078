package docker

import (
	"context"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/volume"

	"homelab/internal/deploy"
)

// volumesThere sees to the volumes of a spec, when all of those that there are may be
// mounted: those that there are not are made, with our label.
func (e *Engine) volumesThere(ctx context.Context, spec deploy.Spec) error {
	missing, err := e.volumesMissing(ctx, spec)
	if err != nil {
		return err
	}
	for _, name := range missing {
		_, err := e.api.VolumeCreate(ctx, volume.CreateOptions{Name: name, Labels: map[string]string{deploy.LabelService: spec.Service}})
		if err != nil {
			return e.explain(ctx, "docker volume create", err)
		}
	}
	return nil
}

// volumesMissing are the volumes of a spec that there are not. One that there is and may
// not be mounted is an error.
func (e *Engine) volumesMissing(ctx context.Context, spec deploy.Spec) (missing []string, err error) {
	for _, m := range spec.Mounts {
		if m.Volume == "" {
			continue
		}
		v, err := e.api.VolumeInspect(ctx, m.Volume)
		if errdefs.IsNotFound(err) {
			missing = append(missing, m.Volume)
			continue
		}
		if err != nil {
			return nil, e.explain(ctx, "docker volume inspect", err)
		}
		if err := (deploy.Volume{Name: v.Name, Driver: v.Driver, Options: v.Options}).Safe(spec.Service); err != nil {
			return nil, err
		}
	}
	return missing, nil
}
