package deploytest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
)

// unplugged has somebody take a container out of its networks, and put it back.
func (s *containerSuite) unplugged(t *testing.T) {
	require.NoError(t, s.EnsureNetwork(t.Context(), "suite-net"))
	require.NoError(t, s.EnsureNetwork(t.Context(), "suite-other"))
	for name, networks := range map[string][]string{
		"one": {"suite-other"}, "two": {"suite-other", "suite-net"}, "the engine's own": nil, "the engine's own and another": {"bridge", "suite-net"},
	} {
		for state, start := range map[string]bool{"running": true, "created": false} {
			t.Run(name+", "+state, func(t *testing.T) {
				spec := s.spec("suite-unplugged", "runs")
				spec.Networks = networks
				id := s.create(t, spec)
				if start {
					require.NoError(t, s.Start(t.Context(), id))
				}
				differs := func() []deploy.Difference { return spec.Differences(s.networksOnly(t, id, spec), false) }
				require.Empty(t, differs())
				for _, network := range in(networks) {
					s.Plug(t, id, network, false)
					require.Len(t, differs(), 1, network)
					assert.Equal(t, "networks", differs()[0].Field)
					s.Plug(t, id, network, true)
					assert.Empty(t, differs(), network)
				}
				s.Plug(t, id, in(networks)[0], false)
				if start {
					require.NoError(t, s.Stop(t.Context(), id, 0))
				}
				assert.Len(t, differs(), 1, "it is stopped")
				if len(networks) < 2 {
					assert.Equal(t, "none", differs()[0].Is)
				}
			})
		}
	}
}

// in is what networks a spec comes to.
func in(networks []string) []string {
	if len(networks) == 0 {
		return []string{"bridge"}
	}
	return networks
}

// networksOnly is a spec with the networks of a container.
func (s *containerSuite) networksOnly(t *testing.T, id string, spec deploy.Spec) deploy.Spec {
	spec.Networks = s.found(t, id).Spec.Networks
	return spec
}
