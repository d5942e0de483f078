package bundle_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"homelab/internal/bundle"
)

// What is written and extracted is what was there, for any tree.
func TestRandomTreesComeBack(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 7))
		tree, into := t.TempDir(), t.TempDir()
		grow(t, random, tree, 3)
		data, written := write(t, order(t, tree))
		extracted, err := extract(t, data, into, bundle.Extraction{Privileged: true}, bundle.Trust{})
		require.NoError(t, err)
		require.Equal(t, written.Manifest.Totals(), extracted.Totals)
		require.Equal(t, attributesOf(t, tree), attributesOf(t, filepath.Join(into, "0")), "seed %d", seed)
	}
}

// grow fills a folder at random. Its names sort in ways that a slash does not.
func grow(t *testing.T, random *rand.Rand, folder string, depth int) {
	var files []string
	for range random.IntN(6) {
		name := make([]byte, 1+random.IntN(3))
		for i := range name {
			name[i] = "ab.-\xff\x01~ 0"[random.IntN(9)]
		}
		path := filepath.Join(folder, string(name))
		if _, err := os.Lstat(path); err == nil || string(name) == "." || string(name) == ".." {
			continue
		}
		switch kind := random.IntN(6); {
		case kind == 0 && depth > 0:
			require.NoError(t, os.Mkdir(path, 0o700))
			grow(t, random, path, depth-1)
		case kind == 1:
			require.NoError(t, os.Symlink(fmt.Sprint("../", random.IntN(9)), path))
		case kind == 2 && len(files) > 0:
			require.NoError(t, os.Link(files[random.IntN(len(files))], path))
			continue
		case kind == 3:
			sparse(t, path, random.Int64N(1<<20), random.Int64N(1<<20))
			files = append(files, path)
		default:
			content := make([]byte, random.IntN(3000)>>random.IntN(12))
			require.NoError(t, os.WriteFile(path, content, 0o600))
			files = append(files, path)
		}
		require.NoError(t, unix.Lchown(path, random.IntN(1<<22), random.IntN(1<<22)))
		if info, err := os.Lstat(path); err == nil && info.Mode().Type() != os.ModeSymlink {
			require.NoError(t, unix.Chmod(path, uint32(random.IntN(1<<12))|0o700))
		}
		times(t, path, random.Int64N(1<<33), random.Int64N(1e9))
	}
	times(t, folder, random.Int64N(1<<33), random.Int64N(1e9))
}
