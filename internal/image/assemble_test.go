package image_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/image"
)

// What nix2container itself (commit 20d3395, March 2026) made of the tree of
// [storePaths], and of the image with it.
const (
	packedDigest = "sha256:ec83a14461945f91ad8e33055d79d499d97b70014cb5616f064ac02e909ae034"
	packedSize   = 32768
	packedConfig = "sha256:8e034c525b66e9e42690b081126e9ff53c7fe31fc5c3fe8e43daa71089cd0f29"
)

// storePaths are in a folder and have something of everything: names that need
// more than a plain header, names that sort otherwise than their folders,
// links, modes, an empty folder, a file alone.
func storePaths(t testing.TB) (paths []object, dir string) {
	t.Helper()
	dir = t.TempDir()
	store := filepath.Join(dir, "nix/store")
	write := func(name, content string, mode os.FileMode) {
		path := filepath.Join(store, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), mode))
		require.NoError(t, os.Chmod(path, mode))
	}
	write("a-app/bin/app", "#!/bin/sh\n", 0o555)
	write("a-app/bin-old/app", "", 0o444)
	write("a-app/"+strings.Repeat("long/", 30)+strings.Repeat("x", 120), "x", 0o444)
	write("a-app/etc/größe", strings.Repeat("y", 513), 0o444)
	write("a-app/etc/secret", "z", 0o444)
	write("b-file", "alone", 0o444)
	write("c-root/usr/share/doc", "doc", 0o444)
	write("d-root/usr/share/doc", "cod", 0o444) // takes the place of the other
	require.NoError(t, os.Mkdir(filepath.Join(store, "a-app/empty"), 0o755))
	require.NoError(t, os.Symlink("../bin/app", filepath.Join(store, "a-app/etc/app")))
	require.NoError(t, os.Symlink("/nix/store/"+strings.Repeat("q", 120), filepath.Join(store, "a-app/etc/far")))
	require.NoError(t, filepath.WalkDir(store, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			err = os.Chmod(path, 0o755) // whatever the umask
		}
		return err
	}))
	require.NoError(t, os.Chmod(filepath.Join(store, "a-app/empty"), 0o555))

	within := func(path, to string, perms ...object) object {
		return object{"path": filepath.Join(store, path), "options": object{
			"rewrite": object{"regex": "^" + regexp.QuoteMeta(dir) + to, "repl": ""}, "perms": perms}}
	}
	return []object{
		within("a-app", "", object{"regex": "secret$", "mode": "0400", "uid": 33, "gid": 34, "uname": "www", "gname": ""},
			object{"regex": "/etc", "mode": "", "uid": 1, "gid": 0, "uname": "", "gname": "adm"}),
		within("b-file", ""),
		within("c-root", "/nix/store/c-root"), // as copyToRoot does
		within("d-root", "/nix/store/d-root"),
	}, dir
}

// nix2container is the JSON of an image with the layers.
func nix2container(t testing.TB, layers ...object) []byte {
	t.Helper()
	return toJSON(t, object{"version": 1, "arch": "arm64", "created": "0001-01-01T00:00:00Z", "layers": layers,
		"image-config": json.RawMessage(`{"Env":["X=y"],"Cmd":["/bin/app","<a> & b"]}`)})
}

func packedLayer(paths []object) object {
	return object{"digest": packedDigest, "diff_ids": packedDigest, "size": packedSize, "paths": paths,
		"mediatype": "application/vnd.oci.image.layer.v1.tar", "History": object{"created_by": "nix"}}
}

// fileLayer is a layer that is a file; stored may be compressed. Images that
// nix2container pulled have no sizes.
func fileLayer(t testing.TB, plain, stored []byte) object {
	t.Helper()
	return object{"digest": digest(stored), "diff_ids": digest(plain), "size": 0, "layer-path": save(t, stored, 0o444), "History": object{}}
}

// Layers of store paths come out as nix2container makes them, to the byte, and
// so does the config.
func TestTransferOfStorePaths(t *testing.T) {
	paths, _ := storePaths(t)
	transfer := transferOf(t, nix2container(t, packedLayer(paths)))
	assert.Equal(t, packedConfig, transfer.Image.Digest)
	assert.EqualValues(t, packedSize, transfer.Size())
	got := readBack(t, writeDocker(t, transfer))
	assert.Equal(t, packedConfig, got.Digest)
	assert.Equal(t, packedDigest, got.Layers[0].DiffID)
}

func TestTransferRefusesWhatNix2containerDidNotMake(t *testing.T) {
	plain := layer(t, "a")
	paths, dir := storePaths(t)
	path := func(name string) object { return object{"path": filepath.Join(dir, "nix/store", name)} }
	socket := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, syscall.Mkfifo(socket, 0o644))
	file := func(path string) object {
		return object{"digest": digest(plain), "diff_ids": digest(plain), "layer-path": path}
	}
	with := func(options object) object {
		return packedLayer([]object{{"path": filepath.Join(dir, "nix"), "options": options}})
	}
	cut := fileLayer(t, plain, gzipped(t, plain))
	require.NoError(t, os.Truncate(cut["layer-path"].(string), 30))

	for name, row := range map[string]struct {
		layer object
		want  string
	}{
		"a path less":        {packedLayer(paths[:2]), "layer 1 comes out with another digest than its image records, " + packedDigest},
		"a path more":        {packedLayer(append(paths, path("b-file"), path("a-app"))), "layer 1 comes out with another digest"},
		"other contents":     {fileLayer(t, plain, gzipped(t, layer(t, "b"))), "layer 1 comes out with another digest"},
		"a file longer":      {file(save(t, append(plain, 0), 0o444)), "layer 1 comes out with another digest"},
		"a file cut short":   {cut, "cut short"},
		"neither":            {object{"digest": digest(plain), "diff_ids": digest(plain)}, "has neither a file nor paths"},
		"a path gone":        {packedLayer([]object{path("gone")}), `nix/store/gone" does not exist`},
		"a file gone":        {file(filepath.Join(dir, "gone")), `gone" does not exist`},
		"a folder":           {file(dir), "is not a regular file"},
		"a pipe":             {file(socket), "is not a regular file"},
		"a pipe in a path":   {packedLayer([]object{{"path": socket}}), "layer 1 comes out with another digest"},
		"a pattern of names": {with(object{"rewrite": object{"regex": "("}}), "a pattern for the paths"},
		"a pattern of modes": {with(object{"perms": []object{{"regex": "("}}}), "a pattern for the modes"},
		"a mode":             {with(object{"perms": []object{{"regex": "", "mode": "rwx"}}}), `has the mode "rwx"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := write(t, transferOf(t, nix2container(t, row.layer)), image.Transfer.WriteDocker)
			require.ErrorContains(t, err, row.want)
			assert.Equal(t, fault.Precondition, fault.CodeOf(err))
			assert.NotEmpty(t, fault.Of(err).Hint)
		})
	}
}

func TestTransferRefusesChangedJSON(t *testing.T) {
	transfer := transferOf(t, nix2container(t, fileLayer(t, layer(t, "a"), layer(t, "a"))))
	transfer.Open = opens(nix2container(t, fileLayer(t, layer(t, "b"), layer(t, "b"))))
	_, err := write(t, transfer, image.Transfer.WriteDocker)
	require.ErrorContains(t, err, "its config is not "+transfer.Image.Digest)
	assert.Equal(t, fault.Conflict, fault.CodeOf(err))
}
