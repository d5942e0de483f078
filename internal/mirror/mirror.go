// Package mirror copies a tree that is being written to, pass by pass, until
// what is left to copy is so little that the writer can be held up for it.
//
// A [Source] reads the tree and a [Sink] makes the copy; between them is a
// stream, so that each may be in a process, a container or a host of its own. The
// source remembers what it sent, so a pass sends what has changed since the one
// before: entries, attributes, and of files the blocks that differ. A live pass
// takes the tree as it comes; what changes under it comes again. The last pass is
// of a tree at rest: when it has returned without an error, the copy is the tree.
//
// How a file is known to be unchanged without reading it, and what a copy keeps,
// is told in docs/state.md.
package mirror

import "homelab/internal/fault"

// Limits are those of bundles, so that every copy can go into one.
const (
	maxPath    = 16 << 10 // bytes of a path
	maxDepth   = 256      // components of a path
	maxRecords = 1 << 20  // bytes of the attributes of an entry
	maxSize    = 1 << 53  // bytes of a file
	maxSkipped = 1000     // names of entries that are not copied

	blockSize = 256 << 10
)

// Report is what a pass did, and what can be told from it of the next.
type Report struct {
	Final   bool      `json:"final"`
	Entries int64     `json:"entries"` // of the tree
	Files   int64     `json:"files"`   // that were read
	Read    int64     `json:"read"`    // bytes of them
	Sent    int64     `json:"sent"`    // bytes of the stream
	Skipped int64     `json:"skipped"` // FIFOs, sockets and devices
	Noted   []Skipped `json:"noted"`   // the first of these

	// Unsettled are the entries that changed while they were looked at, and
	// Suspect the bytes that the next pass reads because the times of their
	// files prove nothing.
	Unsettled int64 `json:"unsettled"`
	Suspect   int64 `json:"suspect"`

	// Stripped are files that came without the setuid, setgid or capabilities
	// they had, Unowned those of others that are now of who runs the sink.
	Stripped int64 `json:"stripped"`
	Unowned  int64 `json:"unowned"`

	Seconds float64 `json:"seconds"` // all of it
	// Of these: until the disk was written, busy with looking at entries, with
	// comparing contents, and with sending until all is applied. They overlap.
	Sync    float64 `json:"sync"`
	Look    float64 `json:"look"`
	Compare float64 `json:"compare"`
	Send    float64 `json:"send"`

	// Where clones were asked for: whether all that a last pass had to read was cloned,
	// or all that a live pass leaves to the next one can be, and how long that took. Else
	// Uncloned says what could not be, and why: it is read while the writer is held up.
	Cloned   bool    `json:"cloned,omitempty"`
	Clone    float64 `json:"clone,omitempty"`
	Uncloned string  `json:"uncloned,omitempty"`
}

// Skipped is an entry that is noted and not copied.
type Skipped struct {
	Path string `json:"path"` // in the tree
	Type string `json:"type"` // fifo, socket or device
}

// ask is how a sink asks for a pass.
type ask struct {
	Final bool `json:"final"`
	// Clones has what a last pass reads be cloned first: see [Sink.Hold]. A live pass
	// tries it.
	Clones bool `json:"clones,omitempty"`
}

// applied is how a sink says that it has all of a pass.
type applied struct {
	Stripped int64 `json:"stripped"`
	Unowned  int64 `json:"unowned"`
}

// told is a failure that the other end is told of.
type told struct {
	Code    fault.Code `json:"code"`
	Message string     `json:"message"`
	Hint    string     `json:"hint"`
}
