package rollout

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/build"
	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/plan"
	"homelab/registry"
)

const (
	oldOut = "/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-web.tar"
	newOut = "/nix/store/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-web.tar"
)

func order() *plan.Order {
	return &plan.Order{Plan: &plan.Plan{PlanID: "p1", Head: plan.Side{Commit: "c2", State: plan.StateDirty}}}
}

func web(t *testing.T) Wanted {
	t.Helper()
	return aService(t, "web")
}

// aService is one that runs as it is to be.
func aService(t *testing.T, name string) Wanted {
	t.Helper()
	w := Wanted{
		Name: name,
		Service: registry.Service{
			Deploy: &registry.Deploy{
				Ports: []string{"80:80"}, Volumes: []registry.Volume{{Name: "pages", Target: "/srv"}, {Name: "cache", Target: "/cache"}},
				Privileges: &registry.Privileges{Capabilities: []string{"NET_RAW"}, HostPID: true},
			},
			State: &registry.State{Items: []registry.StateItem{{Volume: "pages"}, {Volume: "cache", Class: "recomputable"}}},
		},
		Plan:  plan.Service{Name: name, Decision: plan.Rebuild},
		Built: build.Outcome{Name: name, Status: build.Cached, Out: oldOut, Drv: "/nix/store/cccccccccccccccccccccccccccccccc-web.drv"},
	}
	w.run(t)
	return w
}

// run has the service run as it is to be.
func (w *Wanted) run(t *testing.T) {
	t.Helper()
	spec, err := deploy.NewSpec(w.Name, w.Service, w.Host, "web:nix-a")
	require.NoError(t, err)
	hash := spec.Hash()
	spec.Service, spec.EnvFiles, spec.Labels = "", nil, nil // an engine does not tell them
	w.There = &deploy.Container{
		ID: "c1", Name: w.Name, Spec: spec, State: deploy.Running,
		Labels: map[string]string{
			deploy.LabelService: w.Name, deploy.LabelGeneration: "3", deploy.LabelOut: oldOut, deploy.LabelSpec: hash, deploy.LabelRevision: "c1",
		},
	}
}

func previewOf(t *testing.T, w Wanted) (Service, string) {
	t.Helper()
	r, err := Preview(order(), []Wanted{w}, func(string) []string { return nil })
	require.NoError(t, err)
	require.Len(t, r.Services, 1)
	assert.Equal(t, Previewed, r.State)
	return r.Services[0], r.PreviewID
}

// What there is to do follows from what is there and what is wanted, and every reason
// for it makes another preview.
func TestActions(t *testing.T) {
	same, sameID := previewOf(t, web(t))
	assert.Equal(t, []any{Nothing, NoDowntime, Pending}, []any{same.Action, same.Downtime, same.Status})
	assert.Equal(t, &Version{Generation: 3, Revision: "c1", Out: oldOut, Running: true}, same.From)
	assert.Equal(t, &Version{Revision: "c2", WorkTree: "dirty", Out: oldOut}, same.To)
	assert.Equal(t, []Impact{{"cache", "recomputable", Kept}, {"pages", "durable", Kept}}, same.Impact)
	assert.Equal(t, []string{"hostPid", "capability NET_RAW"}, same.Privileges)
	assert.Equal(t, build.Cached, same.Build)

	ids := map[string]string{sameID: "as it is"}
	for name, c := range map[string]struct {
		change   func(*Wanted)
		action   Action
		downtime Downtime
		config   []string // FIELD: IS -> WANT
	}{
		"another image":                  {func(w *Wanted) { w.Built.Out = newOut }, Replace, Restart, nil},
		"not there":                      {func(w *Wanted) { w.There = nil }, Create, NoDowntime, nil},
		"another container":              {func(w *Wanted) { w.There.ID = "c9" }, Nothing, NoDowntime, nil},
		"not running":                    {func(w *Wanted) { w.There.State = deploy.Exited }, Start, NoDowntime, nil},
		"not running, and another image": {func(w *Wanted) { w.There.State, w.Built.Out = deploy.Exited, newOut }, Replace, NoDowntime, nil},
		"other ports":                    {func(w *Wanted) { w.Service.Deploy.Ports = []string{"81:80"} }, Configure, Restart, []string{"ports: 80:80/tcp -> 81:80/tcp"}},
		"a variable": {func(w *Wanted) {
			w.There.Spec.Env = map[string]string{"A": "b"}
			w.Service.Deploy.Env = map[string]string{"A": "c"}
		}, Configure, Restart, []string{"env.A: b -> c"}},
		"an env file":  {func(w *Wanted) { w.EnvFiles = []deploy.Difference{{Field: "env.TOKEN"}} }, Configure, Restart, []string{"env.TOKEN:  -> "}},
		"another name": {func(w *Wanted) { w.Service.Deploy.Container = "web2" }, Configure, Restart, []string{"container: web -> web2"}},
		"a label":      {func(w *Wanted) { w.Service.Deploy.Labels = map[string]string{"a": "b"} }, Configure, Restart, []string{"settings: as it said before -> as the registry says"}},
		"overlap": {func(w *Wanted) {
			w.Service.Deploy.Strategy, w.Service.Deploy.Ports = deploy.Overlap, nil
			w.run(t)
			w.Built.Out = newOut
		}, Replace, NoDowntime, nil},
		"broken off":                  {func(w *Wanted) { w.BrokenOff = "gate" }, Repair, Restart, nil},
		"broken off, and not there":   {func(w *Wanted) { w.There, w.BrokenOff = nil, "start" }, Create, NoDowntime, nil},
		"another name of the image":   {func(w *Wanted) { w.Service.Build.Image = "ghcr.io:443/me/web" }, Configure, Restart, []string{"image: web -> ghcr.io:443/me/web"}},
		"that name of the image":      {func(w *Wanted) { w.Service.Build.Image = "web" }, Nothing, NoDowntime, nil},
		"another address of the host": {func(w *Wanted) { w.Host.Docker = "ssh://other" }, Nothing, NoDowntime, nil},
		"another gate":                {func(w *Wanted) { w.Service.Deploy.Health = &registry.Health{Kind: "tcp", Port: 1} }, Nothing, NoDowntime, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := web(t)
			c.change(&w)
			s, id := previewOf(t, w)
			assert.Equal(t, []any{c.action, c.downtime}, []any{s.Action, s.Downtime})
			assert.Equal(t, w.BrokenOff, s.BrokenOff)
			var config []string
			for _, d := range s.Config {
				config = append(config, d.Field+": "+d.Is+" -> "+d.Want)
			}
			assert.Equal(t, c.config, config)
			assert.Empty(t, ids[id], "%s has the preview of %s", name, ids[id])
			ids[id] = name
		})
	}
	again, id := previewOf(t, web(t))
	assert.Equal(t, same, again)
	assert.Equal(t, sameID, id)
	moved := order()
	moved.Plan.PlanID = "p2"
	r, err := Preview(moved, []Wanted{web(t)}, func(string) []string { return nil })
	require.NoError(t, err)
	assert.NotEqual(t, sameID, r.PreviewID, "another plan")
	none, err := Preview(order(), nil, needs(nil))
	require.NoError(t, err)
	assert.Equal(t, []Service{}, none.Services, "a list, also of nothing")
}

func TestWhatIsInTheWay(t *testing.T) {
	for name, change := range map[string]func(*Wanted){
		"only built":     func(w *Wanted) { w.Service.Deploy = nil },
		"no target":      func(w *Wanted) { w.Plan.Decision, w.Plan.Problem = plan.Blocked, &plan.Warning{Message: "no target"} },
		"not evaluated":  func(w *Wanted) { w.Built.Problem = &build.Problem{Code: fault.EvalFailed, Message: "syntax error"} },
		"host is silent": func(w *Wanted) { w.There, w.Err = nil, fault.New(fault.HostUnreachable, "no route", "look") },
		"a foreign owner": func(w *Wanted) {
			w.There, w.Err = nil, fault.New(fault.Conflict, "a container that homelab has not made", "rename")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := web(t)
			change(&w)
			s, _ := previewOf(t, w)
			assert.Equal(t, Blocked, s.Action)
			require.NotNil(t, s.Problem)
			assert.NotEmpty(t, s.Problem.Message)
			r, err := Preview(order(), []Wanted{w}, func(string) []string { return nil })
			require.NoError(t, err)
			assert.Equal(t, s.Problem.Code, r.Code(), "there is nothing that can be done")
			assert.Empty(t, r.Unconfirmed())
		})
	}
}

// What waits for a service that something is in the way of waits as well, also through
// one that nothing is to be done for. One that has no container is nothing to wait for.
func TestWhatIsInTheWayOfADependency(t *testing.T) {
	app, db, lib, log := aService(t, "app"), aService(t, "db"), aService(t, "lib"), aService(t, "log")
	app.Built.Out, log.Built.Out = newOut, newOut
	db.Err, lib.Service.Deploy = fault.New(fault.HostUnreachable, "no route", "look"), nil
	idle := aService(t, "idle")
	of := needs(map[string][]string{"app": {"middle"}, "middle": {"db"}, "log": {"lib"}, "idle": {"db"}})
	r, err := Preview(order(), []Wanted{app, db, lib, log, idle}, of)
	require.NoError(t, err)
	by := map[string]Service{}
	for _, s := range r.Services {
		by[s.Name] = s
	}
	assert.Equal(t, Blocked, by["app"].Action)
	require.NotNil(t, by["app"].Problem)
	assert.Equal(t, &build.Problem{Code: fault.Precondition, Message: "it waits for db, which is blocked", Hint: "see what is in the way of db, or deploy app alone"}, by["app"].Problem)
	assert.Equal(t, []any{Replace, Nothing}, []any{by["log"].Action, by["idle"].Action})
	assert.Equal(t, []string{"log"}, r.Todo())
	assert.Equal(t, Counts{Total: 5, Replace: 1, None: 1, Blocked: 3}, r.Counts)
}

// What becomes of data is told of every volume and path, declared as state or not.
func TestImpact(t *testing.T) {
	w := web(t)
	w.There.Spec.Mounts = []deploy.Mount{
		{Volume: "pages", Target: "/old"}, {Source: "/srv/gone", Target: "/gone"}, {Volume: "cache", Target: "/cache"},
		{Volume: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", Target: "/of/the/image"},
	}
	w.Service.Deploy.Mounts = []registry.Mount{{Source: "/srv/new", Target: "/new"}}
	s, _ := previewOf(t, w)
	assert.Equal(t, []Impact{{"/srv/gone", "", Detached}, {"/srv/new", "", Attached}, {"cache", "recomputable", Kept}, {"pages", "durable", Moved}}, s.Impact)
}

func TestOrderOfARollout(t *testing.T) {
	app, db, log := aService(t, "app"), aService(t, "db"), aService(t, "log")
	app.Built.Out, db.Built.Out = newOut, newOut
	of := needs(map[string][]string{"app": {"middle", "log"}, "middle": {"db"}})
	r, err := Preview(order(), []Wanted{app, db, log}, of)
	require.NoError(t, err)
	names := []string{}
	for _, s := range r.Services {
		names = append(names, s.Name)
	}
	assert.Equal(t, []string{"db", "log", "app"}, names)
	assert.Equal(t, []string{"db"}, r.Services[2].After, "log is as it is to be")
	assert.Equal(t, []string{"db", "app"}, r.Todo())
	assert.Equal(t, Counts{Total: 3, Replace: 2, None: 1}, r.Counts)
	assert.Equal(t, r.PreviewID, r.Unconfirmed())
	require.NoError(t, r.Confirmed(r.PreviewID[:12]))
}

// What an answer leaves out is what there is nothing to tell of, and it is counted.
func TestBounded(t *testing.T) {
	r := &Report{State: Previewed, PreviewID: "id", Services: make([]Service, 250)}
	for i := range r.Services {
		r.Services[i].Name, r.Services[i].Action = strconv.Itoa(i), Nothing
	}
	for i := range 110 {
		r.Services[i].Action, r.Services[i].Problem = Blocked, &build.Problem{Code: fault.HostUnreachable}
	}
	r.Services[240].Action = Replace
	for _, s := range r.Services {
		r.Counts.add(s.Action)
	}
	b := r.Bounded()
	require.Len(t, b.Services, 100)
	assert.Equal(t, 150, b.More)
	assert.Equal(t, "id", b.Unconfirmed(), "what there is to do is not in the list")
	assert.Empty(t, b.Code())

	for i := range 110 {
		r.Services[i].Action, r.Services[i].Problem = Nothing, nil
	}
	r.Services[249].Problem = &build.Problem{}
	b = r.Bounded()
	assert.NotNil(t, b.Services[0].Problem)
	assert.Equal(t, Replace, b.Services[1].Action, "before those that nothing is done for")
	assert.Equal(t, "97", b.Services[99].Name, "and each once")
	assert.Len(t, r.Services, 250)

	r.Services = r.Services[:100]
	assert.Same(t, r, r.Bounded())
	assert.Nil(t, (*Report)(nil).Bounded(), "of what was broken off")
}

// A report is classified by what is in the way, or what went wrong; while there is
// something that can be done, by nothing.
func TestCode(t *testing.T) {
	blocked := []Service{{Action: Nothing}, {Action: Blocked, Problem: &build.Problem{Code: fault.HostUnreachable}}, {Action: Blocked, Problem: &build.Problem{Code: fault.Conflict}}}
	for name, c := range map[string]struct {
		report Report
		code   fault.Code
	}{
		"nothing to do":           {Report{State: Previewed, Counts: Counts{Total: 1, None: 1}}, ""},
		"all that is to be done":  {Report{State: Previewed, Counts: Counts{Total: 3, None: 1, Blocked: 2}, Services: blocked}, fault.HostUnreachable},
		"something can be done":   {Report{State: Previewed, Counts: Counts{Total: 4, None: 1, Blocked: 2, Replace: 1}, Services: blocked}, ""},
		"well":                    {Report{State: Succeeded, Counts: Counts{Total: 1, Replace: 1}}, ""},
		"under way":               {Report{State: Running, Counts: Counts{Total: 3, None: 1, Blocked: 2}, Services: blocked}, ""},
		"failed":                  {Report{State: Failed, Services: blocked}, fault.HostUnreachable},
		"failed, and nobody says": {Report{State: Failed}, fault.Internal},
		"canceled":                {Report{State: Canceled, Services: blocked}, fault.Canceled},
	} {
		assert.Equal(t, c.code, c.report.Code(), name)
	}
}

// What came of all is counted, and is what came of each.
func TestSettle(t *testing.T) {
	for name, c := range map[string]struct {
		services []Service
		state    State
		counts   Counts
	}{
		"nothing":         {nil, Succeeded, Counts{}},
		"well":            {[]Service{{Action: Replace, Status: Done}, {Action: Nothing, Status: Pending}, {Action: Start, Status: Unchanged}}, Succeeded, Counts{Deployed: 1, Unchanged: 2}},
		"one failed":      {[]Service{{Action: Replace, Status: Done}, {Action: Create, Status: Broken}, {Action: Create, Status: Skipped}}, Failed, Counts{Deployed: 1, Failed: 1, Skipped: 1}},
		"one was blocked": {[]Service{{Action: Replace, Status: Done}, {Action: Blocked, Status: Pending}}, Failed, Counts{Deployed: 1, Failed: 1}},
	} {
		r := &Report{State: Previewed, Services: c.services}
		r.Settle()
		assert.Equal(t, c.state, r.State, name)
		assert.Equal(t, c.counts, r.Counts, name)
	}
}

// What was passed for the id of a preview is told where it can be known.
func TestConfirmed(t *testing.T) {
	t.Parallel()
	preview := &Report{PreviewID: strings.Repeat("a", 64), PlanID: strings.Repeat("b", 64)}
	for confirm, want := range map[string]fault.Code{
		strings.Repeat("a", 64): "",
		"aaaaaaaaaaaa":          "",
		"aaaaaaaaaaa":           fault.InvalidArgument,
		strings.Repeat("b", 64): fault.InvalidArgument,
		"bbbbbbbbbbbb":          fault.InvalidArgument,
		"cccccccccccc":          fault.Conflict,
		"aaaaaaaaaaaac":         fault.Conflict,
	} {
		assert.Equal(t, want, fault.CodeOf(preview.Confirmed(confirm)), confirm)
	}
	back := &Report{PreviewID: preview.PreviewID} // without a plan
	assert.Equal(t, fault.Conflict, fault.CodeOf(back.Confirmed("cccccccccccc")))
}

// A version that is to have its state elsewhere than it is would start without it.
func TestStateElsewhere(t *testing.T) {
	warned := func(w Wanted) []plan.Warning {
		t.Helper()
		r, err := Preview(order(), []Wanted{w}, func(string) []string { return nil })
		require.NoError(t, err)
		return r.Warnings
	}
	w := web(t)
	assert.Empty(t, warned(w))
	w.Service.Deploy.Volumes[1].Name, w.Service.State.Items[1].Volume = "cache2", "cache2"
	assert.Empty(t, warned(w), "it can be computed again")
	w.Service.Deploy.Host, w.Service.Deploy.Volumes[0].Name, w.Service.State.Items[0].Volume = "nas", "pages2", "pages2"
	assert.Equal(t, []plan.Warning{{
		Code: "stateElsewhere", Message: "web would start without its state, which stays where it is: pages, and is to be pages2",
		Hint: "move it along: homelab state migrate web --to-host nas",
	}}, warned(w))
	w.Service.Deploy.Volumes[0].Target = "/srv/below"
	found := warned(w)
	require.Len(t, found, 1)
	assert.Contains(t, found[0].Hint, "of which only all can be moved: stop the service, copy it by hand")
	w.Service.Deploy.Volumes[0].Target, w.There = "/srv", nil
	assert.Empty(t, warned(w))
	w = web(t)
	w.Service.Deploy.Volumes[0].Name, w.Service.State.Items[0].Volume, w.Err = "pages2", "pages2", fault.New(fault.HostUnreachable, "no route", "look")
	assert.Empty(t, warned(w), "nothing is done to it")
}
