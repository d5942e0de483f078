package nix_test

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"homelab/internal/nix"
)

// TestMain lets this binary play the commands of Nix: the tests put links to
// it, called nix and nix-store, on PATH. Called realise or evaluate, it
// realises a derivation, or evaluates a flake's homelab, until it is killed.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "nix", "nix-store":
		os.Exit(playNix())
	case "realise":
		_, _ = nix.Nix{}.Realise(context.Background(), []nix.Realisation{{Drv: os.Args[1], Log: os.Stdout}}, nix.How{})
		os.Exit(1)
	case "evaluate":
		_, _ = nix.Nix{}.EvalJSON(context.Background(), nix.Installable{Flake: os.Args[1], Attr: "homelab"}, 0)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// playNix says what FAKE_NIX_STDOUT and FAKE_NIX_STDERR hold and ends with
// FAKE_NIX_EXIT, else fails when there is something on standard error, unless FAKE_NIX_ANSWERS has a line
// ATTRIBUTE=OUTPUT for what it is asked. It writes its arguments to the file
// FAKE_NIX_ARGS, adds a line with them to FAKE_NIX_LOG, and, before it hangs, its process id to FAKE_NIX_HANG.
func playNix() int {
	if path := os.Getenv("FAKE_NIX_ARGS"); path != "" {
		write(path, strings.Join(os.Args[1:], "\n")+"\n")
	}
	if path := os.Getenv("FAKE_NIX_LOG"); path != "" {
		log, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return 99
		}
		fmt.Fprintf(log, "%q\n", os.Args)
		_ = log.Close()
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
	if status, err := strconv.Atoi(os.Getenv("FAKE_NIX_EXIT")); err == nil {
		return status
	}
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
	for _, name := range []string{"nix", "nix-store"} {
		require.NoError(t, os.Symlink(self, filepath.Join(bin, name)))
	}
	t.Setenv("PATH", bin)
	t.Setenv("GORACE", "atexit_sleep_ms=0") // the race detector sleeps for a second
}

// loggedNix is fakeNix, and returns the command lines that ran since, quoted.
func loggedNix(t *testing.T) (ran func() []string) {
	t.Helper()
	fakeNix(t)
	log := filepath.Join(t.TempDir(), "log")
	t.Setenv("FAKE_NIX_LOG", log)
	return func() []string {
		said, err := os.ReadFile(log)
		require.NoError(t, err)
		return strings.Split(strings.TrimSpace(string(said)), "\n")
	}
}
