package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// On a terminal one line says what is going on; it fits, and leaves nothing.
func TestProgressOnATerminal(t *testing.T) {
	t.Parallel()
	const name = "a-service-whose-name-alone-fills-the-line"
	const slow = "for i in 1 2 3 4 5 6; do echo \"step $i of a builder that tells a long story\"; sleep 0.3; done\n" + image
	l := workshop(t, map[string]string{name: slow}).with("TERM=xterm")
	// script (of Debian's bsdutils) runs it on a terminal of its own.
	command := "stty cols 40 && exec " + filepath.Join(bin, "homelab") + " build " + name + " >/dev/null"
	result := l.run("script", "--quiet", "--return", "--command", command, "/dev/null")
	shown := string(result.Stdout)
	require.Zero(t, result.Exit, "%s", shown)

	const erase = "\r\x1b[K"
	drawn := strings.Split(shown, erase)
	require.Greater(t, len(drawn), 4, "%q", shown)
	assert.Empty(t, drawn[0], "nothing before the first line")
	assert.Empty(t, drawn[len(drawn)-1], "and nothing stays")
	for _, line := range drawn[1 : len(drawn)-1] {
		assert.Regexp(t, `^\d:\d\d (evaluating|\[[01]/1\] )`, line)
		assert.Less(t, len([]rune(line)), 40)
	}
	assert.Contains(t, shown, name[:15])
	assert.Contains(t, shown, "…", "the rest is cut")
}
