package deploytest

import (
	"bytes"
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/fault"
)

// RunDrills holds an engine against the promises of [deploy.Drills]. Left tells what
// there is with the label of drills, or is called as they are.
func RunDrills(t *testing.T, e deploy.Drills, inside func(do func()), left func(t *testing.T) []string) {
	for name, b := range map[string]Behaviour{"serves": {Page: "hello\n", Says: []string{"one"}}, "ends": {Ends: true, Exit: 7}} {
		require.NoError(t, e.Load(t.Context(), bytes.NewReader(BehaviourArchive(t, "drills/"+name+":v1", b))))
	}
	copyOf := func(drill string) deploy.Copy {
		return deploy.Copy{Drill: drill, Spec: deploy.Spec{
			Service: "suite", Container: "suite", Image: "drills/serves:v1", Restart: "no", StopGrace: time.Second, Networks: []string{deploy.DrillName(drill)},
			Mounts: []deploy.Mount{{Volume: deploy.DrillVolume(drill, "0"), Target: "/data"}},
		}}
	}
	made := func(t *testing.T, drill string) (c deploy.Copy, id string) {
		t.Helper()
		t.Cleanup(func() { assert.NoError(t, e.Clear(context.WithoutCancel(t.Context()), drill)) })
		require.NoError(t, e.Isolate(t.Context(), drill))
		_, err := e.Fresh(t.Context(), drill, deploy.DrillVolume(drill, "0"))
		require.NoError(t, err)
		c = copyOf(drill)
		id, err = e.Copy(t.Context(), c)
		require.NoError(t, err)
		return c, id
	}

	t.Run("a copy is reached, and is nobody's", func(t *testing.T) {
		_, id := made(t, "one")
		require.NoError(t, e.Start(t.Context(), id))
		c, err := e.Container(t.Context(), id)
		require.NoError(t, err)
		assert.NotEmpty(t, c.Address)
		page := ""
		for end := time.Now().Add(patience); page == "" && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			var conn net.Conn
			inside(func() { conn, err = e.Dial(t.Context(), *c, PagePort) })
			if err == nil {
				page = get(t, conn)
			}
		}
		assert.Equal(t, "hello\n", page, "%v", err)
		exit, _, err := e.Exec(t.Context(), id, []string{"true"})
		require.NoError(t, err)
		assert.Zero(t, exit)
		var said bytes.Buffer
		require.NoError(t, e.Logs(t.Context(), id, deploy.Tail{Lines: 9}, &said))
		assert.Contains(t, said.String(), "one")
		assert.Equal(t, []any{"one", "", "homelab-one"}, []any{c.Labels[deploy.LabelDrill], c.Labels[deploy.LabelService], c.Name})
		all, err := e.List(t.Context())
		require.NoError(t, err)
		assert.Empty(t, all)
	})

	t.Run("all of it goes, and nothing else", func(t *testing.T) {
		_, id := made(t, "two")
		_, other := made(t, "two-more")
		require.NoError(t, e.Start(t.Context(), id))
		require.NoError(t, e.Clear(t.Context(), "two"))
		c, err := e.Container(t.Context(), id)
		require.NoError(t, err)
		assert.Nil(t, c)
		c, err = e.Container(t.Context(), other)
		require.NoError(t, err)
		assert.NotNil(t, c)
		require.NoError(t, e.Clear(t.Context(), "two"), "there is nothing")
		require.NoError(t, e.Clear(t.Context(), "two-more"))
		assert.Empty(t, left(t))
		assert.Error(t, e.Clear(t.Context(), ""))
	})

	t.Run("what is there already", func(t *testing.T) {
		made(t, "three")
		assert.Equal(t, fault.Conflict, fault.CodeOf(e.Isolate(t.Context(), "three")))
		_, err := e.Fresh(t.Context(), "four", deploy.DrillVolume("three", "0"))
		assert.Equal(t, fault.Conflict, fault.CodeOf(err))
		_, err = e.Copy(t.Context(), copyOf("five"))
		assert.Equal(t, fault.NotFound, fault.CodeOf(err), "%v", err)
	})

	t.Run("a copy that is not isolated", func(t *testing.T) {
		for name, edit := range map[string]func(c *deploy.Copy){
			"a port":            func(c *deploy.Copy) { c.Spec.Ports = []deploy.Port{{Host: 1, Container: 1, Protocol: "tcp"}} },
			"a network":         func(c *deploy.Copy) { c.Spec.Networks = append(c.Spec.Networks, "bridge") },
			"no network":        func(c *deploy.Copy) { c.Spec.Networks = nil },
			"the host's":        func(c *deploy.Copy) { c.Spec.Security.HostNetwork = true },
			"its processes":     func(c *deploy.Copy) { c.Spec.Security.HostPID = true },
			"its memory":        func(c *deploy.Copy) { c.Spec.Security.HostIPC = true },
			"privileges":        func(c *deploy.Copy) { c.Spec.Security.Privileged = true },
			"no confinement":    func(c *deploy.Copy) { c.Spec.Security.Unconfined = true },
			"a device":          func(c *deploy.Copy) { c.Spec.Security.Devices = []string{"/dev/null"} },
			"a capability":      func(c *deploy.Copy) { c.Spec.Security.Capabilities = []string{"NET_ADMIN"} },
			"a volume":          func(c *deploy.Copy) { c.Spec.Mounts[0].Volume = "data" },
			"one of another":    func(c *deploy.Copy) { c.Spec.Mounts[0].Volume = deploy.DrillVolume("other", "0") },
			"a path":            func(c *deploy.Copy) { c.Spec.Mounts[0] = deploy.Mount{Source: "/srv", Target: "/data"} },
			"a file of another": func(c *deploy.Copy) { c.Files = []deploy.Mount{{Volume: "data", Target: "/data/file"}} },
			"a restart policy":  func(c *deploy.Copy) { c.Spec.Restart = "always" },
			"a label":           func(c *deploy.Copy) { c.Spec.Labels = map[string]string{"traefik.enable": "true"} },
			"no name":           func(c *deploy.Copy) { c.Drill = "" },
		} {
			c := copyOf("six")
			edit(&c)
			_, err := e.Copy(t.Context(), c)
			assert.Equal(t, fault.Denied, fault.CodeOf(err), "%s: %v", name, err)
		}
		assert.Empty(t, left(t))
	})

	t.Run("canceled", func(t *testing.T) {
		over, cancel := context.WithCancel(t.Context())
		cancel()
		_, fresh := e.Fresh(over, "seven", deploy.DrillVolume("seven", "0"))
		_, copied := e.Copy(over, copyOf("seven"))
		for _, err := range []error{e.Isolate(over, "seven"), fresh, copied, e.Clear(over, "seven")} {
			assert.ErrorIs(t, err, context.Canceled)
		}
	})
}
