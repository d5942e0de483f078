package deploy_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
)

// The engine in memory behaves as real ones do.
func TestMemoryContainers(t *testing.T) {
	m := &deploytest.Memory{}
	deploytest.RunContainers(t, func(*testing.T) deploy.Containers { return m }, deploytest.Lab{
		Stranger: func(t *testing.T, name, image string) string {
			id, err := m.Create(context.Background(), name, deploy.Spec{Service: "other", Image: image}, nil)
			require.NoError(t, err)
			m.Disown(id)
			t.Cleanup(func() { m.Vanish(id) })
			return id
		},
		Plug:   func(_ *testing.T, id, network string, connected bool) { m.Plug(id, network, connected) },
		Volume: func(_ *testing.T, name string, options map[string]string) { m.Volume(name, options) },
		Put: func(_ *testing.T, name, content string) string {
			m.Put("/run/"+name, content)
			return "/run/" + name
		},
	})
}
