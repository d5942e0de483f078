package deploy_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/plan"
	"homelab/registry"
)

func (y *yard) status(ctx context.Context, d *registry.Deploy) (deploy.HostStatus, deploy.ServiceStatus) {
	y.t.Helper()
	on := []deploy.Deployed{{Name: "web", Service: registry.Service{Deploy: d}}}
	host, services := deploy.OnHost(ctx, y.engine, nil, "nas", on, y.journal)
	require.Len(y.t, services, 1)
	return host, services[0]
}

func TestStatus(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		host, web := y.status(t.Context(), &registry.Deploy{})
		assert.Equal(t, deploy.HostStatus{Name: "nas", Answers: true, Services: 1}, host)
		assert.Equal(t, deploy.ServiceStatus{Name: "web", Host: "nas", State: deploy.ServiceMissing, Container: "web"}, web)

		y.must("v1")
		y.must("v2")
		_, web = y.status(t.Context(), &registry.Deploy{})
		assert.NotEmpty(t, web.Since)
		web.Since, web.Health = "", ""
		assert.Equal(t, deploy.ServiceStatus{
			Name: "web", Host: "nas", State: deploy.ServiceRunning, Container: "web", Generation: 2, Kept: 1, Revision: "v2", Image: "web:v2",
		}, web, "no drift, and of an image only an evaluation tells")

		_, web = y.status(t.Context(), &registry.Deploy{Container: "site", Restart: "always", Ports: []string{"80:80"}})
		assert.Equal(t, deploy.ServiceRunning, web.State)
		assert.Equal(t, []deploy.Difference{
			{Field: "ports", Want: "80:80/tcp", Is: "(nothing)"}, {Field: "restart", Want: "always", Is: "unless-stopped"}, {Field: "container", Want: "site", Is: "web"},
		}, web.Drift)

		c, err := y.engine.Container(t.Context(), "web")
		require.NoError(t, err)
		require.NoError(t, y.engine.Stop(t.Context(), c.ID, 0))
		require.NoError(t, y.journal.Write(&deploy.Entry{Service: "web", Host: "nas", Step: "gate"}))
		_, web = y.status(t.Context(), &registry.Deploy{})
		assert.Equal(t, []any{deploy.ServiceStopped, "gate"}, []any{web.State, web.BrokenOff})
	})
}

// Where the outputs are known they decide what there is to do, and not the hints.
func TestStatusIsSureWhereOutputsAreKnown(t *testing.T) {
	drift := []deploy.Difference{{Field: "restart", Want: "no", Is: "always"}}
	for _, c := range []struct {
		name      string
		is, want  string
		plan, now plan.Decision
		drift     []deploy.Difference
	}{
		{"the hints missed it", "a", "b", plan.None, plan.Rebuild, nil},
		{"the hints were too careful", "a", "a", plan.Rebuild, plan.None, nil},
		{"only the settings", "a", "a", plan.Unknown, plan.Redeploy, drift},
		{"only the settings, as the plan says", "a", "a", plan.Redeploy, plan.Redeploy, drift},
		{"the same", "a", "a", plan.None, plan.None, nil},
		{"in the way", "a", "b", plan.Blocked, plan.Blocked, nil},
		{"not evaluated", "a", "", plan.None, plan.None, nil},
		{"not there", "", "b", plan.Unknown, plan.Unknown, nil},
	} {
		r := deploy.Gather(nil, []deploy.ServiceStatus{{Name: "web", Out: c.is, Drift: c.drift}}, deploy.Wish{
			Plan: &plan.Plan{Services: []plan.Service{{Name: "web", Decision: c.plan}}}, Outs: map[string]string{"web": c.want},
		})
		assert.Equal(t, c.now, r.Services[0].Todo, c.name)
	}
}

// A host that does not answer makes its services unknown, and says why.
func TestStatusOfASilentHost(t *testing.T) {
	inYard(t, func(y *yard) {
		t := y.t
		y.must("v1")
		over, stop := context.WithDeadline(t.Context(), time.Now())
		defer stop()
		host, web := y.status(over, &registry.Deploy{})
		assert.False(t, host.Answers)
		assert.Equal(t, fault.HostUnreachable, host.Problem.Code)
		assert.Equal(t, deploy.ServiceUnknown, web.State)

		r := deploy.Gather([]deploy.HostStatus{host}, []deploy.ServiceStatus{web}, deploy.Wish{
			Plan: &plan.Plan{Services: []plan.Service{{Name: "web", Decision: plan.Rebuild}}}, Outs: map[string]string{"web": "/nix/store/next-web"},
		})
		assert.Equal(t, deploy.StatusCounts{Total: 1, Unknown: 1, Behind: 1}, r.Counts)
		assert.Equal(t, []any{plan.Rebuild, "/nix/store/next-web"}, []any{r.Services[0].Todo, r.Services[0].WantOut})
		r = deploy.Gather([]deploy.HostStatus{host}, []deploy.ServiceStatus{web}, deploy.Wish{Err: fault.New(fault.Precondition, "an unfinished merge", "")})
		assert.Equal(t, deploy.StatusCounts{Total: 1, Unknown: 1}, r.Counts)
		assert.Equal(t, "an unfinished merge", r.Problem.Message)
	})
}
