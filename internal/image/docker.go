package image

import (
	"path"
	"strings"

	"homelab/internal/fault"
)

// dockerManifest is an item of manifest.json.
type dockerManifest struct {
	Config   string
	RepoTags []string
	Layers   []string // names of entries, bottom first
}

// config is what counts here of an image's config, which Docker and OCI share.
type config struct {
	Architecture string
	OS           string
	RootFS       struct {
		DiffIDs []digest `json:"diff_ids"`
	}
}

// docker finds the image of a docker-archive.
func (a *archive) docker() (*Image, error) {
	var manifests []dockerManifest
	if _, err := a.parse("manifest.json", &manifests); err != nil {
		return nil, err
	}
	if len(manifests) != 1 {
		return nil, several(len(manifests), func(i int) string { return strings.Join(manifests[i].RepoTags, " ") })
	}
	manifest := manifests[0]
	var c config
	e, err := a.parse(manifest.Config, &c)
	if err != nil {
		return nil, err
	}
	// By custom its name is its digest, which nothing else in the archive tells.
	if name := strings.TrimSuffix(path.Base(manifest.Config), ".json"); isHex(name) && digest("sha256:"+name) != e.sum {
		return nil, broken("config %.200q has the digest %s", manifest.Config, e.sum)
	}
	image := &Image{Kind: DockerArchive, Digest: string(e.sum), Architecture: c.Architecture, OS: c.OS}
	if len(manifest.RepoTags) > 0 {
		image.Name, image.Tag = splitTag(manifest.RepoTags[0])
	}
	image.Layers, err = a.layers(manifest.Layers, c)
	return image, err
}

// layers holds the layers against what the config says of them.
func (a *archive) layers(names []string, c config) ([]Layer, error) {
	want := c.RootFS.DiffIDs
	if len(names) != len(want) {
		return nil, broken("the archive has %d layers, but its config names %d", len(names), len(want))
	}
	layers := make([]Layer, 0, len(names))
	for i, name := range names {
		e, ok := a.find(name)
		layer := Layer{DiffID: string(want[i]), Digest: string(e.sum), Entry: e.at}
		switch {
		case !ok:
			return nil, broken("layer %d, %.200q, is missing", i+1, name)
		case e.sum == want[i]:
			layer.Size = e.size
		case e.err != nil:
			return nil, broken("layer %d, %.200q, cannot be decompressed: %.300s", i+1, name, e.err)
		case e.plainSum == want[i]:
			layer.Size = e.plainSize
		case e.plainSum != "":
			return nil, broken("layer %d, %.200q, has the diff ID %s, but its config says %.80q", i+1, name, e.plainSum, want[i])
		default:
			return nil, broken("layer %d, %.200q, has the diff ID %s, but its config says %.80q", i+1, name, e.sum, want[i])
		}
		layers = append(layers, layer)
	}
	return layers, nil
}

// several is an archive that does not hold one image.
func several(count int, name func(int) string) error {
	const shown = 5
	var names []string
	for i := range min(count, shown) {
		if said := name(i); said != "" {
			names = append(names, said[:min(len(said), 200)])
		}
	}
	if count > shown {
		names = append(names, "…")
	}
	if count == 0 {
		return broken("the archive holds no image")
	}
	return fault.Newf(fault.Precondition, "have the derivation write one image for one platform into an archive",
		"the archive holds %d images (%s)", count, strings.Join(names, ", "))
}

// splitTag splits a reference such as localhost:5000/app:v1 at its tag.
func splitTag(reference string) (name, tag string) {
	reference, _, _ = strings.Cut(reference, "@")
	if i := strings.LastIndexByte(reference, ':'); i > strings.LastIndexByte(reference, '/') {
		return reference[:i], reference[i+1:]
	}
	return reference, ""
}

func isDigest(text string) bool {
	sum, ok := strings.CutPrefix(text, "sha256:")
	return ok && isHex(sum)
}

func isHex(text string) bool {
	return len(text) == 64 && strings.Trim(text, "0123456789abcdef") == ""
}
