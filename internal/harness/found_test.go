package harness

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/engine/dockerhost"
	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/internal/plan"
	"homelab/registry"
)

// slow is an engine that takes its time, or for ever, as a call of it says.
type slow struct {
	*deploytest.Memory
	takes func(call string) time.Duration
}

const forever = time.Duration(1 << 62)

func (s slow) wait(ctx context.Context, call string) error {
	select {
	case <-time.After(s.takes(call)):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("ask the engine: %w", ctx.Err())
	}
}

func (s slow) List(ctx context.Context) ([]deploy.Container, error) {
	if err := s.wait(ctx, "list"); err != nil {
		return nil, err
	}
	return s.Memory.List(ctx)
}

func (s slow) Container(ctx context.Context, ref string) (*deploy.Container, error) {
	if err := s.wait(ctx, ref); err != nil {
		return nil, err
	}
	return s.Memory.Container(ctx, ref)
}

func (s slow) Platform(ctx context.Context) (deploy.Platform, error) {
	if err := s.wait(ctx, "platform"); err != nil {
		return deploy.Platform{}, err
	}
	return s.Memory.Platform(ctx)
}

// looking looks at n services of one host and one service of another, all of which are
// missing, and returns what is in the way of each, and how long that took.
func looking(t *testing.T, n int, takes func(call string) time.Duration) (failed map[string]error, took time.Duration) {
	t.Helper()
	reg := &registry.Registry{
		Hosts:    map[string]registry.Host{"pi": {Docker: "tcp://pi:2375"}, "nas": {Docker: "tcp://nas:2375"}},
		Services: map[string]registry.Service{"other": {Deploy: &registry.Deploy{Host: "nas"}}},
	}
	services := []plan.Service{{Name: "other"}}
	for i := range n {
		name := fmt.Sprintf("s%02d", i)
		reg.Services[name] = registry.Service{Deploy: &registry.Deploy{Host: "pi"}}
		services = append(services, plan.Service{Name: name})
	}
	h := New(Config{})
	h.engines = func(e *dockerhost.Engine) (deploy.Containers, error) {
		if e.Endpoint().URL == "tcp://nas:2375" {
			return &deploytest.Memory{}, nil
		}
		return slow{&deploytest.Memory{}, takes}, nil
	}
	d := &deployment{Harness: h, jobs: &job.Store{Dir: t.TempDir()}}
	begun := time.Now()
	f, err := d.look(t.Context(), reg, services)
	require.NoError(t, err)
	names := []string{}
	for _, s := range services {
		names = append(names, s.Name)
	}
	require.NoError(t, d.examine(t.Context(), reg, names, f))
	assert.NoError(t, f.failed["other"], "another host")
	return f.failed, time.Since(begun)
}

// Each service of a slow host has its own time.
func TestSlowHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		failed, _ := looking(t, 40, func(string) time.Duration { return 4 * time.Second })
		assert.Empty(t, failed)
	})
}

// What takes for ever of one service is in the way of that one.
func TestSlowService(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		failed, took := looking(t, 20, func(call string) time.Duration {
			if call == "s03" {
				return forever
			}
			return time.Second
		})
		require.Len(t, failed, 1)
		assert.Equal(t, fault.HostUnreachable, fault.CodeOf(failed["s03"]))
		assert.LessOrEqual(t, took, 20*time.Second)
	})
}

// A host that falls silent is given up, soon and for all its services.
func TestHostFallsSilent(t *testing.T) {
	t.Parallel()
	for after := range int64(3) {
		synctest.Test(t, func(t *testing.T) {
			var calls atomic.Int64
			failed, took := looking(t, 40, func(string) time.Duration {
				if calls.Add(1) > after {
					return forever
				}
				return 0
			})
			for i := range 40 {
				name := fmt.Sprintf("s%02d", i)
				if after == 2 && failed[name] == nil {
					continue // the one that was examined before
				}
				assert.Equal(t, fault.HostUnreachable, fault.CodeOf(failed[name]), name)
				assert.NotEmpty(t, fault.Of(failed[name]).Hint)
			}
			assert.GreaterOrEqual(t, len(failed), 39)
			assert.LessOrEqual(t, took, 20*time.Second)
		})
	}
}

// listed is an engine that has some containers.
type listed struct {
	*deploytest.Memory
	list []deploy.Container
}

func (l listed) List(context.Context) ([]deploy.Container, error) { return l.list, nil }

// What is not for us to change is told before anything is done, but for what a switch
// that was broken off has left: that is repaired first.
func TestPausedAndTwoThatRun(t *testing.T) {
	t.Parallel()
	of := func(service, name string, state deploy.State) deploy.Container {
		return deploy.Container{ID: name, Name: name, State: state, Labels: map[string]string{deploy.LabelService: service, deploy.LabelGeneration: "1"}}
	}
	h := New(Config{})
	h.engines = func(*dockerhost.Engine) (deploy.Containers, error) {
		return listed{&deploytest.Memory{}, []deploy.Container{
			of("db", "db", deploy.Paused), of("web", "web", deploy.Running), of("web", "web.g1", deploy.Running),
			of("broken", "broken", deploy.Running), of("broken", "broken.g1", deploy.Running), of("well", "well", deploy.Running), of("well", "well.g1", deploy.Exited),
		}}, nil
	}
	d := &deployment{Harness: h, jobs: &job.Store{Dir: t.TempDir()}}
	require.NoError(t, switches(d.jobs).Write(&deploy.Entry{Service: "broken", Host: "pi", Step: "gate", Grace: "10s"}))
	reg := &registry.Registry{Hosts: map[string]registry.Host{"pi": {Docker: "tcp://pi:2375"}}, Services: map[string]registry.Service{}}
	services := []plan.Service{}
	for _, name := range []string{"db", "web", "broken", "well"} {
		reg.Services[name] = registry.Service{Deploy: &registry.Deploy{Host: "pi"}}
		services = append(services, plan.Service{Name: name})
	}
	f, err := d.look(t.Context(), reg, services)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"broken": "gate"}, f.brokenOff)
	assert.Equal(t, fault.Conflict, fault.CodeOf(f.failed["db"]))
	assert.ErrorContains(t, f.failed["web"], "two containers of one service")
	assert.Len(t, f.failed, 2)
	assert.Equal(t, "web", f.there["web"].ID)
}
