package image

import (
	"encoding/json"
)

// form is what a kind of archive has of its own.
type form interface {
	layer(id digest) string  // name of the file with a layer
	config(id digest) string // name of the file with the config
	begin(o *output) error
	end(o *output) error // writes what makes the archive one, when all else is there
}

// hex is the digest without the name of its algorithm.
func (d digest) hex() string { return string(d)[len("sha256:"):] }

type dockerForm struct{}

func (dockerForm) layer(id digest) string  { return id.hex() + ".tar" }
func (dockerForm) config(id digest) string { return id.hex() + ".json" }
func (dockerForm) begin(*output) error     { return nil }

func (f dockerForm) end(o *output) error {
	manifest := dockerManifest{Config: f.config(digest(o.image.Digest)), Layers: []string{}}
	for _, name := range o.names {
		manifest.RepoTags = append(manifest.RepoTags, name.given)
	}
	for _, layer := range o.image.Layers {
		manifest.Layers = append(manifest.Layers, f.layer(digest(layer.DiffID)))
	}
	text, err := json.Marshal([]dockerManifest{manifest})
	if err != nil {
		return err
	}
	return o.file("manifest.json", text)
}

// Media types of the OCI image specification, media-types.md.
const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar"
)

type ociForm struct {
	manifest digest // once it is written
}

func (*ociForm) layer(id digest) string  { return blobs + id.hex() }
func (*ociForm) config(id digest) string { return blobs + id.hex() }

// begin writes what tells containerd that what follows are blobs: it reads a
// manifest.json as that of a docker-archive, and all else in any order.
func (*ociForm) begin(o *output) error {
	return o.file("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
}

// link is a descriptor as it is written. What is read has more, and is laxer.
type link struct {
	MediaType   string            `json:"mediaType"`
	Digest      digest            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

func (f *ociForm) end(o *output) error {
	manifest := struct {
		SchemaVersion int    `json:"schemaVersion"`
		MediaType     string `json:"mediaType"`
		Config        link   `json:"config"`
		Layers        []link `json:"layers"`
	}{2, typeManifest, link{MediaType: typeConfig, Digest: digest(o.image.Digest), Size: o.config}, []link{}}
	for i, layer := range o.image.Layers {
		size, err := o.sizeOf(i)
		if err != nil {
			return err
		}
		manifest.Layers = append(manifest.Layers, link{MediaType: typeLayer, Digest: digest(layer.DiffID), Size: size})
	}
	text, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	sum := sumOf(text)
	if err := o.file(blobs+sum.hex(), text); err != nil {
		return err
	}
	if err := o.file("index.json", f.index(o.names, sum, len(text))); err != nil {
		return err
	}
	f.manifest = sum
	return nil
}

// index leads to the manifest under each name. The annotations are those that
// containerd writes itself.
func (*ociForm) index(names []imageName, manifest digest, size int) []byte {
	index := struct {
		SchemaVersion int    `json:"schemaVersion"`
		MediaType     string `json:"mediaType"`
		Manifests     []link `json:"manifests"`
	}{2, typeIndex, []link{}}
	for _, name := range names {
		index.Manifests = append(index.Manifests, link{typeManifest, manifest, int64(size),
			map[string]string{containerdName: name.full(), refName: name.tag}})
	}
	text, _ := json.Marshal(index) // strings and numbers only
	return text
}
