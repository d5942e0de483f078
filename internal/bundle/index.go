package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// The index is what a signature covers, so it covers everything: the manifest by
// its digest, each entry by that of its header and that of its content.

// record is the line of an entry in the index.
type record struct {
	Path      string `json:"path"`                // what of it is not UTF-8 is U+FFFD here
	PathBytes []byte `json:"pathBytes,omitempty"` // then: the path itself, in base64
	Type      string `json:"type"`                // file, hardlink, symlink or folder
	Size      int64  `json:"size"`                // of a file, with its holes
	SHA256    string `json:"sha256,omitempty"`    // of a file, in hex
	Stored    string `json:"stored,omitempty"`    // of a sparse file, instead: of its data without the holes
	Header    string `json:"header"`              // SHA-256 of what is before the content in the tar
}

func newRecord(h *header, raw []byte, content sum) []byte {
	r := record{Type: h.kind.String(), Size: h.size, Header: hex.EncodeToString(sumOf(raw))}
	if r.Path = strings.ToValidUTF8(h.path, "\uFFFD"); r.Path != h.path {
		r.PathBytes = []byte(h.path)
	}
	switch {
	case h.sparse:
		r.Stored = hex.EncodeToString(content)
	case h.kind == file:
		r.SHA256 = hex.EncodeToString(content)
	}
	return r.line()
}

func (r record) line() []byte {
	line, _ := json.Marshal(r) // strings, a number and bytes
	return line
}

type sum []byte

func sumOf(data []byte) sum {
	s := sha256.Sum256(data)
	return s[:]
}

const (
	indexName = "homelab-bundle-index"
	indexRoom = 64 << 20 // for what a reader does not know
)

// indexWriter collects the index.
type indexWriter struct {
	text    []byte
	skipped []Skipped // of them at most maxSkipped; the manifest has their number
}

func newIndexWriter(manifest []byte) *indexWriter {
	head, _ := json.Marshal(hex.EncodeToString(sumOf(manifest)))
	text := `{"format":"` + indexName + `","manifest":` + string(head) + `,"entries":[`
	return &indexWriter{text: []byte(text)}
}

func (w *indexWriter) add(line []byte) {
	if w.text[len(w.text)-1] != '[' {
		w.text = append(w.text, ',')
	}
	w.text = append(append(w.text, '\n'), line...)
}

func (w *indexWriter) finish() []byte {
	skipped, _ := json.Marshal(append([]Skipped{}, w.skipped...))
	return append(append(append(w.text, "\n],\"skipped\":"...), skipped...), "}\n"...)
}

// indexReader compares the index with what was read.
type indexReader struct {
	manifest string
	lines    [][sha256.Size]byte // digests of the records that must be there
	size     int64               // of these records

	skipped []Skipped
}

func (r *indexReader) add(line []byte) {
	r.lines = append(r.lines, sha256.Sum256(line))
	r.size += int64(len(line))
}

// most is how long an index can be.
func (r *indexReader) most() int64 { return 2*r.size + indexRoom }

var errIndex = errors.New("not of the form of an index")

// read reads the index. What it does not know it passes over.
func (r *indexReader) read(in io.Reader) error {
	d := json.NewDecoder(in)
	if err := expect(d, '{'); err != nil {
		return err
	}
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string)
		if seen[key] {
			return corrupt("index.json has %.100q twice", key)
		}
		seen[key] = true
		if err := r.value(d, key); err != nil {
			return err
		}
	}
	if err := expect(d, '}'); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errIndex
	}
	if !seen["format"] || !seen["manifest"] || !seen["entries"] {
		return errIndex
	}
	return nil
}

func (r *indexReader) value(d *json.Decoder, key string) error {
	var said string
	switch key {
	case "format":
		if err := d.Decode(&said); err != nil || said != indexName {
			return errIndex
		}
		return nil
	case "manifest":
		if err := d.Decode(&said); err != nil {
			return err
		}
		if said != r.manifest {
			return corrupt("manifest.json is not the one that the index tells of")
		}
		return nil
	case "entries":
		return r.entries(d)
	case "skipped":
		return d.Decode(&r.skipped)
	}
	var unknown json.RawMessage
	return d.Decode(&unknown)
}

func (r *indexReader) entries(d *json.Decoder) error {
	if err := expect(d, '['); err != nil {
		return err
	}
	i := 0
	for ; d.More(); i++ {
		var said record
		if err := d.Decode(&said); err != nil {
			return err
		}
		switch {
		case i == len(r.lines):
			return corrupt("%.300q is in the index and not in the bundle", said.Path)
		case sha256.Sum256(said.line()) != r.lines[i]:
			return corrupt("entry %d is not what the index says of %.300q", i+1, said.Path)
		}
	}
	if i < len(r.lines) {
		return corrupt("the bundle has %d entries, and the index tells of %d", len(r.lines), i)
	}
	return expect(d, ']')
}

func expect(d *json.Decoder, want json.Delim) error {
	token, err := d.Token()
	if err == nil && token != want {
		err = errIndex
	}
	return err
}
