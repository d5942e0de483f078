package deploy_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
)

// All that was broken off is found, and what cannot be read hides nothing of it.
func TestEntries(t *testing.T) {
	t.Parallel()
	j := deploy.Journal{Dir: filepath.Join(t.TempDir(), "[deploy]")}
	found, failed := j.Entries()
	assert.Equal(t, []deploy.Entry{}, found)
	assert.Empty(t, failed, "nothing was ever written")

	for _, at := range [][2]string{{"pi", "web"}, {"nas", "web"}, {"nas", "a.json"}, {"nas", "gone"}} {
		require.NoError(t, j.Write(&deploy.Entry{Host: at[0], Service: at[1], Container: "c", Step: "stop"}))
	}
	require.NoError(t, j.Remove("nas", "gone"))
	file := func(name, content string) {
		require.NoError(t, os.WriteFile(filepath.Join(j.Dir, name), []byte(content), 0o600))
	}
	file("nas/torn.json", `{"service":`)
	file("nas/empty.json", "")
	file("nas/null.json", "null")
	file("nas/copied.json", `{"service":"web","host":"nas","container":"web"}`)
	file("nas/.new-123", `{"service":`)
	file("notes", "not a folder")
	found, failed = j.Entries()
	names := []string{}
	for _, e := range found {
		names = append(names, e.Host+" "+e.Service+" "+e.Step)
	}
	assert.Equal(t, []string{"nas a.json stop", "nas web stop", "pi web stop"}, names)
	require.Len(t, failed, 5, "%v", failed)
	for at, name := range []string{"notes", "nas/copied", "nas/empty", "nas/null", "nas/torn"} {
		assert.ErrorContains(t, failed[at], name)
	}
	_, err := j.Read("nas", "copied")
	assert.ErrorContains(t, err, "it is not about that service and host")
}
