package deploytest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/fault"
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

// envFiles has somebody change the files that variables of a container come from.
func (s *containerSuite) envFiles(t *testing.T) {
	const canary, before = "hunter2", "TOKEN=hunter2\nUSER=me\nOWN=of the file\n"
	file, other := s.Put(t, "app.env", before), s.Put(t, "other.env", "")
	spec := s.spec("suite-secrets", "runs")
	spec.EnvFiles, spec.Env = []string{file, other}, map[string]string{"OWN": "of the registry", "PLAIN": "1"}
	c := s.started(t, spec)
	assert.Equal(t, "TOKEN USER", c.Labels[deploy.LabelEnvFiles])
	assert.Equal(t, spec.Env, c.Spec.Env)
	assert.NotContains(t, fmt.Sprintf("%+v", c), canary)

	for name, row := range map[string]struct {
		file, other string
		edit        func(spec *deploy.Spec)
		want        []string
	}{
		"nothing":                    {file: before},
		"the order of lines":         {file: "USER=me\nTOKEN=hunter2\n"},
		"a value":                    {file: "TOKEN=hunter3\nUSER=me\n", want: []string{"TOKEN"}},
		"one that is dropped":        {file: "TOKEN=hunter2\n", want: []string{"USER"}},
		"one that is new":            {file: before, other: "NEW=1\n", want: []string{"NEW"}},
		"one that the image has":     {file: before, other: "OF_THE_IMAGE=2\n", want: []string{"OF_THE_IMAGE"}},
		"the later file counts":      {file: before, other: "USER=you\n", want: []string{"USER"}},
		"one that the registry sets": {file: before + "PLAIN=2\n"},
		"all":                        {want: []string{"TOKEN", "USER"}},
		"no files any more":          {file: before, edit: func(s *deploy.Spec) { s.EnvFiles = nil }, want: []string{"TOKEN", "USER"}},
		"the registry takes one over": {file: before, edit: func(s *deploy.Spec) {
			s.EnvFiles, s.Env = nil, map[string]string{"TOKEN": "x"}
		}, want: []string{"USER"}},
		"the registry leaves one to the file": {file: before, edit: func(s *deploy.Spec) { s.Env = nil }, want: []string{"OWN"}},
	} {
		t.Run(name, func(t *testing.T) {
			s.Put(t, "app.env", row.file)
			s.Put(t, "other.env", row.other)
			changed := spec
			if row.edit != nil {
				row.edit(&changed)
			}
			differ, err := s.EnvDiffers(t.Context(), c.ID, changed)
			require.NoError(t, err)
			assert.ElementsMatch(t, row.want, differ)
			assert.NotNil(t, differ)
		})
	}
	t.Run("a file that is gone", func(t *testing.T) {
		gone := spec
		gone.EnvFiles = []string{Nowhere + "/app.env"}
		_, err := s.EnvDiffers(t.Context(), c.ID, gone)
		failed(t, err, fault.Precondition, "cannot read an env file", Nowhere+"/app.env")
	})
	_, err := s.EnvDiffers(t.Context(), "suite-no-such", spec)
	refusal(t, err, fault.NotFound)
	_, err = s.EnvDiffers(t.Context(), s.Stranger(t, "suite-strange-env", "suite/runs:v1"), spec)
	failed(t, err, fault.Denied)
}

// volumes has somebody make volumes that are not what they seem.
func (s *containerSuite) volumes(t *testing.T) {
	s.Volume(t, "suite-plain", nil)
	s.Volume(t, "suite-memory", map[string]string{"type": "tmpfs", "device": "tmpfs"})
	s.Volume(t, "suite-etc", map[string]string{"type": "none", "device": "/etc", "o": "bind,ro"})
	spec := s.spec("suite-volumes", "runs")
	spec.Mounts = []deploy.Mount{{Volume: "suite-plain", Target: "/a"}, {Volume: "suite-memory", Target: "/b"}, {Volume: "suite-new", Target: "/c"}}
	s.started(t, spec)

	spec.Container, spec.Security.Privileged = "suite-sly", true
	spec.Mounts = append(spec.Mounts, deploy.Mount{Volume: "suite-etc", Target: "/d", ReadOnly: true})
	_, err := s.Create(t.Context(), spec.Container, spec, nil)
	failed(t, err, fault.Denied, `volume suite-etc of suite is "/etc" of the host`)
	c, err := s.Container(t.Context(), spec.Container)
	require.NoError(t, err)
	assert.Nil(t, c)
}
