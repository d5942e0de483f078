package deploy_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/fault"
	"homelab/registry"
)

// An env file that changes makes a new version, though nothing else does.
func TestRunSeesEnvFiles(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		run := func(files ...string) (*deploy.Switched, error) {
			target := y.target("v1")
			target.Spec.EnvFiles = files
			return y.runner(y.engine).Run(t.Context(), target)
		}
		y.engine.Put("/run/web.env", "TOKEN=hunter2\n")
		_, err := run("/run/web.env")
		require.NoError(t, err)
		again, err := run("/run/web.env")
		require.NoError(t, err)
		assert.False(t, again.Changed)

		for _, content := range []string{"TOKEN=hunter3\n", "TOKEN=hunter3\nMORE=1\n", "MORE=1\n"} {
			y.engine.Put("/run/web.env", content)
			changed, err := run("/run/web.env")
			require.NoError(t, err)
			assert.True(t, changed.Changed, content)
			again, err = run("/run/web.env")
			require.NoError(t, err)
			assert.False(t, again.Changed, content)
		}
		assert.NotContains(t, fmt.Sprint(y.said, y.is()), "hunter")

		// What cannot be compared is no reason to say that all is well.
		y.engine.Fail = failing("env", fault.New(fault.Precondition, "cannot read an env file", "make it"))
		_, err = run("/run/web.env")
		assert.Equal(t, fault.Precondition, fault.CodeOf(err))
		y.engine.Fail = nil
		assert.Equal(t, "web v1 running unless-stopped", y.is()[0])
		_, err = run(deploytest.Nowhere + "/web.env")
		assert.ErrorContains(t, err, "cannot read an env file")
		assert.Equal(t, "web v1 running unless-stopped", y.is()[0])
	})
}

// Without env files nobody is asked about any.
func TestRunWithoutEnvFiles(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("v1")
		y.engine.Fail = failing("env", assert.AnError)
		assert.False(t, y.must("v1").Changed)
	})
}

// Status names what differs, and no value.
func TestStatusSeesEnvFiles(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.engine.Put("/run/web.env", "TOKEN=hunter2\nUSER=me\n")
		target := y.target("v1")
		target.Spec.EnvFiles = []string{"/run/web.env"}
		_, err := y.runner(y.engine).Run(t.Context(), target)
		require.NoError(t, err)
		d := &registry.Deploy{EnvFiles: []string{"/run/web.env"}}
		_, web := y.status(t.Context(), d)
		assert.Empty(t, web.Drift)

		y.engine.Put("/run/web.env", "TOKEN=hunter3\n")
		_, web = y.status(t.Context(), d)
		assert.Equal(t, []deploy.Difference{{Field: "env.TOKEN", Want: "…", Is: "…"}, {Field: "env.USER", Want: "…", Is: "…"}}, web.Drift)
		_, web = y.status(t.Context(), &registry.Deploy{Restart: "always"})
		assert.Equal(t, []string{"restart", "env.TOKEN", "env.USER"}, []string{web.Drift[0].Field, web.Drift[1].Field, web.Drift[2].Field}, "the registry names no file any more")

		y.engine.Fail = failing("env", fault.New(fault.Precondition, "cannot read an env file", "make it"))
		host, web := y.status(t.Context(), d)
		assert.True(t, host.Answers)
		assert.Equal(t, []deploy.Difference{{Field: "envFiles", Want: "/run/web.env", Is: "cannot be compared: cannot read an env file"}}, web.Drift)
	})
}
