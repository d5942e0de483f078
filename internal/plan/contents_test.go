package plan

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/nar"
)

// sizedFiles is a commit whose files have the size that their name says in its
// last letter; it counts the bytes that are read of it.
type sizedFiles struct {
	Snapshot
	read int64
}

func (s *sizedFiles) content(path string) string {
	return strings.Repeat("x", int(path[len(path)-1]-'0'))
}

func (s *sizedFiles) ReadFile(_ context.Context, path string, most int64) ([]byte, error) {
	content := s.content(path)
	if int64(len(content)) > most {
		return nil, fault.Newf(fault.InvalidArgument, "", "%s has more than %d bytes", path, most)
	}
	s.read += int64(len(content))
	return []byte(content), nil
}

// source is a wanted source that is equal to some of the files, under names.
func (s *sizedFiles) source(t *testing.T, names map[string]string) wanted {
	t.Helper()
	var files []nar.File
	for name, path := range names {
		content := s.content(path)
		files = append(files, nar.File{
			Path: name, Size: int64(len(content)),
			Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil },
		})
	}
	hash, err := nar.Hash(files)
	require.NoError(t, err)
	return wanted{hash: nar.Size(files)}
}

func sized(paths ...string) (entries []Entry) {
	for _, path := range paths {
		entries = append(entries, Entry{Path: path, Kind: Regular})
	}
	return entries
}

// However much there is, no more than the bound is read, and what is not told for
// that is an error.
func TestContentsAreBounded(t *testing.T) {
	t.Parallel()
	all := &sizedFiles{}
	two := []string{"a8", "b8"}
	both := all.source(t, map[string]string{"a8": "a8", "b8": "b8"})
	for _, c := range []struct {
		name    string
		entries []string
		w       wanted
		left    int64
		at      string
		want    int // equal ones
		err     error
		read    int64
	}{
		{"read for the sizes, and once more for the hash", two, both, 32, "", 1, nil, 32},
		{"not enough for the hash", two, both, 31, "", 0, errTooMuch, 24},
		{"not enough for the sizes", two, both, 15, "", 0, errTooMuch, 8},
		{"another size", two, both, 8, "a8", 0, nil, 8},
		{"a file is at hand", two, all.source(t, map[string]string{"": "a8"}), 8, "a8", 1, nil, 8},
		{"no more than the largest source", []string{"a8", "b8", "c8"}, wanted{"sha256-x": 8}, 99, "", 0, nil, 16},
		{"no file larger than that", two, wanted{"sha256-x": 7}, 99, "", 0, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			files := &sizedFiles{}
			found := contents{
				at: state{snapshot: files}, entries: sized(c.entries...), wanted: c.w, largest: c.w.largest(), left: c.left, known: map[string]looked{},
			}
			hashes, err := found.equal(t.Context(), c.at)
			assert.ErrorIs(t, err, c.err)
			assert.Len(t, hashes, c.want)
			assert.Equal(t, c.read, files.read)
			assert.Equal(t, c.left-c.read, found.left)
		})
	}
}

// A file in folders in folders is read once, whatever is above it, and only
// where it has the size of a source.
func TestContentsAreReadOnce(t *testing.T) {
	t.Parallel()
	entries := sized("d/d/d/f1", "d/d/d/f9", "d/d/g3", "d/h2")
	all := []string{"d", "d/d", "d/d/d", "d/d/d/f1", "d/d/d/f9", "d/d/g3", "d/h2"}
	files := &sizedFiles{}
	for name, c := range map[string]struct {
		w    wanted
		want []string // that are equal
		read int64
	}{
		"a file":                    {files.source(t, map[string]string{"": "d/d/d/f9"}), []string{"d/d/d/f9"}, 1 + 9 + 3 + 2 + 9},
		"a folder":                  {files.source(t, map[string]string{"f1": "d/d/d/f1", "f9": "d/d/d/f9"}), []string{"d/d/d"}, 1 + 9 + 3 + 2 + 1 + 9},
		"nothing of that size":      {wanted{"sha256-x": 9999}, nil, 1 + 9 + 3 + 2},
		"less than is worth a look": {wanted{"sha256-x": 2}, nil, 1 + 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := &sizedFiles{}
			found := contents{
				at: state{snapshot: files}, entries: entries, wanted: c.w, largest: c.w.largest(), left: maxHashed, known: map[string]looked{},
			}
			var equal []string
			for _, path := range all {
				hashes, err := found.equal(t.Context(), path)
				require.NoError(t, err)
				if len(hashes) > 0 {
					equal = append(equal, path)
				}
			}
			assert.Equal(t, c.want, equal)
			assert.Equal(t, c.read, files.read)
		})
	}
}

// Of a work tree a file is opened only where it has the size of a source: its size
// alone tells that another is none, however large or unreadable it is.
func TestContentsOfAWorkTree(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(root, "a8"), []byte("12345678"), 0o600))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(root, "c")))
	huge := filepath.Join(root, "b")
	require.NoError(t, os.WriteFile(huge, nil, 0o600))
	require.NoError(t, os.Truncate(huge, 2<<30))
	find := func(w wanted, left int64, at string) ([]string, error) {
		c := contents{
			at: state{work: true, snapshot: linkOnly{}}, root: root, entries: append(sized("a8", "b"), Entry{Path: "c", Kind: Link}),
			wanted: w, largest: w.largest(), left: left, known: map[string]looked{},
		}
		return c.equal(t.Context(), at)
	}
	file := nar.File{Size: 8, Open: func() (io.ReadCloser, error) { return os.Open(filepath.Join(root, "a8")) }}
	hash, err := nar.Hash([]nar.File{file})
	require.NoError(t, err)
	small := wanted{hash: nar.Size([]nar.File{file})}

	for _, at := range []string{"", "b", "c"} {
		hashes, err := find(small, 8, at)
		require.NoError(t, err)
		assert.Empty(t, hashes)
	}
	hashes, err := find(small, 8, "a8")
	require.NoError(t, err)
	assert.Equal(t, []string{hash}, hashes)
	_, err = find(small, 7, "a8")
	assert.ErrorIs(t, err, errTooMuch)
	_, err = find(wanted{"sha256-x": nar.Size([]nar.File{{Size: 2 << 30}})}, maxHashed, "b")
	assert.ErrorIs(t, err, errTooMuch)
}

// linkOnly has symbolic links to nowhere.
type linkOnly struct{ Snapshot }

func (linkOnly) ReadLink(context.Context, string) (string, error) { return "nowhere", nil }
