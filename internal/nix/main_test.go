package nix_test

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMain lets this binary play the nix command: the tests put a link to it,
// called nix, on PATH.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "nix" {
		os.Exit(playNix())
	}
	os.Exit(m.Run())
}

// playNix says what FAKE_NIX_STDOUT and FAKE_NIX_STDERR hold and fails when
// there is something on standard error, unless FAKE_NIX_ANSWERS has a line
// ATTRIBUTE=OUTPUT for what it is asked. It writes its arguments to the file
// FAKE_NIX_ARGS, and, before it hangs, its process id to FAKE_NIX_HANG.
func playNix() int {
	if path := os.Getenv("FAKE_NIX_ARGS"); path != "" {
		write(path, strings.Join(os.Args[1:], "\n")+"\n")
	}
	if path := os.Getenv("FAKE_NIX_HANG"); path != "" {
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		write(path, fmt.Sprint(os.Getpid()))
		<-stop
		write(path+".stopped", "")
		return 1
	}
	asked := os.Args[len(os.Args)-1]
	for line := range strings.Lines(os.Getenv("FAKE_NIX_ANSWERS")) {
		if _, attr, _ := strings.Cut(asked, "#"); strings.HasPrefix(line, attr+"=") {
			fmt.Print(strings.TrimPrefix(line, attr+"="))
			return 0
		}
	}
	fmt.Print(os.Getenv("FAKE_NIX_STDOUT"))
	fmt.Fprint(os.Stderr, os.Getenv("FAKE_NIX_STDERR"))
	if os.Getenv("FAKE_NIX_STDERR") != "" {
		return 1
	}
	return 0
}

func write(path, text string) {
	// Rename, so that a reader that waits for the file never sees half of it.
	if os.WriteFile(path+".part", []byte(text), 0o600) != nil || os.Rename(path+".part", path) != nil {
		os.Exit(99)
	}
}

// fakeNix makes this binary the only command on PATH.
func fakeNix(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	bin := t.TempDir()
	require.NoError(t, os.Symlink(self, filepath.Join(bin, "nix")))
	t.Setenv("PATH", bin)
}
