package nix

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// What to do about a foreign system depends on the machine that homelab is on.
func TestAdviceByMachine(t *testing.T) {
	s := Systems{Native: "aarch64-darwin"}
	assert.Contains(t, s.advice("darwin", "aarch64-linux", nil), "darwin.linux-builder")
	assert.NotContains(t, s.advice("darwin", "aarch64-linux", nil), "binfmt")
	assert.Contains(t, s.advice("linux", "aarch64-linux", nil), "binfmt_misc")
	assert.NotContains(t, s.advice("linux", "aarch64-darwin", nil), "binfmt")
	assert.Contains(t, s.advice("linux", "aarch64-darwin", nil), "builders=ssh-ng://HOST aarch64-darwin")
}
