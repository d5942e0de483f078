package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"homelab/internal/cli"
	"homelab/tools"
	"homelab/tools/toolstest"
)

// terminal is a pair of files: what is written to keys is typed at the other.
func terminal(t *testing.T) (keys, tty *os.File) {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, keys.Close()) })
	number, err := unix.IoctlGetInt(int(keys.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetPointerInt(int(keys.Fd()), unix.TIOCSPTLCK, 0))
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, tty.Close()) })
	return keys, tty
}

// answering runs a command line at a terminal, where do is done at the prompt.
func answering(t *testing.T, line string, do func(keys *os.File, cancel func())) outcome {
	t.Helper()
	keys, tty := terminal(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out bytes.Buffer
	app := cli.App{Open: func(cli.Settings) tools.Core { return toolstest.Core() }, Streams: cli.Streams{In: tty, Out: &out, Err: tty}}
	shown := make(chan string)
	go func() {
		var all []byte
		for asked, part := false, make([]byte, 4096); !bytes.Contains(all, []byte("<over>")); {
			n, err := keys.Read(part)
			if all = append(all, part[:n]...); err != nil {
				break
			}
			if !asked && bytes.Contains(all, []byte("[y/N] ")) {
				asked = true
				do(keys, cancel)
			}
		}
		shown <- string(all)
	}()
	status := app.Run(ctx, strings.Fields(line)[1:])
	fmt.Fprint(tty, "<over>")
	text, _, _ := strings.Cut(strings.ReplaceAll(<-shown, "\r\n", "\n"), "<over>")
	return outcome{status, out.String(), text}
}

func types(text string) func(*os.File, func()) {
	return func(keys *os.File, _ func()) { fmt.Fprint(keys, text) }
}

const (
	previewed = "6 services: 1 to create"
	rolledOut = "5 services: 2 deployed"
)

// A person is asked once, and only what is clearly a yes is one.
func TestConfirmAtATerminal(t *testing.T) {
	for keys, yes := range map[string]bool{"y\n": true, "Yes \n": true, "n\n": false, "\n": false, "yy\n": false, "\x04": false, "y\x04\x04": false} {
		got := answering(t, "homelab deploy", types(keys))
		assert.Contains(t, got.out, previewed, "%q", keys)
		assert.Equal(t, yes, strings.Contains(got.out, rolledOut), "%q: %s", keys, got.out)
		assert.Equal(t, !yes, strings.HasSuffix(got.err, "\nNothing was done.\n"), "%q: %q", keys, got.err)
		assert.Equal(t, 1, strings.Count(got.err, "[y/N]"))
	}
}

func TestInterruptAtThePrompt(t *testing.T) {
	got := answering(t, "homelab deploy", func(_ *os.File, cancel func()) { cancel() })
	assert.Equal(t, 130, got.status)
	assert.NotContains(t, got.out, rolledOut)
}

// Nobody is asked who wants to look only, or has answered already.
func TestNobodyIsAsked(t *testing.T) {
	for line, done := range map[string]bool{
		"homelab deploy --dry-run":              false,
		"homelab deploy --dry-run --yes":        false,
		"homelab deploy --json":                 false,
		"homelab deploy --yes":                  true,
		"homelab deploy --confirm 36fbb166cfe5": true,
	} {
		got := answering(t, line, types("y\n"))
		assert.NotContains(t, got.err, "[y/N]", line)
		assert.Equal(t, done, strings.Contains(got.out, rolledOut), "%s: %s", line, got.out)
		assert.LessOrEqual(t, strings.Count(got.out, previewed), 1, line)
	}
	got := answering(t, "homelab deploy --yes --background", types(""))
	assert.Equal(t, 0, got.status, got.err)
	assert.Contains(t, got.out, previewed)
	assert.Contains(t, got.out, toolstest.DeployJobID)
}

// Nobody is asked who does not see the question.
func TestHiddenPrompt(t *testing.T) {
	_, tty := terminal(t)
	var out, err bytes.Buffer
	app := cli.App{Open: func(cli.Settings) tools.Core { return toolstest.Core() }, Streams: cli.Streams{In: tty, Out: &out, Err: &err}}
	assert.Equal(t, 0, app.Run(t.Context(), []string{"deploy"}))
	assert.Contains(t, err.String(), "Nothing was done. To do it, run it again")
}

// Nor is a yes taken from what nobody types.
func TestYesFromAFile(t *testing.T) {
	_, tty := terminal(t)
	path := filepath.Join(t.TempDir(), "yes")
	require.NoError(t, os.WriteFile(path, []byte("y\n"), 0o600))
	in, err := os.Open(path)
	require.NoError(t, err)
	defer in.Close()
	var out bytes.Buffer
	app := cli.App{Open: func(cli.Settings) tools.Core { return toolstest.Core() }, Streams: cli.Streams{In: in, Out: &out, Err: tty}}
	assert.Equal(t, 0, app.Run(t.Context(), []string{"deploy"}))
	assert.Contains(t, out.String(), previewed)
	assert.NotContains(t, out.String(), rolledOut)
}

// Where nobody can be asked it is said how to go on, with the arguments of this call.
func TestConfirmWithoutATerminal(t *testing.T) {
	got := typed(t, "homelab deploy grafana")
	assert.Equal(t, 0, got.status)
	assert.Contains(t, got.err, "Nothing was done. To do it, run it again with --confirm 36fbb166cfe5, or with --yes")
}
