package bundle_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/bundle"
	"homelab/internal/fault"
	"homelab/internal/tree/treetest"
)

// shell runs what a person would type.
func shell(t *testing.T, folder, script string) string {
	t.Helper()
	command := exec.Command("bash", "-euo", "pipefail", "-c", script)
	command.Dir = folder
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
	return string(output)
}

// keygen makes a key of ssh and returns its path.
func keygen(t *testing.T, kind string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "id")
	shell(t, ".", fmt.Sprintf("ssh-keygen -q -t %s -N '' -C me -f %s", kind, path))
	return path
}

func content(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return text
}

// A person with age, zstd and tar gets everything back, and can check it.
func TestByHand(t *testing.T) {
	tree, work := t.TempDir(), t.TempDir()
	treetest.Nasty(t, tree)
	key := keygen(t, "ed25519")
	shell(t, work, "age-keygen -o key.txt 2>key.log && age-keygen -y key.txt >key.pub")
	recipient, err := bundle.ParseRecipient(string(content(t, filepath.Join(work, "key.pub"))))
	require.NoError(t, err)
	o := order(t, tree)
	o.Recipients = []age.Recipient{recipient}
	o.Signer, err = bundle.ParseSigner(content(t, key))
	require.NoError(t, err)
	data, written := write(t, o)
	require.NoError(t, os.WriteFile(filepath.Join(work, "wiki.bundle"), data, 0o600))

	require.NoError(t, os.WriteFile(filepath.Join(work, "authors"), []byte("me "+string(content(t, key+".pub"))), 0o600))
	scripts := documented(t)
	said := shell(t, work, scripts[0])
	for line := range strings.Lines(said) {
		assert.Regexp(t, `implausibly old time stamp|in the future`, line, "tar has nothing else to complain of")
	}
	want, got := treetest.Read(t, tree), treetest.Read(t, filepath.Join(work, "restored/items/0"))
	for path, a := range want {
		assert.Equal(t, a, got[path], "%q", path)
		delete(got, path)
	}
	assert.Empty(t, got)

	said = shell(t, work, scripts[1])
	assert.Contains(t, said, `Good "homelab-bundle" signature for me`)
	assert.Equal(t, written.Index, strings.Fields(shell(t, work, "sha256sum restored/index.json"))[0])
	for _, damaged := range []string{"manifest.json", "items/0/large", "index.json"} {
		command := exec.Command("bash", "-euo", "pipefail", "-c", "echo >>restored/"+damaged+"\n"+scripts[1])
		command.Dir = work
		output, err := command.CombinedOutput()
		assert.Error(t, err, "%s: %s", damaged, output)
		require.NoError(t, os.RemoveAll(filepath.Join(work, "restored")))
		shell(t, work, scripts[0])
	}
}

// documented are the scripts of docs/state.md.
func documented(t *testing.T) []string {
	t.Helper()
	var scripts []string
	for _, part := range strings.Split(string(content(t, "../../docs/state.md")), "```sh\n")[1:] {
		script, _, _ := strings.Cut(part, "```")
		scripts = append(scripts, script)
	}
	require.Len(t, scripts, 2)
	return scripts
}

// What ssh-keygen signs is what we sign.
func TestSignaturesOfOpenSSH(t *testing.T) {
	tree := t.TempDir()
	o := order(t, tree)
	key, stranger := keygen(t, "ed25519"), keygen(t, "ed25519")
	author, err := bundle.ParseAuthor(string(content(t, key+".pub")))
	require.NoError(t, err)
	other, err := bundle.ParseAuthor(string(content(t, stranger+".pub")))
	require.NoError(t, err)

	unsigned, _ := write(t, o)
	_, err = verify(t, unsigned, bundle.Trust{Authors: authors(author)})
	assert.Equal(t, fault.Denied, fault.CodeOf(err), "%v", err)

	o.Signer, err = bundle.ParseSigner(content(t, key))
	require.NoError(t, err)
	data, _ := write(t, o)
	report, err := verify(t, data, bundle.Trust{Authors: authors(other, author)})
	require.NoError(t, err)
	assert.Equal(t, strings.Fields(shell(t, ".", "ssh-keygen -l -f "+key+".pub"))[1], report.Author)
	_, err = verify(t, data, bundle.Trust{Authors: authors(other)})
	assert.Equal(t, fault.Denied, fault.CodeOf(err), "%v", err)
	report, err = verify(t, data, bundle.Trust{})
	require.NoError(t, err, "who asks for nobody takes everybody")
	assert.NotEmpty(t, report.Author)
}

func TestKeysOfAllKinds(t *testing.T) {
	tree := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(tree, "secret"), []byte("s3cret"), 0o600))
	work := t.TempDir()
	shell(t, work, "age-keygen -o x 2>/dev/null && age-keygen -y x >x.pub; age-keygen -o other 2>/dev/null")
	ed, rsa := keygen(t, "ed25519"), keygen(t, "rsa -b 2048")
	o := order(t, tree)
	o.Sources[0].Class = "secret"
	_, err := bundle.Write(t.Context(), new(bytes.Buffer), o)
	assert.Equal(t, fault.Precondition, fault.CodeOf(err), "a secret is encrypted: %v", err)

	for _, public := range []string{work + "/x.pub", ed + ".pub", rsa + ".pub"} {
		recipient, err := bundle.ParseRecipient(string(content(t, public)))
		require.NoError(t, err)
		o.Recipients = append(o.Recipients, recipient)
	}
	data, _ := write(t, o)
	assert.NotContains(t, string(data), "items")
	for _, private := range []string{work + "/x", ed, rsa} {
		keys, err := bundle.ParseIdentities(content(t, private))
		require.NoError(t, err)
		_, err = verify(t, data, bundle.Trust{Identities: keys})
		assert.NoError(t, err, private)
	}
	others, err := bundle.ParseIdentities(content(t, work+"/other"))
	require.NoError(t, err)
	_, err = verify(t, data, bundle.Trust{Identities: others})
	assert.Equal(t, fault.Denied, fault.CodeOf(err), "%v", err)
	_, err = verify(t, data, bundle.Trust{})
	assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
}

func TestWrongKeysAreExplained(t *testing.T) {
	locked := filepath.Join(t.TempDir(), "id")
	shell(t, ".", "ssh-keygen -q -t ed25519 -N passphrase -f "+locked)
	for _, text := range []string{"", "age1", "AGE-SECRET-KEY-1QQQQ", "ssh-dss AAAA", "x"} {
		_, err := bundle.ParseRecipient(text)
		assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err), "%q", text)
		_, err = bundle.ParseAuthor(text)
		assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err), "%q", text)
		_, err = bundle.ParseIdentities([]byte(text))
		assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err), "%q", text)
		assert.NotContains(t, err.Error(), "QQQ", "no key is shown")
		_, err = bundle.ParseSigner([]byte(text))
		assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err), "%q", text)
	}
	_, err := bundle.ParseIdentities(content(t, locked))
	assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
	_, err = bundle.ParseSigner(content(t, locked))
	assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
	_, err = bundle.ParseSigner(content(t, keygen(t, "rsa -b 2048")))
	assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err), "%v", err)
}
