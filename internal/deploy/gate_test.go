package deploy_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"homelab/internal/deploy"
	"homelab/internal/fault"
)

// dialing has connections to containers come to what a test says.
type dialing struct {
	deploy.Containers
	dial func(ctx context.Context, id string) error
}

func (d dialing) Dial(ctx context.Context, c deploy.Container, _ int) (net.Conn, error) {
	if err := d.dial(ctx, c.ID); err != nil {
		return nil, err
	}
	client, server := net.Pipe()
	return client, server.Close()
}

var tcpGate = deploy.Gate{Kind: "tcp", Port: 80, Interval: time.Second, Timeout: time.Minute}

// A service that is there a moment after its start does not wait for a whole interval.
func TestTheFirstProbesComeSoon(t *testing.T) {
	inYard(t, func(y *yard) {
		id := y.must("v1").ID
		begun := time.Now()
		e := dialing{y.engine, func(context.Context, string) error {
			if time.Since(begun) < 50*time.Millisecond {
				return errors.New("connection refused")
			}
			return nil
		}}
		assert.NoError(y.t, tcpGate.Pass(y.t.Context(), e, id))
		assert.Less(y.t, time.Since(begun), 100*time.Millisecond)
	})
}

// Once it is clear that a service takes long, it is asked once in an interval.
func TestLaterProbesKeepTheInterval(t *testing.T) {
	inYard(t, func(y *yard) {
		id, asked := y.must("v1").ID, 0
		e := dialing{y.engine, func(context.Context, string) error { asked++; return errors.New("connection refused") }}
		assert.Equal(y.t, fault.Unhealthy, fault.CodeOf(tcpGate.Pass(y.t.Context(), e, id)))
		assert.InDelta(y.t, 66, asked, 1)
	})
}

// A probe of a container that has ended may hang: that it has is seen all the same.
func TestAProbeThatHangs(t *testing.T) {
	inYard(t, func(y *yard) {
		id := y.must("v1").ID
		begun := time.Now()
		e := dialing{y.engine, func(ctx context.Context, id string) error {
			if err := y.engine.Stop(ctx, id, 0); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		}}
		assert.ErrorContains(y.t, tcpGate.Pass(y.t.Context(), e, id), "it ended")
		assert.Less(y.t, time.Since(begun), 100*time.Millisecond)
	})
}

// starting sees what restart policy a container is started with.
type starting struct {
	deploy.Containers
	policies *[]string
}

func (s starting) Start(ctx context.Context, id string) error {
	if c, err := s.Container(ctx, id); err == nil && c != nil {
		*s.policies = append(*s.policies, c.Spec.Restart)
	}
	return s.Containers.Start(ctx, id)
}

// One that crashes is not started again and again while the one before waits.
func TestNothingStartsAVersionAgainThatHasNotPassed(t *testing.T) {
	inYard(t, func(y *yard) {
		y.must("v1")
		var policies []string
		_, err := y.runner(starting{y.engine, &policies}).Run(y.t.Context(), y.target("v2"))
		assert.NoError(y.t, err)
		assert.Equal(y.t, "no", policies[0])
		assert.Equal(y.t, []string{"web v2 running unless-stopped", "web.g1 v1 exited no"}, y.is())
	})
}
