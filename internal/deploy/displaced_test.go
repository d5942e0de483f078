package deploy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"homelab/internal/deploy"
	"homelab/registry"
)

// What two containers have at the same place within is the same state, wherever it is on
// the host.
func TestDisplacedItems(t *testing.T) {
	t.Parallel()
	volume := func(name, target string) deploy.Mount { return deploy.Mount{Volume: name, Target: target} }
	path := func(source, target string) deploy.Mount { return deploy.Mount{Source: source, Target: target} }
	v := func(name string) registry.StateItem { return registry.StateItem{Volume: name} }
	p := func(name string) registry.StateItem { return registry.StateItem{Path: name} }
	for name, c := range map[string]struct {
		item      registry.StateItem
		was, will []deploy.Mount
		from      string // empty: it is where it was, or there was none
		why       string
	}{
		"where it was":                     {v("data"), []deploy.Mount{volume("data", "/data")}, []deploy.Mount{volume("data", "/data")}, "", ""},
		"mounted elsewhere, and there too": {v("data"), []deploy.Mount{volume("data", "/data")}, []deploy.Mount{volume("data", "/other")}, "", ""},
		"at two places, one of them new":   {v("data"), []deploy.Mount{volume("old", "/a"), volume("data", "/b")}, []deploy.Mount{volume("data", "/a"), volume("data", "/b")}, "", ""},
		"new":                              {v("data"), nil, []deploy.Mount{volume("data", "/data")}, "", ""},
		"not mounted":                      {v("data"), []deploy.Mount{volume("old", "/data")}, nil, "", ""},
		"a volume was renamed":             {v("data"), []deploy.Mount{volume("old", "/data")}, []deploy.Mount{volume("data", "/data")}, "old", ""},
		"a path was":                       {p("/srv/data"), []deploy.Mount{path("/old", "/data")}, []deploy.Mount{path("/srv/data", "/data")}, "/old", ""},
		"a path became a volume":           {v("data"), []deploy.Mount{path("/old", "/data")}, []deploy.Mount{volume("data", "/data")}, "/old", ""},
		"a volume became a path":           {p("/srv/data"), []deploy.Mount{volume("old", "/data")}, []deploy.Mount{path("/srv/data", "/data")}, "old", ""},
		"below what is mounted":            {p("/srv/web/data"), []deploy.Mount{path("/old", "/web")}, []deploy.Mount{path("/srv/web", "/web")}, "/old/data", ""},
		"the same below another mount":     {p("/srv/web/data"), []deploy.Mount{path("/srv/web/data", "/web/data")}, []deploy.Mount{path("/srv/web", "/web")}, "", ""},
		"below a mount before":             {p("/srv/data"), []deploy.Mount{path("/old", "/web")}, []deploy.Mount{path("/srv/data", "/web/data")}, "/old/data", ""},
		"hidden by another mount":          {p("/srv/web/data"), []deploy.Mount{path("/old", "/web")}, []deploy.Mount{path("/srv/web", "/web"), volume("v", "/web/data")}, "", ""},
		"part of a volume":                 {v("data"), []deploy.Mount{volume("old", "/web")}, []deploy.Mount{volume("data", "/web/data")}, "old", "data is data in volume old"},
		"where another one is":             {v("b"), []deploy.Mount{volume("a", "/a"), volume("b", "/b")}, []deploy.Mount{volume("b", "/a"), volume("a", "/b")}, "a", "b is to be where the container that runs has /b"},
		"into itself":                      {p("/old/data"), []deploy.Mount{path("/old", "/data")}, []deploy.Mount{path("/old/data", "/data")}, "/old", "would not be kept"},
		"with a mount in it":               {v("data"), []deploy.Mount{volume("old", "/data"), volume("log", "/data/log")}, []deploy.Mount{volume("data", "/data")}, "old", "has /data/log elsewhere"},
		"with a mount in it that stays":    {v("data"), []deploy.Mount{volume("old", "/data"), volume("log", "/data/log")}, []deploy.Mount{volume("data", "/data"), volume("log", "/data/log")}, "old", ""},
		"mounted in parts":                 {p("/srv"), []deploy.Mount{path("/old/a", "/a")}, []deploy.Mount{path("/srv/a", "/a")}, "/old/a", "mounted in parts"},
		"mounted in parts, where it was":   {p("/srv"), []deploy.Mount{path("/srv/a", "/a")}, []deploy.Mount{path("/srv/a", "/a")}, "", ""},
		"all of the host":                  {p("/srv"), []deploy.Mount{path("/old", "/host/srv")}, []deploy.Mount{path("/", "/host")}, "/old", ""},
	} {
		t.Run(name, func(t *testing.T) {
			found := deploy.DisplacedItems([]registry.StateItem{c.item}, c.was, c.will)
			if c.from == "" {
				assert.Empty(t, found)
				return
			}
			if assert.Len(t, found, 1) {
				assert.Equal(t, []any{c.item, c.from}, []any{found[0].Item, found[0].From.Name()})
				if c.why == "" {
					assert.NoError(t, found[0].Why)
				} else {
					assert.ErrorContains(t, found[0].Why, c.why)
				}
			}
		})
	}
}
