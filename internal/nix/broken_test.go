package nix_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"homelab/internal/nix"
	"homelab/registry"
)

// lab is a repository whose packages are broken, each in its own way
// (testdata/broken).
type brokenLab struct {
	repo
	salt   string // in the environment of every builder
	system string
}

// broken makes a lab. Its derivations are like those of no other.
func broken(t *testing.T) brokenLab {
	t.Helper()
	l := brokenLab{repo: newRepo(t, t.TempDir()), system: registry.SystemOf(runtime.GOOS, runtime.GOARCH)}
	require.NoError(t, os.CopyFS(l.root, os.DirFS("testdata/broken")))
	l.salt = fmt.Sprintf("%s-%d", filepath.Base(filepath.Dir(l.root)), os.Getpid())
	l.write("salt", l.salt)
	l.commit()
	return l
}

func (l brokenLab) ref() string { return nix.GitRef(l.root, "", "") }

// attr is the attribute of a package of this machine.
func (l brokenLab) attr(name string) string { return "packages." + l.system + "." + name }

// target evaluates one package of this machine.
func (l brokenLab) target(t *testing.T, name string) nix.Target {
	t.Helper()
	return l.targets(t, name)[name]
}

// targets evaluates packages of this machine; none may fail.
func (l brokenLab) targets(t *testing.T, names ...string) map[string]nix.Target {
	t.Helper()
	var attrs []string
	for _, name := range names {
		attrs = append(attrs, l.attr(name))
	}
	evaluated, err := nix.Nix{}.Targets(t.Context(), l.ref(), attrs)
	require.NoError(t, err)
	targets := map[string]nix.Target{}
	for attr, e := range evaluated {
		require.NoError(t, e.Err, attr)
		targets[strings.TrimPrefix(attr, l.attr(""))] = e.Target
	}
	return targets
}
