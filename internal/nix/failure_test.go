package nix_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/nix"
)

// TestBuildWording feeds the events of real versions of Nix to Realise. The
// comment of an archive is the derivation that is asked for; a file VERSION
// has the events, "VERSION exit" the exit status, "VERSION fault" what becomes
// of it.
func TestBuildWording(t *testing.T) {
	eachArchive(t, "testdata/build", func(t *testing.T, archive *txtar.Archive) []txtar.File {
		files := map[string]string{}
		for _, file := range archive.Files {
			files[file.Name] = string(file.Data)
		}
		var rewritten []txtar.File
		for _, version := range []string{"2.8.0", "2.26.3", "2.34.8"} {
			require.Contains(t, files, version)
			t.Setenv("FAKE_NIX_STDERR", files[version])
			t.Setenv("FAKE_NIX_EXIT", strings.TrimSpace(files[version+" exit"]))
			_, err := realise(t, nix.Nix{}, nix.Realisation{Drv: strings.TrimSpace(string(archive.Comment))})
			fields, jsonErr := json.MarshalIndent(failure(t, err), "", "  ")
			require.NoError(t, jsonErr)
			got := describe(t, err) + string(fields) + "\n"
			for _, part := range []string{"", " exit"} {
				rewritten = append(rewritten, txtar.File{Name: version + part, Data: []byte(files[version+part])})
			}
			rewritten = append(rewritten, txtar.File{Name: version + " fault", Data: []byte(got)})
			if !*update {
				assert.Equal(t, files[version+" fault"], got, version)
			}
		}
		return rewritten
	})
}

// realise realises one.
func realise(t *testing.T, n nix.Nix, r nix.Realisation) (nix.Realised, error) {
	t.Helper()
	return realiseIn(t.Context(), n, r, nil)
}

func realiseIn(ctx context.Context, n nix.Nix, r nix.Realisation, event func(nix.Event)) (nix.Realised, error) {
	done, err := n.Realise(ctx, []nix.Realisation{r}, nix.How{Event: event})
	if err != nil {
		return nix.Realised{}, err
	}
	return done[0], done[0].Err
}

// failure is the cause of an error of Realise.
func failure(t *testing.T, err error) *nix.Failure {
	t.Helper()
	var f *nix.Failure
	require.True(t, errors.As(err, &f), "%v", err)
	return f
}
