package program_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/command"
	"homelab/internal/fault"
	"homelab/internal/image"
	"homelab/internal/sidecar/program"
)

// build makes the program for an architecture.
func build(t *testing.T, arch, path string) {
	t.Helper()
	built, err := command.Run(t.Context(), command.Cmd{
		Name: "go", Args: []string{"build", "-buildvcs=false", "-o", path, "homelab/cmd/homelab-sidecar"}, Env: []string{"CGO_ENABLED=0", "GOARCH=" + arch},
	})
	require.NoError(t, err)
	require.Zero(t, built.Exit, "%s", built.Stderr)
}

// The image has the program and nothing else, and is for the processor of the host.
func TestImageOfTheProgram(t *testing.T) {
	folder := t.TempDir()
	build(t, "arm64", filepath.Join(folder, "homelab-sidecar-linux-arm64"))
	p, err := program.Find("arm64", []string{t.TempDir(), folder})
	require.NoError(t, err)
	archive, err := p.Archive()
	require.NoError(t, err)
	raw, err := io.ReadAll(archive)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "image.tar")
	require.NoError(t, os.WriteFile(path, raw, 0o600))
	i, err := image.Read(t.Context(), path)
	require.NoError(t, err)
	assert.Equal(t, p.Image(), i.Name+":"+i.Tag)
	assert.Equal(t, "arm64 linux", i.Architecture+" "+i.OS)
	assert.Len(t, i.Layers, 1)
	again, err := p.Archive()
	require.NoError(t, err)
	second, err := io.ReadAll(again)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(raw, second))
}

// What go install puts beside homelab is found too, if it fits.
func TestWhereTheProgramIs(t *testing.T) {
	folder := t.TempDir()
	build(t, runtime.GOARCH, filepath.Join(folder, "homelab-sidecar"))
	_, err := program.Find(runtime.GOARCH, []string{folder})
	require.NoError(t, err)
	_, err = program.Find("s390x", []string{folder})
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
	assert.ErrorContains(t, err, "it is for another processor")
	assert.Contains(t, fault.Of(err).Hint, "GOARCH=s390x")
}

func TestProgramsThatDoNotFit(t *testing.T) {
	shell, err := os.ReadFile("/bin/sh")
	require.NoError(t, err)
	for what, row := range map[string]struct {
		content []byte
		says    string
	}{
		"none":           {nil, "is not beside homelab"},
		"a script":       {[]byte("#!/bin/sh\n"), "no program for Linux"},
		"with libraries": {shell, "needs libraries"},
		"half of it":     {shell[:100], "no program for Linux"},
	} {
		t.Run(what, func(t *testing.T) {
			folder := t.TempDir()
			if row.content != nil {
				require.NoError(t, os.WriteFile(filepath.Join(folder, "homelab-sidecar-linux-"+runtime.GOARCH), row.content, 0o755))
			}
			_, err := program.Find(runtime.GOARCH, []string{folder})
			assert.Equal(t, fault.Precondition, fault.CodeOf(err))
			assert.ErrorContains(t, err, row.says)
		})
	}
	assert.Contains(t, program.Folders()[1], "libexec")
}

// What looks up names and users may need libraries of the machine: the program has
// none of it, however it is built, and stays small.
func TestProgramIsSmall(t *testing.T) {
	listed, err := command.Run(t.Context(), command.Cmd{Name: "go", Args: []string{"list", "-deps", "homelab/cmd/homelab-sidecar"}})
	require.NoError(t, err)
	packages := strings.Fields(string(listed.Stdout))
	require.Contains(t, packages, "homelab/internal/swap")
	for _, heavy := range []string{"net", "os/user", "net/http", "homelab/internal/bundle", "homelab/internal/state"} {
		assert.NotContains(t, packages, heavy)
	}
}
