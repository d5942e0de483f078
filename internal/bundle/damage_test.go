package bundle_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/bundle"
	"homelab/internal/fault"
	"homelab/internal/tree/treetest"
)

// sealedBundle is a bundle of several frames, and the key that opens it.
func sealedBundle(t *testing.T, encrypted bool) ([]byte, bundle.Trust) {
	t.Helper()
	tree := t.TempDir()
	random := make([]byte, bundle.FrameSize+12345) // the first frame is full of zeros
	_, _ = rand.NewChaCha8([32]byte{1}).Read(random[bundle.FrameSize:])
	require.NoError(t, os.WriteFile(filepath.Join(tree, "random"), random, 0o600))
	for _, name := range []string{"a", "b", "c"} {
		require.NoError(t, os.WriteFile(filepath.Join(tree, name), []byte(strings.Repeat(name, 1000)), 0o600))
	}
	treetest.Sparse(t, filepath.Join(tree, "sparse"), 1<<20, 8192)
	o := order(t, tree)
	var trust bundle.Trust
	if encrypted {
		key, err := age.GenerateX25519Identity()
		require.NoError(t, err)
		o.Recipients, trust.Identities = []age.Recipient{key.Recipient()}, []age.Identity{key}
	}
	data, _ := write(t, o)
	_, err := verify(t, data, trust)
	require.NoError(t, err)
	return data, trust
}

// offsets are the first and last bytes, and some in between.
func offsets(n, count int) []int {
	var all []int
	for i := range 64 {
		all = append(all, i, n-1-i)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range count {
		all = append(all, random.IntN(n))
	}
	return all
}

func TestEveryFlippedBitIsFound(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		data, trust := sealedBundle(t, encrypted)
		for i, at := range offsets(len(data), 120) {
			damaged := bytes.Clone(data)
			damaged[at] ^= 1 << (i % 8)
			_, err := verify(t, damaged, trust)
			require.Error(t, err, "bit %d of byte %d of %d", i%8, at, len(data))
		}
	}
}

func TestEveryTruncationIsFound(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		data, trust := sealedBundle(t, encrypted)
		for _, at := range offsets(len(data), 40) {
			_, err := verify(t, data[:at], trust)
			require.Equal(t, fault.BundleCorrupt, fault.CodeOf(err), "cut at %d of %d: %v", at, len(data), err)
		}
		_, err := verify(t, append(bytes.Clone(data), 0), trust)
		require.Equal(t, fault.BundleCorrupt, fault.CodeOf(err), "one byte more: %v", err)
		_, err = verify(t, append(bytes.Clone(data), data...), trust)
		require.Equal(t, fault.BundleCorrupt, fault.CodeOf(err), "twice: %v", err)
	}
}

// Somebody who packs it again gets past zstd and the digest at its end, not past
// the index, nor past the signature of that.
func TestChangesBelowTheCompressionAreFound(t *testing.T) {
	tarred := bundle.Unpack(golden(t, "v1-signed.bundle"))
	require.NotEmpty(t, tarred)
	for at := 0; at <= len(tarred); at += 512 {
		_, err := verify(t, bundle.Pack(tarred[:at]), bundle.Trust{})
		if at == len(tarred) {
			require.NoError(t, err)
			break
		}
		require.Equal(t, fault.BundleCorrupt, fault.CodeOf(err), "cut at %d of %d", at, len(tarred))
	}
	random := rand.New(rand.NewPCG(3, 4))
	for range 400 {
		at := random.IntN(len(tarred))
		damaged := bytes.Clone(tarred)
		damaged[at] ^= 1 << random.IntN(8)
		_, err := verify(t, bundle.Pack(damaged), bundle.Trust{})
		require.Error(t, err, "byte %d", at)
	}
}

func TestDamageIsNamed(t *testing.T) {
	tree := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(tree, "a"), []byte("first"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(tree, "b"), []byte("second"), 0o600))
	data, _ := write(t, order(t, tree))
	damaged := bytes.Replace(bundle.Unpack(data), []byte("second"), []byte("5econd"), 1)
	_, err := verify(t, bundle.Pack(damaged), bundle.Trust{})
	assert.ErrorContains(t, err, `not what the index says of "items/0/b"`)

	into := t.TempDir()
	extracted, err := extract(t, bundle.Pack(damaged), into, bundle.Extraction{}, bundle.Trust{})
	assert.Equal(t, fault.BundleCorrupt, fault.CodeOf(err))
	assert.Equal(t, int64(3), extracted.Placed, "it tells what it did")
}

// failing is a source or a sink that fails after some bytes.
type failing struct {
	io.Reader
	left int
	err  error
}

func (f *failing) Read(p []byte) (int, error) {
	if f.left == 0 {
		return 0, f.err
	}
	n, err := f.Reader.Read(p[:min(len(p), f.left)])
	f.left -= n
	return n, err
}

func (f *failing) Write(p []byte) (int, error) {
	if len(p) > f.left {
		return f.left, f.err
	}
	f.left -= len(p)
	return len(p), nil
}

// A connection that breaks is no damage.
func TestFailuresOfTheSourceAreNoDamage(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		data, trust := sealedBundle(t, encrypted)
		for _, at := range []int{0, 1, 30, 100, 5000, len(data) - 1, len(data)} {
			for _, failure := range []error{errors.New("stream closed"), io.ErrUnexpectedEOF, syscall.EIO} {
				source := &failing{bytes.NewReader(data), at, failure}
				r, err := bundle.Open(source, trust)
				if err == nil {
					_, err = r.Verify(t.Context())
					r.Close()
				}
				require.Equal(t, fault.Precondition, fault.CodeOf(err), "after %d: %v", at, err)
				require.ErrorIs(t, err, failure)
			}
		}
	}
}

func TestAFullDiskIsToldWhileWriting(t *testing.T) {
	tree := t.TempDir()
	random := make([]byte, 2*bundle.FrameSize)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(random)
	require.NoError(t, os.WriteFile(filepath.Join(tree, "random"), random, 0o600))
	key, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	for _, at := range []int{0, 50, 1000, bundle.FrameSize, 2*bundle.FrameSize + 1000} {
		for _, recipients := range [][]age.Recipient{nil, {key.Recipient()}} {
			o := order(t, tree)
			o.Recipients = recipients
			_, err := bundle.Write(t.Context(), &failing{nil, at, syscall.ENOSPC}, o)
			require.Equal(t, fault.Precondition, fault.CodeOf(err), "after %d: %v", at, err)
			require.ErrorContains(t, err, "no space is left for the bundle")
		}
	}
}
