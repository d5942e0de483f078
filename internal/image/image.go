// Package image answers what a file that Nix built is, and which image it
// holds, without loading it into an engine and without running it; and writes
// that image for an engine.
//
// [Read] knows four kinds:
//
//   - docker-archive, the tar of `docker save`, which nixpkgs'
//     dockerTools.buildImage and buildLayeredImage write (Docker image
//     specification v1.2, "Combined Image JSON + Filesystem Changeset Format");
//   - oci-archive, a tar of an OCI image layout (OCI image specification,
//     image-layout.md);
//   - stream, a script that writes a docker-archive to its standard output
//     (nixpkgs' dockerTools.streamLayeredImage);
//   - nix2container, the JSON that github.com/nlewo/nix2container assembles an
//     image from (its types/types.go).
//
// An archive is read once, to its end, in bounded memory and with no temporary
// files, and everything that carries a digest is held against it. So an
// [Image] of an archive is evidence: what it says is what is in the file.
//
// [Transfer] writes any of the four for an engine, as a docker-archive or an
// OCI layout, without the layers that the engine has.
package image

// Kind is the form a built image has.
type Kind string

const (
	DockerArchive Kind = "docker-archive"
	OCIArchive    Kind = "oci-archive"
	Stream        Kind = "stream"
	Nix2container Kind = "nix2container"
)

// Compression is what an archive is compressed with as a whole; its layers may
// be compressed besides.
type Compression string

const (
	Uncompressed Compression = ""
	Gzip         Compression = "gzip"
	Zstd         Compression = "zstd"
)

// Image is what a file holds. What the file does not tell is empty.
type Image struct {
	Kind         Kind        `json:"kind" jsonschema:"enum=docker-archive,enum=oci-archive,enum=stream,enum=nix2container" jsonschema_description:"docker-archive (what docker save writes), oci-archive (an OCI image layout in a tar), stream (a script that writes a docker-archive) or nix2container (JSON that nix2container assembles an image from)."`
	Compression  Compression `json:"compression,omitempty" jsonschema:"enum=gzip,enum=zstd" jsonschema_description:"What the whole archive is compressed with; left out when it is not."`
	Name         string      `json:"name,omitempty" jsonschema_description:"Repository name recorded in it, without the tag: the first one when there are several."`
	Tag          string      `json:"tag,omitempty" jsonschema_description:"Tag recorded in it."`
	Digest       string      `json:"digest,omitempty" jsonschema_description:"sha256: digest of the image's config. It is the image ID of a Docker engine with a graph driver; one with the containerd store uses the digest of the manifest. For nix2container that of the config it assembles. Left out for a stream that was not run."`
	Architecture string      `json:"architecture,omitempty" jsonschema_description:"CPU architecture from the config, in Go's names, such as amd64 or arm64."`
	OS           string      `json:"os,omitempty" jsonschema_description:"Operating system from the config, such as linux."`
	Layers       []Layer     `json:"layers" jsonschema_description:"Layers, bottom first; empty for a stream that was not run."`
	Size         int64       `json:"size" jsonschema_description:"Size of the file in bytes; of a stream that was run, of what it wrote."`
	Bytes        int64       `json:"bytes,omitempty" jsonschema_description:"Size of the archive once decompressed, in bytes; left out for nix2container and a stream that was not run."`
}

// Layer is one layer of an image.
type Layer struct {
	DiffID string `json:"diffId" jsonschema_description:"sha256: digest of the uncompressed layer, as in the config's rootfs.diff_ids."`
	Digest string `json:"digest" jsonschema_description:"sha256: digest of the layer as it is stored; equals diffId when it is stored uncompressed."`
	Size   int64  `json:"size" jsonschema_description:"Uncompressed size in bytes; for nix2container the size it records, which is that of the stored layer, or 0."`
	Entry  int    `json:"entry,omitempty" jsonschema_description:"Which entry of the archive has its bytes, counted from 1 in the order of the tar; left out for nix2container."`
}
