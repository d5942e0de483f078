package image

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
)

// nix2containerImage is what counts here of types.Image of nix2container. The
// name and the tag are attributes of the derivation, not in the file.
type nix2containerImage struct {
	Version *int                 `json:"version"`
	Config  json.RawMessage      `json:"image-config"`
	Layers  []nix2containerLayer `json:"layers"`
	Arch    string               `json:"arch"`
	Created json.RawMessage      `json:"created"` // a time, or null
}

type nix2containerLayer struct {
	Digest  digest              `json:"digest"`
	DiffID  digest              `json:"diff_ids"` // one, for all its name
	Size    int64               `json:"size"`     // of what has Digest; 0 in a layer of an image that was pulled
	Path    string              `json:"layer-path"`
	Paths   []nix2containerPath `json:"paths"` // what the layer is made of, when it has no Path
	History json.RawMessage     `json:"History"`
}

// nix2containerPath is a store path in a layer.
type nix2containerPath struct {
	Path    string `json:"path"`
	Options struct {
		Rewrite struct {
			Regex string `json:"regex"` // matches in the paths of files are replaced
			Repl  string `json:"repl"`
		} `json:"rewrite"`
		Perms []nix2containerPerm `json:"perms"`
	} `json:"options"`
}

// nix2containerPerm gives the files whose paths match another owner or mode.
type nix2containerPerm struct {
	Regex string `json:"regex"`
	Mode  string `json:"mode"` // octal; unchanged when empty
	UID   int    `json:"uid"`
	GID   int    `json:"gid"`
	Uname string `json:"uname"` // root when empty
	Gname string `json:"gname"`
}

// readNix2container reads the JSON; the paths of its layers are not looked at.
func readNix2container(file io.Reader) (*Image, error) {
	said, err := parseNix2container(file)
	if err != nil {
		return nil, err
	}
	config, err := said.config()
	if err != nil {
		return nil, err
	}
	// nix2container makes images for Linux alone, and writes that into the
	// config it assembles.
	image := &Image{
		Kind: Nix2container, Digest: string(sumOf(config)), Architecture: said.Arch, OS: "linux",
		Layers: make([]Layer, 0, len(said.Layers)),
	}
	for _, layer := range said.Layers {
		image.Layers = append(image.Layers, Layer{DiffID: string(layer.DiffID), Digest: string(layer.Digest), Size: layer.Size})
	}
	return image, nil
}

func parseNix2container(file io.Reader) (*nix2containerImage, error) {
	const limit = 64 << 20 // it names every store path of the image
	text, err := io.ReadAll(io.LimitReader(file, limit+1))
	switch {
	case err != nil:
		return nil, unreadable(err)
	case len(text) > limit:
		return nil, foreign("this is JSON of more than %d bytes", limit)
	}
	var said nix2containerImage
	if err := json.Unmarshal(text, &said); err != nil {
		return nil, foreign("this starts like JSON, but is not an image of nix2container: %.300s", err)
	}
	switch {
	case said.Version == nil || said.Config == nil:
		return nil, foreign("this is JSON, but not an image of nix2container: it has no version or no image-config")
	case *said.Version != 1:
		return nil, foreign("this is an image of nix2container of version %d, and only 1 is known", *said.Version)
	}
	for i, layer := range said.Layers {
		if !isDigest(string(layer.DiffID)) || !isDigest(string(layer.Digest)) {
			return nil, broken("layer %d has no digest or no diff ID", i+1)
		}
		if layer.Size < 0 {
			return nil, broken("layer %d has %d bytes", i+1, layer.Size)
		}
	}
	return &said, nil
}

// config is the image's config, byte for byte as nix2container assembles it
// when it copies the image (its GetConfigBlob), so that both give one image ID.
func (n *nix2containerImage) config() ([]byte, error) {
	type rootFS struct {
		Type    string   `json:"type"`
		DiffIDs []digest `json:"diff_ids"`
	}
	c := struct {
		Created      json.RawMessage   `json:"created,omitempty"`
		Architecture string            `json:"architecture"`
		OS           string            `json:"os"`
		Config       json.RawMessage   `json:"config"`
		RootFS       rootFS            `json:"rootfs"`
		History      []json.RawMessage `json:"history,omitempty"`
	}{Architecture: n.Arch, OS: "linux", Config: n.Config, RootFS: rootFS{Type: "layers", DiffIDs: []digest{}}}
	if string(n.Created) != "null" {
		c.Created = n.Created
	}
	for _, layer := range n.Layers {
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, layer.DiffID)
		if layer.History == nil {
			layer.History = json.RawMessage("{}")
		}
		c.History = append(c.History, layer.History)
	}
	config, err := json.Marshal(c)
	if err == nil && len(config) > maxText {
		return nil, broken("its config has %d bytes, more than the %d of any sound image", len(config), maxText)
	}
	return config, err
}

func sumOf(data []byte) digest {
	sum := sha256.Sum256(data)
	return digest("sha256:" + hex.EncodeToString(sum[:]))
}
