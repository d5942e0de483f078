package bundle

import (
	"bytes"
	"encoding/hex"
	"io"
	"slices"

	"golang.org/x/crypto/ssh"

	"homelab/internal/fault"
)

// end reads the index, and what is behind it.
func (r *Reader) end(h *header, raw []byte) error {
	if err := r.endItem(); err != nil {
		return err
	}
	if r.item != len(r.Manifest.Items)-1 {
		return corrupt("the bundle has %d items, and says it has %d", r.item+1, len(r.Manifest.Items))
	}
	r.last = indexPath
	if err := r.isOwn(h, raw); err != nil {
		return err
	}
	text, err := r.readText(h, r.index.most())
	if err != nil {
		return err
	}
	if err := r.index.read(bytes.NewReader(text)); err != nil {
		if fault.CodeOf(err) != fault.BundleCorrupt {
			err = corrupt("index.json cannot be read: %.200s", err)
		}
		return err
	}
	r.found.Index = hex.EncodeToString(sumOf(text))
	r.found.Skipped = append([]Skipped{}, r.index.skipped...)
	r.found.Totals.Skipped = r.Manifest.Totals().Skipped
	author, err := r.readAuthor(text)
	if err != nil {
		return err
	}
	if n, err := r.tar.Read(r.buf); n > 0 {
		return corrupt("there is something behind the end of the bundle")
	} else if err != io.EOF {
		return unreadable(err, "at its end")
	}
	return r.judge(author)
}

// readAuthor reads the signature, if there is one, and the end of the tar.
func (r *Reader) readAuthor(index []byte) (ssh.PublicKey, error) {
	h, raw, err := readHeader(r.tar)
	if err == errEnd {
		return nil, nil
	}
	if err != nil {
		return nil, unreadable(err, "behind index.json")
	}
	if h.path != signaturePath {
		return nil, corrupt("the entry %.300q comes after the index", h.path)
	}
	if err := r.isOwn(h, raw); err != nil {
		return nil, err
	}
	text, err := r.readText(h, maxSignature)
	if err != nil {
		return nil, err
	}
	author, err := verifySignature(index, text)
	if err != nil {
		return nil, err
	}
	if h, _, err = readHeader(r.tar); err == nil {
		return nil, corrupt("the entry %.300q comes after the signature", h.path)
	} else if err != errEnd {
		return nil, unreadable(err, "behind index.json.sig")
	}
	return author, nil
}

// judge decides whether the author may have written it.
func (r *Reader) judge(author ssh.PublicKey) error {
	if author != nil {
		r.found.Author = ssh.FingerprintSHA256(author)
	}
	if len(r.trust.Authors) == 0 {
		return nil
	}
	if author == nil {
		return fault.New(fault.Denied, "the bundle is not signed, and only signed ones are trusted", "use a signed bundle, or trust this one without a signature if you know where it comes from")
	}
	same := func(key ssh.PublicKey) bool { return bytes.Equal(key.Marshal(), author.Marshal()) }
	if !slices.ContainsFunc(r.trust.Authors, same) {
		return fault.Newf(fault.Denied, "trust this key if you know whose it is", "the bundle is signed by %s, who is not trusted", r.found.Author)
	}
	return nil
}
