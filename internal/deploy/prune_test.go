package deploy_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/fault"
	"homelab/registry"
)

// pinned is the pin of a build, by one digit.
func pinned(repository string, digit int) string {
	return fmt.Sprint(repository, ":nix-", digit, strings.Repeat("0", 31))
}

// held is a container of a service, named NAME or NAME.gN, that has the image with the
// digit of its generation.
func held(service string, generation int, edits ...func(*deploy.Container)) deploy.Container {
	c := deploy.Container{
		ID: fmt.Sprint(service, generation), Name: fmt.Sprint(service, ".g", generation), State: deploy.Exited, ImageID: fmt.Sprint("sha256:", generation),
		Labels:  map[string]string{deploy.LabelService: service, deploy.LabelGeneration: fmt.Sprint(generation)},
		Spec:    deploy.Spec{Image: pinned("homelab/"+service, generation)},
		Started: time.Unix(int64(generation), 0),
	}
	for _, edit := range edits {
		edit(&c)
	}
	return c
}

func current(c *deploy.Container) {
	c.Name, _, _ = strings.Cut(c.Name, ".")
	c.State = deploy.Running
}

func image(digit int, names ...string) deploy.HostImage {
	return deploy.HostImage{ID: fmt.Sprint("sha256:", digit), Names: names, Size: 10}
}

func TestPrunable(t *testing.T) {
	t.Parallel()
	services := map[string]registry.Service{
		"web": {Deploy: &registry.Deploy{}}, "db": {Deploy: &registry.Deploy{}, Build: registry.Build{Image: "lab/database"}}, "tool": {},
	}
	web := func(digit int) string { return pinned("homelab/web", digit) }
	for name, c := range map[string]struct {
		containers []deploy.Container
		images     []deploy.HostImage
		only       string
		busy       string
		goes       []string // names
		orphans    []string
		bytes      int64
	}{
		"nothing": {},
		"generations beyond two": {
			containers: []deploy.Container{held("web", 5, current), held("web", 4), held("web", 3), held("web", 2), held("web", 1)},
			goes:       []string{"web.g1", "web.g2"},
		},
		"those that ran last are kept, whatever their number": {
			containers: []deploy.Container{held("web", 2, current), held("web", 4), held("web", 3), held("web", 1, func(c *deploy.Container) { c.Started = time.Unix(9, 0) })},
			goes:       []string{"web.g3"},
		},
		"what never ran": {
			containers: []deploy.Container{held("web", 1, current), held("web", 2, func(c *deploy.Container) { c.State, c.Started = deploy.Created, time.Time{} })},
			goes:       []string{"web.g2"},
		},
		"what never ran, where nothing else is": {
			containers: []deploy.Container{held("web", 4, func(c *deploy.Container) { c.State, c.Started = deploy.Created, time.Time{} })},
			goes:       []string{"web.g4"},
		},
		"nothing that runs": {
			containers: []deploy.Container{
				held("web", 9, current), held("web", 8), held("web", 7), held("web", 3, func(c *deploy.Container) { c.State = deploy.Running }),
				held("web", 2, func(c *deploy.Container) { c.State = deploy.Restarting }), held("web", 1, func(c *deploy.Container) { c.State = deploy.Paused }),
			},
		},
		"nothing of one whose switch was broken off": {
			containers: []deploy.Container{held("web", 4, current), held("web", 3), held("web", 2), held("web", 1), held("db", 4, current), held("db", 3), held("db", 2), held("db", 1)},
			busy:       "web", goes: []string{"db.g1"},
		},
		"no image of one whose switch was broken off": {images: []deploy.HostImage{image(9, web(9))}, busy: "web"},
		"of one service": {
			containers: []deploy.Container{held("web", 4, current), held("web", 3), held("web", 2), held("web", 1), held("db", 4, current), held("db", 3), held("db", 2), held("db", 1), held("old", 1)},
			images:     []deploy.HostImage{image(7, web(7)), image(8, pinned("lab/database", 8)), image(9, pinned("other", 9))},
			only:       "web", goes: []string{"web.g1", web(7)}, bytes: 10,
		},
		"of what the registry has no service for": {
			containers: []deploy.Container{held("old", 2, current), held("old", 1)},
			images:     []deploy.HostImage{image(2, pinned("homelab/old", 2)), image(9, pinned("homelab/old", 9))},
			orphans:    []string{"old", "old.g1", pinned("homelab/old", 9)},
		},
		"images that no container has": {
			containers: []deploy.Container{held("web", 2, current), held("web", 1)},
			images:     []deploy.HostImage{image(1, web(1)), image(2, "homelab/web:latest", web(2)), image(3, web(3)), image(4, web(4), "homelab/web:v4"), image(5, pinned("lab/database", 5))},
			goes:       []string{"homelab/web:v4 " + web(4), web(3), pinned("lab/database", 5)}, bytes: 30,
		},
		"images of generations that go": {
			containers: []deploy.Container{held("web", 4, current), held("web", 3), held("web", 2), held("web", 1)},
			images:     []deploy.HostImage{image(1, web(1)), image(2, web(2)), image(3, web(3)), image(4, web(4))},
			goes:       []string{"web.g1", web(1)}, bytes: 10,
		},
		"images that have moved on below their name": {
			containers: []deploy.Container{held("web", 1, current, func(c *deploy.Container) { c.ImageID = "sha256:elsewhere" })},
			images:     []deploy.HostImage{image(1, web(1))},
		},
		"images by what they are": {
			containers: []deploy.Container{held("web", 1, current, func(c *deploy.Container) { c.Spec.Image = "web:untagged" })},
			images:     []deploy.HostImage{image(1, web(7))},
		},
		"images of repositories that containers tell of": {
			containers: []deploy.Container{held("web", 1, current, func(c *deploy.Container) { c.Spec.Image = pinned("ghcr.io:443/me/web", 1) })},
			images:     []deploy.HostImage{image(1, pinned("ghcr.io:443/me/web", 1)), image(2, pinned("ghcr.io:443/me/web", 2))},
			goes:       []string{pinned("ghcr.io:443/me/web", 2)}, bytes: 10,
		},
		"nothing of others": {
			images: []deploy.HostImage{
				image(1), image(2, "homelab/web:latest"), image(3, "nginx:1.25"), image(4, "homelab/web:nix-"), image(5, "homelab/web:nix-"+strings.Repeat("e", 32)),
				image(6, web(6)+"0"), image(7, "localhost:5000/nix-"+strings.Repeat("0", 32)),
			},
		},
		"what somebody has given a name": {
			images:  []deploy.HostImage{image(1, web(1), "keep/this:one")},
			orphans: []string{"keep/this:one " + web(1)},
		},
		"two pins": {
			images: []deploy.HostImage{image(1, web(1), web(2)), image(3, web(3), pinned("homelab/old", 3))},
			goes:   []string{web(1) + " " + web(2)}, orphans: []string{pinned("homelab/old", 3) + " " + web(3)}, bytes: 10,
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := deploy.Prunable(c.containers, c.images, deploy.Keeping{Services: services, Only: c.only, Keep: 2, Busy: map[string]bool{c.busy: true}})
			assert.ElementsMatch(t, c.goes, named(h.Items))
			assert.ElementsMatch(t, c.orphans, named(h.Orphans))
			for _, o := range h.Orphans {
				assert.Equal(t, deploy.PruneOrphan, o.Status)
				assert.NotEmpty(t, o.Why)
			}
			for n, i := range h.Items {
				assert.Equal(t, deploy.PrunePending, i.Status)
				assert.Contains(t, []string{"web", "db"}, i.Service)
				assert.True(t, n == 0 || h.Items[n-1].Kind <= i.Kind, "containers go first")
			}
			if c.busy != "" {
				assert.Equal(t, []string{c.busy}, h.Busy)
			}
			report, err := deploy.Sum([]deploy.PruneHost{h})
			require.NoError(t, err)
			assert.Equal(t, c.bytes, report.Bytes)
			assert.Equal(t, len(c.goes), report.Containers+report.Images)
			assert.Equal(t, len(c.goes) > 0, report.Unconfirmed() != "")
		})
	}
}

func named(items []deploy.PruneItem) []string {
	names := []string{}
	for _, i := range items {
		names = append(names, strings.Join(i.Names, " "))
	}
	return names
}

// A call takes away so much, and the next one the rest.
func TestPrunableIsBounded(t *testing.T) {
	t.Parallel()
	all := []deploy.Container{held("web", 200, current)}
	for n := range 150 {
		all = append(all, held("web", n), held("old", n))
	}
	h := deploy.Prunable(all, nil, deploy.Keeping{Services: map[string]registry.Service{"web": {Deploy: &registry.Deploy{}}}, Keep: 2})
	assert.Equal(t, []int{100, 48, 100}, []int{len(h.Items), h.More, len(h.Orphans)})
}

// The id of a preview is that of what goes, and of nothing else.
func TestPrunePreviewID(t *testing.T) {
	t.Parallel()
	id := func(hosts ...deploy.PruneHost) string {
		report, err := deploy.Sum(hosts)
		require.NoError(t, err)
		return report.PreviewID
	}
	item := deploy.PruneItem{Kind: deploy.OldImage, Names: []string{"a", "b"}, ID: "1", Status: deploy.PrunePending}
	nas, pi := deploy.PruneHost{Name: "nas", Answers: true, Items: []deploy.PruneItem{item}}, deploy.PruneHost{Name: "pi"}
	before := id(nas, pi)
	assert.Equal(t, before, id(pi, nas), "whoever answers first")
	pi.Answers = true
	assert.Equal(t, before, id(nas, pi), "who has nothing")
	other := item
	other.ID = "2"
	renamed := item
	renamed.Names = []string{"a"}
	for _, items := range [][]deploy.PruneItem{nil, {item, other}, {other}, {renamed}} {
		moved := nas
		moved.Items = items
		assert.NotEqual(t, before, id(moved, pi))
	}
}

// prunery is an engine with images of two builds of web, and a container of another's.
func prunery(t *testing.T) (*deploytest.Memory, []deploy.PruneItem) {
	t.Helper()
	engine := &deploytest.Memory{}
	ctx := t.Context()
	items := []deploy.PruneItem{}
	for digit := 1; digit <= 2; digit++ {
		pin := pinned("homelab/web", digit)
		require.NoError(t, engine.Load(ctx, bytes.NewReader(deploytest.Archive(pin, fmt.Sprint(digit), "x"))))
		i, err := engine.Image(ctx, pin)
		require.NoError(t, err)
		own := fmt.Sprint("homelab/web:v", digit)
		require.NoError(t, engine.Tag(ctx, i.ID, own))
		items = append(items, deploy.PruneItem{Kind: deploy.OldImage, Service: "web", Names: []string{own, pin}, ID: i.ID, Status: deploy.PrunePending})
	}
	spec, err := deploy.NewSpec("web", registry.Service{Deploy: &registry.Deploy{}}, registry.Host{}, items[0].Names[1])
	require.NoError(t, err)
	id, err := engine.Create(ctx, "web.g1", spec, nil)
	require.NoError(t, err)
	return engine, append([]deploy.PruneItem{{Kind: deploy.OldContainer, Service: "web", Names: []string{"web.g1"}, ID: id, Status: deploy.PrunePending}}, items...)
}

func statuses(items []deploy.PruneItem) []deploy.PruneStatus {
	list := []deploy.PruneStatus{}
	for _, i := range items {
		list = append(list, i.Status)
	}
	return list
}

func TestPrune(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	names := func(e *deploytest.Memory) []string {
		all, err := e.Images(ctx)
		require.NoError(t, err)
		found := []string{}
		for _, i := range all {
			found = append(found, i.Names...)
		}
		return found
	}
	whole := []string{"homelab/web:v1", pinned("homelab/web", 1), "homelab/web:v2", pinned("homelab/web", 2)}
	const pending, gone, used, failed = deploy.PrunePending, deploy.Pruned, deploy.PruneInUse, deploy.PruneFailed
	for name, c := range map[string]struct {
		meanwhile func(e *deploytest.Memory, items []deploy.PruneItem)
		statuses  []deploy.PruneStatus
		left      []string
	}{
		"all goes": {func(*deploytest.Memory, []deploy.PruneItem) {}, []deploy.PruneStatus{gone, gone, gone}, nil},
		"it runs":  {func(e *deploytest.Memory, items []deploy.PruneItem) { require.NoError(t, e.Start(ctx, items[0].ID)) }, []deploy.PruneStatus{failed, used, gone}, whole[:2]},
		"renamed": {func(e *deploytest.Memory, items []deploy.PruneItem) {
			require.NoError(t, e.Rename(ctx, items[0].ID, "web"))
		}, []deploy.PruneStatus{failed, used, gone}, whole[:2]},
		"disowned": {func(e *deploytest.Memory, items []deploy.PruneItem) { e.Disown(items[0].ID) }, []deploy.PruneStatus{failed, used, gone}, whole[:2]},
		"gone":     {func(e *deploytest.Memory, items []deploy.PruneItem) { e.Vanish(items[0].ID) }, []deploy.PruneStatus{gone, gone, gone}, nil},
		"pin moved": {func(e *deploytest.Memory, items []deploy.PruneItem) {
			require.NoError(t, e.Tag(ctx, items[2].ID, whole[1]))
		}, []deploy.PruneStatus{gone, failed, gone}, []string{whole[0], whole[1]}},
		"no answer": {func(e *deploytest.Memory, _ []deploy.PruneItem) {
			e.Fail = func(call string) error {
				if call == "untag" {
					return fault.New(fault.EngineUnavailable, "gone", "")
				}
				return nil
			}
		}, []deploy.PruneStatus{gone, failed, failed}, whole},
	} {
		t.Run(name, func(t *testing.T) {
			engine, items := prunery(t)
			c.meanwhile(engine, items)
			deploy.Prune(ctx, engine, items)
			assert.Equal(t, c.statuses, statuses(items), "%+v", items)
			assert.ElementsMatch(t, c.left, names(engine))
			for _, i := range items {
				assert.Equal(t, i.Status == failed || i.Status == used, i.Problem != nil)
			}
		})
	}
	t.Run("canceled", func(t *testing.T) {
		engine, items := prunery(t)
		ctx, stop := context.WithCancel(ctx)
		engine.Fail = func(call string) error {
			if call == "untag" {
				stop()
			}
			return nil
		}
		deploy.Prune(ctx, engine, items)
		assert.Equal(t, gone, items[0].Status)
		assert.Equal(t, pending, items[2].Status)
	})
}

func TestPruneReports(t *testing.T) {
	t.Parallel()
	problem := deploy.PruneHost{Name: "pi", Items: []deploy.PruneItem{{Status: deploy.PrunePending}, {Status: deploy.Pruned}}}
	problem.Unreached(fault.New(fault.HostUnreachable, "silent", ""))
	assert.Equal(t, []deploy.PruneStatus{deploy.PruneFailed, deploy.Pruned}, statuses(problem.Items))
	r := &deploy.PruneReport{Hosts: []deploy.PruneHost{problem}}
	r.Settle()
	assert.Equal(t, []any{"failed", fault.HostUnreachable, 1, 0}, []any{r.State, r.Code(), r.Images, r.Containers})

	silent := deploy.PruneHost{Name: "pi", Problem: problem.Items[0].Problem}
	none, err := deploy.Sum([]deploy.PruneHost{silent})
	require.NoError(t, err)
	assert.Equal(t, fault.HostUnreachable, none.Code(), "nobody answers")
	some, err := deploy.Sum([]deploy.PruneHost{silent, {Name: "nas", Answers: true}})
	require.NoError(t, err)
	assert.Empty(t, some.Code())
}
