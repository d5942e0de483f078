package harness

import (
	"crypto/ed25519"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"homelab/internal/fault"
	"homelab/internal/state"
)

// newAuthor is a key in a file, and what the registry says of who has it.
func newAuthor(t *testing.T) (file, author string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	block, err := ssh.MarshalPrivateKey(private, "")
	require.NoError(t, err)
	file = filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(block), 0o600))
	key, err := ssh.NewPublicKey(public)
	require.NoError(t, err)
	return file, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// Where the registry names authors, a bundle by anybody else is neither verified nor
// restored, and nothing is touched.
func TestBundlesOfKnownAuthors(t *testing.T) {
	k, unsigned := bundled(t)
	mine, author := newAuthor(t)
	another, _ := newAuthor(t)
	bundle := func(key string) string {
		t.Helper()
		t.Setenv(signerVariable, key)
		report, err := k.core.StateBundle(t.Context(), state.BundleRequest{Service: "web"}, quiet)
		require.NoError(t, err)
		return report.Bundle
	}
	forged := bundle(another)
	k.says(`"version": 1,`, `"version": 1, "bundles": {"authors": ["`+author+`"]},`)
	k.write("data/history", "what I wrote")
	signed := bundle(mine)
	k.write("data/history", "what came later")
	started := k.containers("nas")
	for what, id := range map[string]string{"by nobody": unsigned, "by another": forged} {
		_, err := k.core.StateVerify(t.Context(), state.VerifyRequest{Bundle: id, Deep: true}, quiet)
		assert.Equal(t, fault.Denied, fault.CodeOf(err), "%s: %v", what, err)
		preview, err := k.restored(state.RestoreRequest{Bundle: id})
		if err == nil { // who signed it stands at its end
			_, err = k.restored(state.RestoreRequest{Bundle: id, Confirm: preview.Unconfirmed()})
		}
		assert.Equal(t, fault.Denied, fault.CodeOf(err), "%s: %v", what, err)
		assert.Equal(t, "what came later", k.history())
		assert.Equal(t, started, k.containers("nas"), "it was never stopped")
	}
	verified, err := k.core.StateVerify(t.Context(), state.VerifyRequest{Bundle: signed, Deep: true}, quiet)
	require.NoError(t, err)
	assert.NotEmpty(t, verified.Author)
	done := k.confirmed(state.RestoreRequest{Bundle: signed})
	assert.Equal(t, verified.Author, done.Done.Author)
	assert.Equal(t, "what I wrote", k.history())
}
