package bundle

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"strings"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"

	"homelab/internal/fault"
)

// Trust is what a reader needs to know of the outside.
type Trust struct {
	Identities []age.Identity  // keys that may open it
	Authors    []ssh.PublicKey // if there are any, one of them must have signed it
	Limits     Limits
}

// Limits bound what a bundle may say it holds; 0 is the default. What it holds
// beyond what it says is refused in any case. There is no limit of how well it
// is compressed: see docs/decisions/0019-the-bundle.md.
type Limits struct {
	Entries int64 // default: 20 million
	Stored  int64 // bytes without holes; default: 16 TiB
}

const (
	defaultEntries = 20_000_000
	defaultStored  = 16 << 40
)

// Report is what was found in a bundle.
type Report struct {
	Totals
	Index   string    // SHA-256 of the index in hex, as in [Written]
	Author  string    // fingerprint of the key that signed it; empty: nobody
	Skipped []Skipped // the first of what was not captured
}

// Reader reads a bundle once, from start to end.
type Reader struct {
	Manifest Manifest

	trust Trust
	tar   *decompressor
	buf   []byte
	queue queue
	index indexReader
	found Report
	used  bool

	item    int      // that is being read
	open    []string // the folders that lead to the entry
	last    string   // path of the entry
	left    Totals   // of the item
	seed    maphash.Seed
	regular map[uint64]struct{} // files of the item, by the hash of their path
}

// Open reads what a bundle says of itself. Nothing of it is verified yet, and it
// holds no more than the limits allow, if it tells the truth.
func Open(in io.Reader, trust Trust) (*Reader, error) {
	buffered := bufio.NewReaderSize(outside{in}, bufferSize)
	packed, err := decrypted(buffered, trust.Identities)
	if err != nil {
		return nil, err
	}
	plain, err := newDecompressor(newSealed(packed))
	if err != nil {
		return nil, err
	}
	r := &Reader{
		trust: trust, tar: plain, buf: make([]byte, bufferSize),
		item: -1, seed: maphash.MakeSeed(),
	}
	if err := r.readManifest(); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Close waits for a read that is under way. It does not close what is read from.
func (r *Reader) Close() { r.tar.Close() }

const ageStart = "age-encryption.org/"

// decrypted is the compressed bundle.
func decrypted(in *bufio.Reader, keys []age.Identity) (io.Reader, error) {
	head, err := in.Peek(len(ageStart))
	switch {
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return in, nil
	case string(head) != ageStart:
		if err != nil && err != io.EOF {
			return nil, unreadable(err, "at its start")
		}
		return nil, foreign()
	case len(keys) == 0:
		return nil, fault.New(fault.Precondition, "the bundle is encrypted, and there is no key to open it", "name the file of an age or ssh key")
	}
	plain, err := age.Decrypt(in, keys...)
	var other *age.NoIdentityMatchError
	switch {
	case errors.As(err, &other):
		return nil, fault.New(fault.Denied, "none of the keys opens the bundle", "name the key of one of those that it was written for")
	case err != nil:
		return nil, unreadable(err, "where it says whom it is for")
	}
	compressed := bufio.NewReaderSize(plain, bufferSize)
	if head, err := compressed.Peek(4); err == nil && !bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}) {
		return nil, foreign()
	}
	return compressed, nil
}

func (r *Reader) readManifest() error {
	h, raw, err := readHeader(r.tar)
	switch {
	case err == errEnd || errors.Is(err, errFrame) || fault.CodeOf(err) == fault.BundleCorrupt: // a tar of somebody else
		return foreign()
	case err != nil:
		return unreadable(err, "at its start")
	case h.path != manifestPath:
		return foreign()
	}
	text, err := r.readText(h, maxManifest)
	if err != nil {
		return err
	}
	m, err := parseManifest(text)
	if err != nil {
		return err
	}
	r.Manifest = *m
	if err := r.isOwn(h, raw); err != nil {
		return err
	}
	r.index.manifest = hex.EncodeToString(sumOf(text))
	return r.trust.Limits.Check(m.Totals())
}

// Check says whether a bundle may hold so much.
func (l Limits) Check(all Totals) error {
	if most := orDefault(l.Entries, defaultEntries); all.Entries > most {
		return tooMuch("%d entries, more than the %d that are allowed", all.Entries, most)
	}
	if most := orDefault(l.Stored, defaultStored); all.Stored > most {
		return tooMuch("%d bytes, more than the %d that are allowed", all.Stored, most)
	}
	return nil
}

func orDefault(n, otherwise int64) int64 {
	if n == 0 {
		return otherwise
	}
	return n
}

func tooMuch(format string, args ...any) error {
	return fault.Newf(fault.Precondition, "raise the limit if you know where the bundle comes from", "the bundle says it holds "+format, args...)
}

// readText reads a file of the bundle's own.
func (r *Reader) readText(h *header, most int64) ([]byte, error) {
	if h.kind != file || h.sparse {
		return nil, corrupt("%s is not as homelab writes it", h.path)
	}
	if h.size > most {
		return nil, corrupt("%s has %d bytes, more than any that homelab wrote", h.path, h.size)
	}
	text := make([]byte, h.size+padding(h.size))
	if _, err := io.ReadFull(r.tar, text); err != nil {
		return nil, unreadable(err, "in "+h.path)
	}
	if !isZero(text[h.size:]) {
		return nil, corrupt("there is something behind %s", h.path)
	}
	return text[:h.size], nil
}

// isOwn checks the header of such a file, which the index does not tell of.
func (r *Reader) isOwn(h *header, raw []byte) error {
	if !bytes.Equal(raw, textHeader(h.path, h.size, r.Manifest.Created).encode()) {
		return corrupt("%s is not as homelab writes it", h.path)
	}
	return nil
}

// Verify reads everything, and fails unless it is all that was written.
func (r *Reader) Verify(ctx context.Context) (*Report, error) {
	return r.read(ctx, func(*header, string) (fill, error) { return nil, nil })
}

// fill makes a file. When its content is in memory, it runs beside others of the same
// folder.
type fill func(next) error

// next is what comes next of a file, at most so many bytes; good until the next call.
type next func(most int64) ([]byte, error)

// read reads the bundle to its end. Each entry is given to place, with its path in the
// item, when all before it that it may depend on are there.
func (r *Reader) read(ctx context.Context, place func(h *header, path string) (fill, error)) (*Report, error) {
	if r.used {
		return nil, fault.New(fault.Internal, "a bundle is read once", "")
	}
	r.used = true
	err := r.entries(ctx, place)
	// What failed first is what came first.
	if earlier := r.settle(); earlier != nil {
		err = earlier
	}
	return &r.found, err
}

func (r *Reader) entries(ctx context.Context, place func(h *header, path string) (fill, error)) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, raw, err := readHeader(r.tar)
		switch {
		case err == errEnd:
			return corrupt("the bundle is cut short, %s: it has no index", r.at())
		case err != nil:
			return unreadable(err, r.at())
		case h.path == indexPath:
			if err := r.settle(); err != nil {
				return err
			}
			return r.end(h, raw)
		}
		depth := len(r.open)
		path, err := r.enter(h)
		if err != nil {
			return err
		}
		// A folder gets its time when it is full, and a name is one of a file.
		if len(r.open) < depth || h.kind != file {
			if err := r.settle(); err != nil {
				return err
			}
		}
		fill, err := place(h, path)
		if err == nil {
			err = r.take(ctx, &entry{header: h, raw: raw, fill: fill})
		}
		if err != nil {
			return err
		}
	}
}

func totalsOf(h *header) Totals {
	t := Totals{Entries: 1}
	if h.kind == file {
		t.Bytes, t.Stored = h.size, h.stored()
	}
	return t
}

// at says where something was found.
func (r *Reader) at() string {
	if r.last == "" {
		return "before its first entry"
	}
	return fmt.Sprintf("behind %.300q", r.last)
}

// enter checks that an entry may come here, and returns its path in the item.
// Entries are in order and each is in a folder that is still open: none comes
// twice, and none leads through a link.
func (r *Reader) enter(h *header) (string, error) {
	if r.item < 0 || len(r.open) == 0 || !below(h.path, r.open[0]) {
		if err := r.nextItem(h); err != nil {
			return "", err
		}
	} else if compare(h.path, r.last) <= 0 {
		return "", corrupt("the entry %.300q is twice in the bundle, or in the wrong place", h.path)
	}
	root := itemPath(r.item)
	for len(r.open) > 0 && !below(h.path, r.open[len(r.open)-1]) {
		r.open = r.open[:len(r.open)-1]
	}
	if h.path != root && (len(r.open) == 0 || strings.LastIndexByte(h.path, '/') != len(r.open[len(r.open)-1])) {
		return "", corrupt("the entry %.300q is in no folder of the bundle", h.path)
	}
	if h.path == root && h.kind != folder && h.kind != file {
		return "", corrupt("the item %.300q is neither a folder nor a file", h.path)
	}
	key := maphash.String(r.seed, h.path)
	switch h.kind {
	case folder:
		r.open = append(r.open, h.path)
	case file:
		r.regular[key] = struct{}{}
	case hardlink:
		if _, known := r.regular[maphash.String(r.seed, h.link)]; !known {
			return "", corrupt("%.300q is a name of %.300q, which is no file before it in its item", h.path, h.link)
		}
	}
	r.last = h.path
	t := totalsOf(h)
	r.left.Entries, r.left.Bytes, r.left.Stored = r.left.Entries-t.Entries, r.left.Bytes-t.Bytes, r.left.Stored-t.Stored
	if min(r.left.Entries, r.left.Bytes, r.left.Stored) < 0 {
		return "", corrupt("item %d holds more than the bundle says, with %.300q", r.item, h.path)
	}
	return strings.TrimPrefix(h.path[len(root):], "/"), nil
}

func itemPath(i int) string { return fmt.Sprintf("%s/%d", itemsPath, i) }

// below says whether a path is in a folder.
func below(path, folder string) bool {
	return len(path) > len(folder) && path[len(folder)] == '/' && strings.HasPrefix(path, folder)
}

// nextItem begins the item of an entry, which must be its root.
func (r *Reader) nextItem(h *header) error {
	if r.item+1 == len(r.Manifest.Items) || h.path != itemPath(r.item+1) {
		return corrupt("the entry %.300q is not what comes next in a bundle", h.path)
	}
	if err := r.endItem(); err != nil {
		return err
	}
	r.item++
	r.left = r.Manifest.Items[r.item].Totals
	r.open, r.regular = nil, map[uint64]struct{}{}
	return nil
}

// endItem checks that an item was all there.
func (r *Reader) endItem() error {
	if r.left.Entries != 0 || r.left.Bytes != 0 || r.left.Stored != 0 {
		return corrupt("item %d holds less than the bundle says", r.item)
	}
	return nil
}
