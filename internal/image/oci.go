package image

import (
	"slices"
	"strings"
)

// Annotations that can hold the name of an image. The first is the one of the
// specification, often just a tag; the second is containerd's, the whole name.
const (
	refName        = "org.opencontainers.image.ref.name"
	containerdName = "io.containerd.image.name"
)

// ociManifest is an image manifest or an index: their fields do not clash.
type ociManifest struct {
	MediaType string
	Manifests []descriptor // of an index
	Config    descriptor   // of an image
	Layers    []descriptor
}

type descriptor struct {
	MediaType   string
	Digest      digest
	Size        int64
	Platform    struct{ OS, Architecture, Variant string }
	Annotations map[string]string
}

// oci finds the image of an oci-archive.
func (a *archive) oci() (*Image, error) {
	var index ociManifest
	if _, err := a.parse("index.json", &index); err != nil {
		return nil, err
	}
	found := &search{archive: a, seen: map[digest]bool{}}
	if err := found.in(index, descriptor{}); err != nil {
		return nil, err
	}
	if len(found.images) != 1 {
		return nil, several(len(found.images), func(i int) string { return found.images[i].String() })
	}
	chosen := found.images[0]
	var c config
	config, err := a.blob(chosen.manifest.Config, &c)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(chosen.manifest.Layers))
	for _, layer := range chosen.manifest.Layers {
		if err := a.checkSize(layer); err != nil {
			return nil, err
		}
		names = append(names, layer.name())
	}
	image := &Image{Kind: OCIArchive, Digest: string(config.sum), Architecture: c.Architecture, OS: c.OS}
	image.Name, image.Tag = chosen.reference()
	image.Layers, err = a.layers(names, c)
	return image, err
}

// search collects the images below an index.
type search struct {
	archive *archive
	seen    map[digest]bool // an image can have several tags, and an index a loop
	images  []ociImage
}

type ociImage struct {
	descriptor
	manifest ociManifest
}

// in looks through an index that from led to.
func (s *search) in(index ociManifest, from descriptor) error {
	for _, d := range index.Manifests {
		if s.seen[d.Digest] || isAttestation(d) {
			continue
		}
		s.seen[d.Digest] = true
		var next ociManifest
		if _, err := s.archive.blob(d, &next); err != nil {
			return err
		}
		if reference(d.Annotations) == "" {
			d.Annotations = from.Annotations
		}
		if len(next.Manifests) == 0 && !strings.HasSuffix(next.MediaType, ".index.v1+json") {
			s.images = append(s.images, ociImage{d, next})
		} else if err := s.in(next, d); err != nil {
			return err
		}
	}
	return nil
}

// isAttestation says whether a descriptor is of what BuildKit tells about the
// build of another image beside it.
func isAttestation(d descriptor) bool {
	return d.Annotations["vnd.docker.reference.type"] == "attestation-manifest"
}

// name is the entry that a descriptor leads to.
func (d descriptor) name() string {
	return blobs + strings.TrimPrefix(string(d.Digest), "sha256:")
}

// blob reads JSON that a descriptor leads to.
func (a *archive) blob(d descriptor, into any) (entry, error) {
	if err := a.checkSize(d); err != nil {
		return entry{}, err
	}
	return a.parse(d.name(), into)
}

// checkSize holds a blob against its descriptor. That its content has the
// digest of its name was seen when it was read.
func (a *archive) checkSize(d descriptor) error {
	if !isDigest(string(d.Digest)) {
		return broken("it refers to a blob as %.200q, not by its sha256 digest", d.Digest)
	}
	e, ok := a.find(d.name())
	switch {
	case !ok:
		return broken("blob %s is missing", d.Digest)
	case e.sum != d.Digest: // behind a link
		return broken("blob %s has the digest %s", d.Digest, e.sum)
	case e.size != d.Size:
		return broken("blob %s has %d bytes, but %d are announced", d.Digest, e.size, d.Size)
	}
	return nil
}

// String is the platform, or else the digest.
func (i ociImage) String() string {
	p := i.Platform
	if p.OS == "" && p.Architecture == "" {
		return string(i.Digest)
	}
	return strings.Join(slices.DeleteFunc([]string{p.OS, p.Architecture, p.Variant}, func(s string) bool { return s == "" }), "/")
}

// reference is the name and the tag.
func (i ociImage) reference() (name, tag string) {
	said := reference(i.Annotations)
	if i.Annotations[containerdName] == "" && !strings.ContainsAny(said, ":/") {
		return "", said
	}
	return splitTag(said)
}

func reference(annotations map[string]string) string {
	if name := annotations[containerdName]; name != "" {
		return name
	}
	return annotations[refName]
}
