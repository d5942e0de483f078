package nix_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/nix"
)

var update = flag.Bool("update", false, "rewrite the faults in testdata/wording and testdata/build")

// TestWording feeds the standard error of real versions of Nix to EvalJSON.
// The comment of an archive is the installable; a file VERSION has what Nix
// said, a file "VERSION fault" what becomes of it.
func TestWording(t *testing.T) {
	eachArchive(t, "testdata/wording", func(t *testing.T, archive *txtar.Archive) []txtar.File {
		flake, attr, _ := strings.Cut(strings.TrimSpace(string(archive.Comment)), " ")

		want := map[string]string{}
		var said []txtar.File
		for _, file := range archive.Files {
			if version, ok := strings.CutSuffix(file.Name, " fault"); ok {
				want[version] = string(file.Data)
				continue
			}
			said = append(said, file)
		}
		require.NotEmpty(t, said)
		var rewritten []txtar.File
		for _, file := range said {
			t.Setenv("FAKE_NIX_STDERR", string(file.Data))
			_, err := nix.Nix{}.EvalJSON(t.Context(), nix.Installable{Flake: flake, Attr: attr}, 1<<20)
			got := describe(t, err)
			rewritten = append(rewritten, file, txtar.File{Name: file.Name + " fault", Data: []byte(got)})
			if !*update {
				assert.Equal(t, want[file.Name], got, file.Name)
			}
		}
		return rewritten
	})
}

// eachArchive runs a test for every archive in a folder, with a fake Nix. The
// test returns the files as they should be, for -update.
func eachArchive(t *testing.T, folder string, test func(*testing.T, *txtar.Archive) []txtar.File) {
	t.Helper()
	fakeNix(t)
	cases, err := filepath.Glob(filepath.Join(folder, "*.txtar"))
	require.NoError(t, err)
	require.NotEmpty(t, cases)
	for _, path := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			require.NoError(t, err)
			rewritten := test(t, archive)
			if *update {
				archive.Files = rewritten
				require.NoError(t, os.WriteFile(path, txtar.Format(archive), 0o644))
			}
		})
	}
}

func describe(t *testing.T, err error) string {
	t.Helper()
	require.Error(t, err)
	f := fault.Of(err)
	return string(f.Code) + "\n" + f.Error() + "\n" + f.Hint + "\n"
}
