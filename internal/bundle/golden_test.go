package bundle_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"homelab/internal/bundle"
	"homelab/internal/tree/treetest"
)

// Bundles of all versions can be read for ever. What is in testdata was written
// once, by the first homelab that wrote its version, and is never written anew.
func TestGoldenBundles(t *testing.T) {
	keys, err := bundle.ParseIdentities(content(t, "testdata/age.key"))
	require.NoError(t, err)
	hosts, err := bundle.ParseIdentities(content(t, "testdata/ssh.key"))
	require.NoError(t, err)
	author, err := bundle.ParseAuthor(string(content(t, "testdata/ssh.key.pub")))
	require.NoError(t, err)
	for name, trust := range map[string]bundle.Trust{
		"v1-plain.bundle":     {},
		"v1-signed.bundle":    {Authors: []ssh.PublicKey{author}},
		"v1-encrypted.bundle": {Identities: keys, Authors: []ssh.PublicKey{author}},
		"v1-for-host.bundle":  {Identities: hosts, Authors: []ssh.PublicKey{author}},
	} {
		t.Run(name, func(t *testing.T) {
			data := content(t, filepath.Join("testdata", name))
			report, err := verify(t, data, trust)
			require.NoError(t, err)
			assert.Equal(t, bundle.Totals{Entries: 8, Bytes: 1<<20 + 6, Stored: 4096 + 6, Skipped: 1}, report.Totals)
			assert.Equal(t, []bundle.Skipped{{Path: "items/0/pipe", Type: "fifo"}}, report.Skipped)

			into := t.TempDir()
			_, err = extract(t, data, into, bundle.Extraction{}, trust)
			require.NoError(t, err)
			tree := t.TempDir()
			require.NoError(t, unix.Rmdir(tree))
			goldenTree(t, tree)
			assert.Equal(t, treetest.Read(t, tree), treetest.Read(t, filepath.Join(into, "0")))
		})
	}
}

// goldenTree is what was captured, without the FIFO.
func goldenTree(t *testing.T, tree string) {
	shell(t, ".", `
mkdir -m 750 '`+tree+`' && cd '`+tree+`'
printf 'hello\n' >hello
chmod 640 hello
ln hello "$(printf 'same\377')"
ln -s ../elsewhere link
mkdir -m 700 empty
mkdir -m 2775 sub
truncate -s 1M sub/sparse
printf '%4096s' x | dd of=sub/sparse bs=4096 seek=2 conv=notrunc status=none
: >zero
chmod 600 sub/sparse
chmod 711 zero
chown -h 1000:100 hello link
chown 4294967294:70000 sub
`)
	require.NoError(t, unix.Setxattr(filepath.Join(tree, "hello"), "user.key", []byte("value"), 0))
	for path := range treetest.Read(t, tree) {
		treetest.Times(t, filepath.Join(tree, path), 1_600_000_000, 123_456_789)
	}
}

func golden(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return data
}
