package nix_test

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/nix"
)

const someCommit = "0123456789abcdef0123456789abcdef01234567"

func TestGitRef(t *testing.T) {
	tests := []struct {
		name           string
		root, rev, dir string
		want           string
	}{
		{"work tree", "/home/me/lab", "", "", "git+file:///home/me/lab"},
		{"revision", "/home/me/lab", someCommit, "", "git+file:///home/me/lab?rev=" + someCommit},
		{"folder", "/home/me/lab", "", "nix/lab", "git+file:///home/me/lab?dir=nix/lab"},
		{"folder and revision", "/lab", someCommit, "nix", "git+file:///lab?dir=nix&rev=" + someCommit},
		{"root as a folder", "/lab", "", ".", "git+file:///lab"},
		{"folder with a dot", "/lab", "", "./nix/", "git+file:///lab?dir=nix"},
		{"URL syntax in the root", "/a b/#1/50%/what?", "", "", "git+file:///a%20b/%231/50%25/what%3F"},
		{"bytes", "/ünï/new\nline/\xff", "", "", "git+file:///%C3%BCn%C3%AF/new%0Aline/%FF"},
		{"left alone in the root", "/a+b@c,d=e;f:g(h)!$&'*~", "", "", "git+file:///a+b@c,d=e;f:g(h)!$&'*~"},
		{"query syntax in the folder", "/lab", "", "a&b=c+d/e f#%", "git+file:///lab?dir=a%26b%3Dc%2Bd/e%20f%23%25"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, nix.GitRef(test.root, test.rev, test.dir))
		})
	}
}

func FuzzGitRef(f *testing.F) {
	f.Add("lab", "nix/lab")
	f.Add("a b#?%&", "c d#?%&=+")
	f.Add("ünï\xff", "new\nline")
	f.Fuzz(func(t *testing.T, name, dir string) {
		root := "/no-such-folder/" + name
		ref, err := url.Parse(nix.GitRef(root, someCommit, dir))
		require.NoError(t, err)
		assert.Equal(t, "git+file", ref.Scheme)
		assert.Empty(t, ref.Host)
		assert.Equal(t, root, ref.Path)
		query, err := url.ParseQuery(ref.RawQuery)
		require.NoError(t, err)
		assert.Equal(t, someCommit, query.Get("rev"))
		if clean := filepath.Clean(dir); clean != "." {
			assert.Equal(t, clean, query.Get("dir"))
		}
		assert.NotRegexp(t, `[^!-~]`, ref.String(), "a byte that old versions of Nix refuse")
	})
}

func TestGitRefOfShallowRepository(t *testing.T) {
	root := t.TempDir()
	put := func(path, text string) {
		path = filepath.Join(root, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	put("whole/.git/HEAD", "ref: refs/heads/main\n")
	put("clone/.git/shallow", someCommit+"\n")
	put("clone/.git/worktrees/linked/commondir", "../..\n")
	put("linked/.git", "gitdir: "+filepath.Join(root, "clone/.git/worktrees/linked")+"\n")
	put("relative/.git", "gitdir: ../clone/.git/worktrees/linked\n")
	put("absolute/.git", "gitdir: "+filepath.Join(root, "absolute-git")+"\n")
	put("absolute-git/commondir", filepath.Join(root, "clone/.git"))
	put("none/flake.nix", "{ }")

	want := map[string]bool{
		"whole": false, "clone": true, "linked": true, "relative": true, "absolute": true, "none": false, "absent": false,
	}
	for folder, shallow := range want {
		ref := nix.GitRef(filepath.Join(root, folder), someCommit, "")
		assert.Equal(t, shallow, strings.HasSuffix(ref, "&shallow=1"), ref)
	}
}
