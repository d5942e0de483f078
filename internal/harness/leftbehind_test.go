package harness

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/durable"
	"homelab/internal/engine/dockerhost"
	"homelab/internal/fault"
	"homelab/internal/gitrepo/gittest"
	"homelab/internal/rollout"
	"homelab/registry"
	"homelab/tools"
)

// What goes on running where the registry does not have it any more is told, by host
// and container.
func TestLeftBehind(t *testing.T) {
	t.Parallel()
	journal := deploy.Ledger{Dir: filepath.Join(t.TempDir(), "deployed")}
	record := func(host, service, id string) {
		require.NoError(t, journal.Write(deploy.RecordOf(host, id, map[string]string{deploy.LabelService: service}, time.Now())))
	}
	reg := &registry.Registry{
		Hosts: map[string]registry.Host{"pi": {Docker: "pi"}, "nas": {Docker: "nas"}, "attic": {Docker: "attic"}},
		Services: map[string]registry.Service{
			"web": {Deploy: &registry.Deploy{Host: "pi"}}, "db": {Deploy: &registry.Deploy{Host: "pi"}},
			"lib": {}, "tv": {Deploy: &registry.Deploy{Host: "pi"}},
		},
	}
	of := func(service, id, state string) dockerhost.Container {
		return dockerhost.Container{ID: id, Name: service + "-1", State: state, Labels: map[string]string{deploy.LabelService: service}}
	}
	var answers map[string][]dockerhost.Container
	asked := []string{}
	var mu sync.Mutex
	l := &ledger{now: time.Now, silent: map[string]silence{}, list: func(_ context.Context, host registry.Host) ([]dockerhost.Container, bool, error) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, host.Docker)
		list, there := answers[host.Docker]
		if !there {
			return nil, false, fault.New(fault.HostUnreachable, "no route", "look")
		}
		return list, false, nil
	}}
	all := func(string) bool { return true }
	told := func(about func(string) bool, current ...string) []string {
		lines := []string{}
		for _, w := range l.leftBehind(t.Context(), journal, reg, about, current) {
			assert.Equal(t, "leftBehind", w.Code)
			lines = append(lines, w.Message+" | "+w.Hint)
		}
		return lines
	}

	assert.Empty(t, told(all), "nothing was ever deployed")
	record("pi", "web", "w2")
	assert.Empty(t, told(all), "it is where it is to be")
	assert.Empty(t, asked, "and nobody is asked")

	// Moved, taken out, only built by now; and one that was stopped by hand.
	record("nas", "web", "w1")
	record("nas", "gone", "g1")
	record("nas", "lib", "l1")
	record("nas", "tv", "t1")
	answers = map[string][]dockerhost.Container{"nas": {of("db", "d1", "running"), of("gone", "g1", "restarting"), of("lib", "l2", "running"), of("tv", "t1", "exited"), of("web", "w1", "running")}}
	const hint = ", which the registry does not have there any more | end it there when it is not needed any more (docker rm --force "
	const kept = "): its volumes stay, with what is in them"
	assert.Equal(t, []string{"host nas goes on running gone-1, lib-1, web-1" + hint + "gone-1" + kept}, told(all))
	assert.Equal(t, []string{"host nas goes on running web-1" + hint + "web-1" + kept}, told(func(name string) bool { return name == "web" }))
	assert.Empty(t, told(func(name string) bool { return name == "web" }, "w1"), "the host only has another name")
	answers["nas"] = []dockerhost.Container{of("web", "w2", "running")}
	assert.Empty(t, told(func(name string) bool { return name == "web" }, "w2"), "the host only has another name, and a newer version")
	answers["nas"] = nil
	assert.Empty(t, told(all), "it was removed")

	// Without a container a service is nowhere, not on this machine either.
	record(registry.LocalHost, "lib", "l3")
	answers[""] = []dockerhost.Container{of("lib", "l3", "running")}
	assert.Equal(t, []string{"host local goes on running lib-1" + hint + "lib-1" + kept}, told(all))
	require.NoError(t, durable.Place{Host: registry.LocalHost, Service: "lib"}.Remove(journal.Dir))

	// Whoever cannot be asked may still run it.
	delete(answers, "nas")
	assert.Equal(t, []string{"web: deployed to host nas, where the registry does not have it any more; it may go on running there (no route) | check it with homelab doctor; when the host is gone for good, remove " + journal.Path("nas", "web")},
		told(func(name string) bool { return name == "web" }))
	delete(reg.Hosts, "nas")
	assert.Equal(t, []string{"web: deployed to host nas, which the registry does not have any more; it may go on running there | end what runs there by hand, then remove " + journal.Path("nas", "web")},
		told(func(name string) bool { return name == "web" }))
	assert.Empty(t, told(func(name string) bool { return name == "web" }, "w1"), "the host was renamed")
}

// A preview tells it, and has nothing to confirm for it.
func TestPreviewTellsWhatIsLeftBehind(t *testing.T) {
	gittest.Hermetic()
	t.Setenv("HOMELAB_SYSTEM", "x86_64-linux")
	t.Setenv("HOMELAB_STATE", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	r := gittest.New(t)
	r.Write("homelab.json", `{"version": 1, "hosts": {"one": {"docker": "tcp://one:1"}, "two": {"docker": "tcp://two:1"}},
		"services": {"web": {"build": {"targets": {"x86_64-linux": "web"}}, "hints": ["web"], "deploy": {"host": "one"}}}}`)
	r.Write("web", "page")
	r.Commit("one")
	spec, err := deploy.NewSpec("web", registry.Service{Deploy: &registry.Deploy{Host: "one"}}, registry.Host{}, "")
	require.NoError(t, err)
	labels := map[string]string{
		deploy.LabelService: "web", deploy.LabelRevision: r.Rev("HEAD"), deploy.LabelState: "clean", deploy.LabelSpec: spec.Hash(),
	}
	h := New(Config{Repo: r.Dir, Registry: r.Path("homelab.json")})
	h.engines = func(*dockerhost.Engine) (deploy.Containers, error) {
		return listed{&deploytest.Memory{}, []deploy.Container{{ID: "w2", Name: "web", State: deploy.Running, Spec: spec, Labels: labels}}}, nil
	}
	h.ledger.list = func(_ context.Context, host registry.Host) ([]dockerhost.Container, bool, error) {
		id := map[string]string{"tcp://one:1": "w2", "tcp://two:1": "w1"}[host.Docker]
		return []dockerhost.Container{{ID: id, Name: "web", State: "running", Labels: labels}}, false, nil
	}
	deployed := func() *rollout.Report {
		report, err := h.Core().Deploy(t.Context(), rollout.Request{}, func(tools.Progress) {})
		require.NoError(t, err)
		return report
	}
	assert.Empty(t, deployed().Warnings)
	planner, err := h.planner(t.Context())
	require.NoError(t, err)
	require.NoError(t, journalOf(planner.Source.Root).Write(deploy.RecordOf("two", "w1", labels, time.Now())))
	got := deployed()
	require.Len(t, got.Warnings, 1)
	assert.Contains(t, got.Warnings[0].Message, "host two goes on running web,")
	assert.Empty(t, got.Unconfirmed())
	assert.Empty(t, got.Code())
}
