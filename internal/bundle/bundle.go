// Package bundle writes folders into one file that can be trusted, and brings
// them back.
//
// A bundle is a tar, compressed with zstd, and encrypted with age if it was
// written for somebody. [Write] captures folders and files, [Open] reads what a
// bundle says of itself, [Reader.Verify] checks all of it, and [Reader.Extract]
// checks and extracts it in one pass. The format is told in docs/state.md.
//
// What is captured should be at rest. Write notices nearly everything that
// changes meanwhile and then fails; it cannot notice what is written through a
// memory map, or within the tick of the clock of a file system.
package bundle

import (
	"encoding/json"
	"time"
)

const (
	formatName    = "homelab-bundle"
	formatVersion = 1

	manifestPath  = "manifest.json"
	itemsPath     = "items"
	indexPath     = "index.json"
	signaturePath = "index.json.sig"

	// namespace is what a signature is for, as ssh-keygen -Y calls it.
	namespace = "homelab-bundle"
)

// Limits of the format. Write refuses what is beyond them, so that everything
// that was written can be read.
const (
	maxPath     = 16 << 10 // bytes of a path
	maxDepth    = 256      // components of a path
	maxRecords  = 1 << 20  // bytes of what an entry has in its extended header
	maxExtents  = 16 << 10 // of a sparse file
	maxManifest = 4 << 20  // bytes
	maxItems    = 1000
	maxTotal    = 1 << 53 // of each number of an item; a thousand of them are still an int64
	maxSkipped  = 1000    // names of entries that are not captured
	bufferSize  = 256 << 10
)

// Manifest is what a bundle says of itself before its content.
type Manifest struct {
	ID      string          `json:"id"`
	Created time.Time       `json:"created"`
	Program string          `json:"program"`         // the program that wrote it, with its version
	About   json.RawMessage `json:"about,omitempty"` // an object that means something to the caller
	Items   []Item          `json:"items"`
}

// Item is a folder or a file that was captured.
type Item struct {
	Name    string   `json:"name"`
	Kind    string   `json:"kind"`            // volume or path
	Source  string   `json:"source"`          // where it was
	Class   string   `json:"class,omitempty"` // as in the registry
	Exclude []string `json:"exclude"`         // what of it was left out, spelled like hints

	Totals // filled in by Write
}

// Totals say how much an item, or a bundle, holds.
type Totals struct {
	Entries int64 `json:"entries"`
	Bytes   int64 `json:"bytes"`   // sizes of its files, a file with several names once
	Stored  int64 `json:"stored"`  // the same without the holes of sparse files
	Skipped int64 `json:"skipped"` // FIFOs, sockets and devices
}

func (t *Totals) add(more Totals) {
	t.Entries += more.Entries
	t.Bytes += more.Bytes
	t.Stored += more.Stored
	t.Skipped += more.Skipped
}

// Skipped is an entry that is noted and not captured.
type Skipped struct {
	Path string `json:"path"` // as it would be in the bundle
	Type string `json:"type"` // fifo, socket or device
}

// ClassSecret is the class of an item that goes into encrypted bundles only.
const ClassSecret = "secret"

// Progress is how far it is. Totals that are known beforehand are in the
// manifest.
type Progress struct {
	Entries, Stored int64
}
