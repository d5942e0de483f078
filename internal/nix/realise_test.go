package nix_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/nix"
)

func TestRealRealise(t *testing.T) {
	lab := broken(t)
	targets := lab.targets(t, "chain", "two")
	chain := targets["chain"]

	var log bytes.Buffer
	var kinds []nix.EventKind
	root := filepath.Join(t.TempDir(), "roots", "chain")
	done, err := realiseIn(t.Context(), nix.Nix{}, nix.Realisation{Drv: chain.Drv, Out: chain.Out, Root: root, Log: &log}, func(e nix.Event) {
		if e.Kind != nix.Message {
			kinds = append(kinds, e.Kind)
		}
	})
	require.NoError(t, err)
	assert.Equal(t, nix.Realised{Built: true, Rooted: true}, done)
	assert.Equal(t, "good> hello\nchain\n", log.String())
	assert.Equal(t, []nix.EventKind{
		nix.BuildStarted, nix.LogLine, nix.BuildFinished, nix.BuildStarted, nix.LogLine, nix.BuildFinished,
	}, kinds)
	link, err := os.Readlink(root)
	require.NoError(t, err)
	assert.Equal(t, chain.Out, link)
	assertRoots(t, chain.Out, root)

	again, err := realise(t, nix.Nix{}, nix.Realisation{Drv: chain.Drv})
	require.NoError(t, err)
	assert.Equal(t, nix.Realised{}, again, "it was there")

	// The link of any output is the one that was asked for, and replaces an older one.
	_, err = realise(t, nix.Nix{}, nix.Realisation{Drv: targets["two"].Drv, Output: "bin", Root: root})
	require.NoError(t, err)
	link, err = os.Readlink(root)
	require.NoError(t, err)
	assert.True(t, strings.HasSuffix(link, "-two-bin"), link)
	assertRoots(t, link, root)
	left, err := os.ReadDir(filepath.Dir(root))
	require.NoError(t, err)
	assert.Len(t, left, 1)
}

// assertRoots asserts that exactly these links keep a store path.
func assertRoots(t *testing.T, path string, links ...string) {
	t.Helper()
	var roots []string
	for line := range strings.Lines(string(run(t, "nix-store", "--query", "--roots", path))) {
		root, _, _ := strings.Cut(strings.TrimSpace(line), " -> ")
		roots = append(roots, root)
	}
	assert.Equal(t, links, roots)
}

func TestRealiseRefuses(t *testing.T) {
	fakeNix(t)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	const drv = "/nix/store/00000000000000000000000000000000-a.drv"
	for _, row := range []struct {
		r    nix.Realisation
		code fault.Code
	}{
		{nix.Realisation{Drv: "/nix/store/00000000000000000000000000000000-a"}, fault.InvalidArgument},
		{nix.Realisation{Drv: "--version.drv"}, fault.InvalidArgument},
		{nix.Realisation{Drv: drv, Output: "a,b"}, fault.InvalidArgument},
		{nix.Realisation{Drv: drv, Root: "relative"}, fault.InvalidArgument},
		{nix.Realisation{Drv: drv, Root: "/a/../b"}, fault.InvalidArgument},
		{nix.Realisation{Drv: drv, Root: file}, fault.Conflict},
	} {
		_, err := realise(t, nix.Nix{}, row.r)
		assert.Equal(t, row.code, fault.CodeOf(err), "%+v: %v", row.r, err)
	}
}

// A cache gives what it has, and may be named for one call.
func TestRealSubstitutes(t *testing.T) {
	lab := broken(t)
	target := lab.target(t, "good")
	_, err := realise(t, nix.Nix{}, nix.Realisation{Drv: target.Drv})
	require.NoError(t, err)
	cache := "file://" + t.TempDir()
	run(t, "nix", "--extra-experimental-features", "nix-command", "copy", "--to", cache, target.Out)
	run(t, "nix-store", "--delete", target.Out)
	t.Setenv("NIX_CONFIG", os.Getenv("NIX_CONFIG")+"require-sigs = false\n")
	options, err := nix.ParseOptions([]string{"substituters=" + cache})
	require.NoError(t, err)
	var fetched []string
	done, err := realiseIn(t.Context(), nix.Nix{Options: options}, nix.Realisation{Drv: target.Drv, Out: target.Out}, func(e nix.Event) {
		switch e.Kind {
		case nix.FetchStarted, nix.FetchFinished:
			fetched = append(fetched, fmt.Sprint(e.Kind, " ", e.Path, " ", e.Text))
		}
	})
	require.NoError(t, err)
	assert.Equal(t, nix.Realised{Substituted: true}, done)
	assert.Equal(t, []string{"fetchStarted " + target.Out + " " + cache, "fetchFinished " + target.Out + " "}, fetched)
}

func TestRealiseWithoutNix(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := realise(t, nix.Nix{}, nix.Realisation{Drv: "/nix/store/00000000000000000000000000000000-a.drv"})
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
	assert.Equal(t, nix.InstallHint, fault.Of(err).Hint)
}
