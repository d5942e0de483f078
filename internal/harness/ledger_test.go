package harness_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/gitrepo/gittest"
	"homelab/internal/harness"
	"homelab/internal/plan"
	"homelab/registry"
)

// fleet is a repository with services on two hosts, whose engines only list
// containers.
type fleet struct {
	t       *testing.T
	r       *gittest.Repo
	journal deploy.Ledger
	engines map[string]*listing // by host
	harness *harness.Harness
}

func (f *fleet) all() *plan.Plan { f.t.Helper(); return f.plan(plan.Request{}) }

func (f *fleet) plan(r plan.Request) *plan.Plan {
	f.t.Helper()
	p, err := f.harness.Core().Plan(f.t.Context(), r)
	require.NoError(f.t, err)
	return p
}

// listing is an engine that answers on a socket of its own.
type listing struct {
	socket string
	list   []listed
	asked  atomic.Int64
	hangs  chan struct{} // nil: it answers
}

// listed is a container as engines list it.
type listed struct {
	ID     string `json:"Id"`
	Names  []string
	State  string
	Labels map[string]string
}

const fleetRegistry = `{"version": 1,
	"hosts": {"one": {"docker": "unix://ONE"}, "two": {"docker": "unix://TWO"}},
	"services": {
		"web": {"build": {"targets": {"x86_64-linux": "web", "aarch64-linux": "web"}}, "hints": ["web"], "deploy": {"host": "one", "env": {"TZ": "UTC"}}},
		"db": {"build": {"targets": {"x86_64-linux": "db", "aarch64-linux": "db"}}, "hints": ["db"], "deploy": {"host": "two"}},
		"lib": {"build": {"targets": {"x86_64-linux": "lib", "aarch64-linux": "lib"}}, "hints": ["lib"]}}}`

func newFleet(t *testing.T) *fleet {
	t.Helper()
	gittest.Hermetic()
	t.Setenv("HOMELAB_SYSTEM", "x86_64-linux")
	state := t.TempDir()
	t.Setenv("HOMELAB_STATE", state)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	f := &fleet{t: t, r: gittest.New(t), engines: map[string]*listing{}}
	text := fleetRegistry
	for _, host := range []string{"one", "two"} {
		dir, err := os.MkdirTemp("", "fleet") // a name that fits into a socket's
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
		f.engines[host] = &listing{socket: filepath.Join(dir, "s")}
		text = strings.Replace(text, strings.ToUpper(host), f.engines[host].socket, 1)
	}
	f.r.Write("homelab.json", text)
	for _, service := range []string{"web", "db", "lib"} {
		f.r.Write(service+"/file", "old")
	}
	f.r.Commit("one")
	f.harness = harness.New(harness.Config{Repo: f.r.Dir, Registry: f.r.Path("homelab.json"), Resident: true})
	root, err := filepath.EvalSymlinks(f.r.Dir)
	require.NoError(t, err)
	f.journal = deploy.Ledger{Dir: filepath.Join(stateOf(t, state, root), "deployed")}
	return f
}

// stateOf is the folder of the state of a repository, as docs/architecture.md says.
func stateOf(t *testing.T, state, root string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(root))
	return filepath.Join(state, filepath.Base(root)+"-"+hex.EncodeToString(sum[:6]))
}

// start has the engine of a host answer.
func (f *fleet) start(host string) *listing {
	f.t.Helper()
	e := f.engines[host]
	listener, err := net.Listen("unix", e.socket)
	require.NoError(f.t, err)
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.asked.Add(1)
		if e.hangs != nil {
			<-e.hangs
			return
		}
		assert.Equal(f.t, "/containers/json", r.URL.Path)
		assert.NoError(f.t, json.NewEncoder(w).Encode(append([]listed{}, e.list...)))
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // until it is closed
	}()
	f.t.Cleanup(func() {
		if e.hangs != nil {
			close(e.hangs)
		}
		assert.NoError(f.t, server.Close())
		<-done
	})
	return e
}

// labels are those of a container that was made from what is committed.
func (f *fleet) labels(service string) map[string]string {
	f.t.Helper()
	content, err := os.ReadFile(f.r.Path("homelab.json"))
	require.NoError(f.t, err)
	reg, err := registry.Parse(content)
	require.NoError(f.t, err)
	s := reg.Services[service]
	spec, err := deploy.NewSpec(service, s, reg.Hosts[s.HostOf()], "any:image")
	require.NoError(f.t, err)
	return map[string]string{
		deploy.LabelService: service, deploy.LabelGeneration: "1", deploy.LabelSpec: spec.Hash(),
		deploy.LabelRevision: f.r.Rev("HEAD"), deploy.LabelState: "clean", deploy.LabelOut: "/nix/store/" + service,
	}
}

func (e *listing) has(id, name string, labels map[string]string) {
	e.list = append(e.list, listed{id, []string{"/" + name}, "exited", labels})
}

// told is a line for each service that is not as it should be, and for each warning.
func told(p *plan.Plan) []string {
	lines := []string{}
	for _, s := range p.Services {
		for _, r := range s.Reasons {
			lines = append(lines, s.Name+" "+string(s.Decision)+" "+string(r.Kind))
		}
	}
	for _, w := range p.Warnings {
		lines = append(lines, w.Code)
	}
	return lines
}

func TestLedgerOfLabels(t *testing.T) {
	f := newFleet(t)
	one, two := f.start("one"), f.start("two")
	assert.Empty(t, told(f.all()), "nothing was ever deployed")
	two.has("x", "other", map[string]string{deploy.LabelService: "of-another-repository"})
	assert.Empty(t, told(f.all()))

	one.has("w1", "web", f.labels("web"))
	assert.Equal(t, []string{"db rebuild neverDeployed"}, told(f.all()))
	two.has("d0", "db.g1", f.labels("db"))
	assert.Equal(t, []string{"db rebuild neverDeployed"}, told(f.all()), "an old generation is none")
	two.has("d1", "db", f.labels("db"))
	before := f.all()
	assert.Empty(t, told(before))

	f.r.Write("db/file", "edited")
	f.r.Commit("two")
	assert.Equal(t, []string{"db rebuild hint"}, told(f.all()))
	asked := one.asked.Load()
	assert.Empty(t, told(f.plan(plan.Request{Base: "HEAD"})))
	assert.Equal(t, asked, one.asked.Load(), "a named base asks nobody")

	content, err := os.ReadFile(f.r.Path("homelab.json"))
	require.NoError(t, err)
	f.r.Write("homelab.json", strings.Replace(string(content), `"TZ": "UTC"`, `"TZ": "CET"`, 1))
	assert.Equal(t, []string{"db rebuild hint", "web redeploy registry", "web redeploy drift"}, told(f.all()))
	f.r.Write("homelab.json", strings.Replace(string(content), `"host": "one", "env"`, `"host": "one", "container": "site", "env"`, 1))
	assert.Equal(t, []string{"db rebuild hint", "web redeploy registry", "web redeploy drift"}, told(f.all()), "it is there, under the name that it had before")
	one.list[0].State = "running"
	assert.Equal(t, []string{"db rebuild hint", "web redeploy registry", "web redeploy drift"}, told(f.all()), "one that runs is renamed")
}

func TestLedgerOfSilentHosts(t *testing.T) {
	f := newFleet(t)
	assert.Empty(t, told(f.all()), "engines of this machine that are not there have nothing, when it has no record of anything")
	one := f.start("one")
	one.has("w1", "web", f.labels("web"))
	f.r.Write("db/file", "edited")
	f.r.Commit("two")
	p := f.all()
	assert.Equal(t, []string{"hostSilent"}, told(p), "the base of the plan decides")
	assert.Contains(t, p.Warnings[0].Message, "host two does not say what it runs")
	assert.Contains(t, p.Warnings[0].Message, "what db was deployed from is not known")

	old := f.labels("db")
	old[deploy.LabelRevision] = f.r.Rev("HEAD~1")
	require.NoError(t, f.journal.Write(deploy.RecordOf("two", "d1", old, time.Now())))
	silent := f.all()
	assert.Equal(t, []string{"db rebuild hint", "hostSilent"}, told(silent), "the journal knows")
	assert.Contains(t, silent.Warnings[0].Message, "what this machine deployed last counts")

	two := f.start("two")
	two.has("d1", "db", old)
	p = f.all()
	assert.Equal(t, []string{"db rebuild hint"}, told(p))
	assert.Equal(t, silent.PlanID, p.PlanID, "who told it is no part of the plan")

	// A later run found that what is committed is what runs.
	require.NoError(t, f.journal.Write(deploy.RecordOf("two", "d1", f.labels("db"), time.Now())))
	assert.Empty(t, told(f.all()))
	two.list[0].ID = "d2"
	assert.Equal(t, []string{"db rebuild hint"}, told(f.all()), "of another container the labels tell")
	two.list = nil
	assert.Equal(t, []string{"db rebuild neverDeployed"}, told(f.all()), "so does that there is none")

	require.NoError(t, os.WriteFile(filepath.Join(f.journal.Dir, "two", "db.json"), []byte("{"), 0o600))
	two.has("d2", "db", f.labels("db"))
	assert.Equal(t, []string{"recordUnreadable"}, told(f.all()))
}

// A host that lets us wait is not asked by every question; one that refuses is.
func TestLedgerOfAHostThatHangs(t *testing.T) {
	f := newFleet(t)
	one, two := f.start("one"), f.engines["two"]
	one.has("w1", "web", f.labels("web"))
	two.hangs = make(chan struct{})
	f.start("two")
	for range 3 {
		p := f.all()
		assert.Equal(t, []string{"hostSilent"}, told(p))
		assert.Contains(t, p.Warnings[0].Message, "does not answer")
	}
	assert.EqualValues(t, 3, one.asked.Load())
	assert.EqualValues(t, 1, two.asked.Load())
}

// Only hosts that a question is about are asked.
func TestLedgerAsksWhoMatters(t *testing.T) {
	f := newFleet(t)
	one, two := f.start("one"), f.start("two")
	p := f.plan(plan.Request{Services: []string{"db"}})
	assert.Equal(t, []string{"db rebuild explicit"}, told(p))
	f.plan(plan.Request{Services: []string{"lib"}})
	f.plan(plan.Request{Mode: plan.Hints, Head: "HEAD"})
	assert.Equal(t, []int64{0, 1}, []int64{one.asked.Load(), two.asked.Load()})
}
