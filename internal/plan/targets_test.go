package plan_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/plan"
	"homelab/registry"
)

func TestTargets(t *testing.T) {
	t.Parallel()
	r := newHomelab(t)
	r.Write("homelab.json", strings.NewReplacer(
		`"x86_64-linux": "packages.x86_64-linux.ha"`, `"x86_64-linux": "packages.x86_64-linux.ha", "aarch64-linux": "packages.aarch64-linux.ha"`,
		`"services": {`, `"hosts": {"nas": {"system": "riscv64-linux"}, "pi": {}}, "services": {`,
		`"hints": ["services/prom"]`, `"hints": ["services/prom"], "deploy": {"host": "nas"}`,
	).Replace(homelab))
	edit(r)
	environment := map[string]string{}
	p := planner(t, r)
	p.Getenv = func(name string) string { return environment[name] }
	target := func(system string) plan.Target {
		t.Helper()
		got, err := p.Plan(t.Context(), plan.Request{System: system})
		require.NoError(t, err)
		return got.Services[1].Target
	}
	const x86, arm = "packages.x86_64-linux.ha", "packages.aarch64-linux.ha"
	assert.Equal(t, plan.Target{System: "x86_64-linux", Attr: x86, DecidedBy: "machine"}, target(""))
	p.SystemOf = func(context.Context, string, registry.Host) (string, error) { return "aarch64-linux", nil }
	assert.Equal(t, plan.Target{System: "aarch64-linux", Attr: arm, DecidedBy: "daemon"}, target(""))
	environment["HOMELAB_SYSTEM"] = "x86_64-linux"
	assert.Equal(t, plan.Target{System: "x86_64-linux", Attr: x86, DecidedBy: "HOMELAB_SYSTEM"}, target(""))
	environment["NIX_HOME_TARGET"] = "aarch64-linux"
	assert.Equal(t, plan.Target{System: "aarch64-linux", Attr: arm, DecidedBy: "NIX_HOME_TARGET"}, target(""))
	environment["NIX_HOME_TARGET"] = ".#legacyPackages.armv7l-linux.special"
	assert.Equal(t, plan.Target{System: "armv7l-linux", Attr: "legacyPackages.armv7l-linux.special", DecidedBy: "NIX_HOME_TARGET"}, target(""))
	assert.Equal(t, plan.Target{System: "x86_64-linux", Attr: x86, DecidedBy: "argument"}, target("x86_64-linux"))
	environment = map[string]string{}

	got, err := p.Plan(t.Context(), plan.Request{Services: []string{"prom"}})
	require.NoError(t, err)
	assert.Equal(t, plan.Blocked, got.Services[0].Decision)
	assert.Equal(t, plan.Target{System: "riscv64-linux", DecidedBy: "host"}, got.Services[0].Target)
	assert.Equal(t, "prom has no target for riscv64-linux (chosen by host); it has: x86_64-linux", got.Services[0].Problem.Message)

	for variable, value := range map[string]string{"HOMELAB_SYSTEM": "bogus", "NIX_HA_TARGET": "aarch64-lnux"} {
		environment = map[string]string{variable: value}
		_, err = p.Plan(t.Context(), plan.Request{})
		assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err))
		assert.ErrorContains(t, err, variable)
	}
	environment = map[string]string{}

	p.SystemOf = func(context.Context, string, registry.Host) (string, error) { return "", errors.New("no answer") }
	got, err = p.Plan(t.Context(), plan.Request{})
	require.NoError(t, err)
	assert.Equal(t, "machine", got.Services[1].Target.DecidedBy)
	assert.Contains(t, brief(got), "warning hostSystemAssumed")
}

// manyHosts is a registry of n services on hosts of their own.
func manyHosts(n int) string {
	hosts, services := make([]string, n), make([]string, n)
	for i := range n {
		hosts[i] = fmt.Sprintf(`"h%03d": {"docker": "ssh://h%03d"}`, i, i)
		services[i] = fmt.Sprintf(`"s%03d": {"build": {"targets": {"x86_64-linux": "a"}}, "hints": ["s"], "deploy": {"host": "h%03d"}}`, i, i)
	}
	return fmt.Sprintf(`{"version": 1, "hosts": {%s}, "services": {%s}}`, strings.Join(hosts, ","), strings.Join(services, ","))
}

func TestManyHostsAreAskedAFewAtATime(t *testing.T) {
	t.Parallel()
	r := newHomelab(t)
	r.Write("homelab.json", manyHosts(100))
	p := planner(t, r)
	var now, most, asked atomic.Int32
	p.SystemOf = func(context.Context, string, registry.Host) (string, error) {
		asked.Add(1)
		for n := now.Add(1); ; {
			seen := most.Load()
			if n <= seen || most.CompareAndSwap(seen, n) {
				break
			}
		}
		time.Sleep(time.Millisecond)
		now.Add(-1)
		return "", errors.New("connection refused\nand more")
	}
	got, err := p.Plan(t.Context(), plan.Request{})
	require.NoError(t, err)
	assert.EqualValues(t, 100, asked.Load())
	assert.LessOrEqual(t, most.Load(), int32(16))
	assert.Greater(t, most.Load(), int32(1), "side by side")
	assert.Equal(t, []plan.Warning{{
		Code:    "hostSystemAssumed",
		Message: "the Docker engines of 100 hosts (h000, h001, h002, h003, h004 and 95 more) did not say what runs there (connection refused): assumed x86_64-linux, as this machine",
		Hint:    "start them, or set hosts.h000.system in the registry, or pass system",
	}}, slices.DeleteFunc(got.Warnings, func(w plan.Warning) bool { return w.Code != "hostSystemAssumed" }))
}

// Hosts that never answer do not hold up the plan for longer than this.
func TestHostsHaveSoMuchTime(t *testing.T) {
	r := newHomelab(t)
	p := planner(t, r)
	p.SystemOf = func(ctx context.Context, _ string, _ registry.Host) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		got, err := p.Get(t.Context(), plan.GetRequest{Name: "ha"})
		require.NoError(t, err)
		assert.Equal(t, 30*time.Second, time.Since(start))
		require.Len(t, got.Warnings, 1)
		assert.Equal(t, "the Docker engine of host local did not say what runs there (all hosts together have 30s to answer): assumed x86_64-linux, as this machine", got.Warnings[0].Message)
	})
}
