package program

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
)

// repository is that of all images of the program.
const repository = "homelab/sidecar"

// Image is the name of the image of the program. It changes with the program, and
// does not look like that of a service's artifact.
func (p *Program) Image() string { return repository + ":sha256-" + digest(p.bytes)[:32] }

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// Archive is the image of the program, as docker load reads it: one layer, which has
// nothing but the program. The same program gives the same bytes.
func (p *Program) Archive() (io.Reader, error) {
	layer, err := tarball(file{"homelab-sidecar", p.bytes, 0o755})
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(map[string]any{
		"os": "linux", "architecture": p.Arch,
		"config": map[string]any{"Entrypoint": []string{"/homelab-sidecar"}, "User": "0:0"},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digest(layer)}},
	})
	if err != nil {
		return nil, err
	}
	name, layerName := digest(config)+".json", digest(layer)+"/layer.tar"
	manifest, err := json.Marshal([]any{map[string]any{"Config": name, "RepoTags": []string{p.Image()}, "Layers": []string{layerName}}})
	if err != nil {
		return nil, err
	}
	archive, err := tarball(file{layerName, layer, 0o644}, file{name, config, 0o644}, file{"manifest.json", manifest, 0o644})
	return bytes.NewReader(archive), err
}

type file struct {
	name    string
	content []byte
	mode    int64
}

func tarball(files ...file) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return out.Bytes(), err
}
