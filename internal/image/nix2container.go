package image

import (
	"encoding/json"
	"io"
)

// nix2containerImage is what counts here of types.Image of nix2container. The
// name and the tag are attributes of the derivation, not in the file.
type nix2containerImage struct {
	Version *int            `json:"version"`
	Config  json.RawMessage `json:"image-config"`
	Layers  []struct {
		Digest string `json:"digest"`
		DiffID string `json:"diff_ids"` // one, for all its name
		Size   int64  `json:"size"`
	} `json:"layers"`
	Arch string `json:"arch"`
}

// readNix2container reads the JSON; the paths of its layers are not looked at.
func readNix2container(file io.Reader) (*Image, error) {
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
	// nix2container makes images for Linux alone, and writes that into the
	// config it assembles.
	image := &Image{Kind: Nix2container, Architecture: said.Arch, OS: "linux", Layers: make([]Layer, 0, len(said.Layers))}
	for i, layer := range said.Layers {
		if !isDigest(layer.DiffID) || !isDigest(layer.Digest) {
			return nil, broken("layer %d has no digest or no diff ID", i+1)
		}
		image.Layers = append(image.Layers, Layer{DiffID: layer.DiffID, Digest: layer.Digest, Size: layer.Size})
	}
	return image, nil
}
