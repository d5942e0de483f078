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

		r := deploy.Gather([]deploy.HostStatus{host}, []deploy.ServiceStatus{web}, &plan.Plan{Services: []plan.Service{{Name: "web", Decision: plan.Rebuild}}}, nil)
		assert.Equal(t, deploy.StatusCounts{Total: 1, Unknown: 1, Behind: 1}, r.Counts)
		assert.Equal(t, plan.Rebuild, r.Services[0].Todo)
		r = deploy.Gather([]deploy.HostStatus{host}, []deploy.ServiceStatus{web}, nil, fault.New(fault.Precondition, "an unfinished merge", ""))
		assert.Equal(t, deploy.StatusCounts{Total: 1, Unknown: 1}, r.Counts)
		assert.Equal(t, "an unfinished merge", r.Problem.Message)
	})
}
