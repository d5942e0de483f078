package s3

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"path"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"homelab/internal/fault"
)

// Parts are small, so that little memory is needed and little is sent again, and
// grow, since a file has at most ten thousand: half a terabyte fits.
const (
	partSize  = 16 << 20
	growsAt   = 2500 // parts
	mostParts = 10_000
	inFlight  = 3
)

func sizeOf(part int) int { return partSize << ((part - 1) / growsAt) }

// An upload to which nothing was sent for long has no writer any more, by the clock
// of the server. One of the same file goes on; others are aborted, since servers
// let them take room, and nobody sees them.
var (
	quiet     = 10 * time.Minute
	abandoned = 24 * time.Hour
)

// tidying is how long tidying up after a failure may take.
const tidying = 10 * time.Second

// upload is a file of which parts are sent. It is there when it is complete.
type upload struct {
	bucket *Bucket
	key    string
	id     string
	there  map[int]minio.ObjectPart // sent by a writer that is no more
	parts  []*minio.CompletePart
	size   int64
}

const (
	checksumAlgorithm = "X-Amz-Checksum-Algorithm"
	checksumHeader    = "X-Amz-Checksum-Sha256"
)

// begin begins an upload, or goes on with one.
func (b *Bucket) begin(ctx context.Context, key string) (*upload, error) {
	u := &upload{bucket: b, key: key}
	var err error
	u.id, err = b.core.NewMultipartUpload(ctx, b.at.Bucket, key, minio.PutObjectOptions{
		UserMetadata: map[string]string{checksumAlgorithm: "SHA256"},
	})
	if err != nil {
		return nil, err
	}
	if err := u.adopt(ctx); err != nil && ctx.Err() != nil {
		u.abort(ctx)
		return nil, err
	}
	return u, nil
}

// adopt looks at uploads in the same folder that have no writer any more. It can
// fail where only sending is allowed: then there are none.
func (u *upload) adopt(ctx context.Context) error {
	b := u.bucket
	var others []minio.ObjectMultipartInfo
	var now time.Time
	folder := path.Dir(u.key) + "/"
	var page minio.ListMultipartUploadsResult
	for more := true; more; more = page.IsTruncated {
		var err error
		page, err = b.core.ListMultipartUploads(ctx, b.at.Bucket, folder, page.NextKeyMarker, page.NextUploadIDMarker, "", 1000)
		if err != nil {
			return err
		}
		for _, other := range page.Uploads {
			if other.UploadID == u.id {
				now = other.Initiated
			} else {
				others = append(others, other)
			}
		}
	}
	for _, other := range others {
		if now.Sub(other.Initiated) < min(quiet, abandoned) {
			continue
		}
		parts, last, err := b.partsOf(ctx, other)
		if err != nil {
			return err
		}
		switch idle := now.Sub(last); {
		case other.Key == u.key && idle > quiet && u.there == nil:
			u.abort(ctx)
			u.id, u.there = other.UploadID, parts
		case idle > abandoned:
			if err := b.core.AbortMultipartUpload(ctx, b.at.Bucket, other.Key, other.UploadID); err != nil {
				return err
			}
		}
	}
	return nil
}

// partsOf tells the parts of an upload, and when it last got something.
func (b *Bucket) partsOf(ctx context.Context, of minio.ObjectMultipartInfo) (map[int]minio.ObjectPart, time.Time, error) {
	parts, last := map[int]minio.ObjectPart{}, of.Initiated
	for marker := 0; ; {
		page, err := b.core.ListObjectParts(ctx, b.at.Bucket, of.Key, of.UploadID, marker, 1000)
		if err != nil {
			return nil, last, err
		}
		for _, part := range page.ObjectParts {
			parts[part.PartNumber] = part
			if part.LastModified.After(last) {
				last = part.LastModified
			}
		}
		if !page.IsTruncated {
			return parts, last, nil
		}
		marker = page.NextPartNumberMarker
	}
}

// send sends content in parts.
func (u *upload) send(ctx context.Context, content io.Reader) error {
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(inFlight)
	for n := 1; working.Err() == nil; n++ {
		if n > mostParts {
			_ = group.Wait() // this says why
			return fault.New(fault.Precondition, "it is larger than any file that S3 takes", "keep it in a restic repository")
		}
		data := make([]byte, sizeOf(n))
		size, err := io.ReadFull(content, data)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			_ = group.Wait() // content failed before
			return err
		}
		if size > 0 || n == 1 { // a file without a part is none
			u.size += int64(size)
			part := &minio.CompletePart{PartNumber: n}
			u.parts = append(u.parts, part)
			group.Go(func() error { return u.put(working, part, data[:size]) })
		}
		if err != nil {
			break
		}
	}
	return cmp.Or(group.Wait(), ctx.Err())
}

// put sends a part. Its checksum is part of what is signed: the server refuses one
// that it got otherwise.
func (u *upload) put(ctx context.Context, part *minio.CompletePart, data []byte) error {
	sum := sha256.Sum256(data)
	part.ChecksumSHA256 = base64.StdEncoding.EncodeToString(sum[:])
	if there, ok := u.there[part.PartNumber]; ok && there.Size == int64(len(data)) && there.ChecksumSHA256 == part.ChecksumSHA256 {
		part.ETag = there.ETag
		return nil
	}
	sent, err := u.bucket.core.PutObjectPart(ctx, u.bucket.at.Bucket, u.key, u.id, part.PartNumber, bytes.NewReader(data), int64(len(data)),
		minio.PutObjectPartOptions{DisableContentSha256: true, Sha256Hex: hex.EncodeToString(sum[:]), CustomHeader: http.Header{checksumHeader: {part.ChecksumSHA256}}})
	part.ETag = sent.ETag
	return err
}

// complete makes a file of the parts, if its name is free.
func (u *upload) complete(ctx context.Context) error {
	b := u.bucket
	parts := make([]minio.CompletePart, len(u.parts))
	for i, part := range u.parts {
		parts[i] = *part
	}
	options := minio.PutObjectOptions{}
	options.SetMatchETagExcept("*")
	_, err := b.core.CompleteMultipartUpload(ctx, b.at.Bucket, u.key, u.id, parts, options)
	if codeOf(err) == "NotImplemented" {
		// An old server. That the name was free was seen before it began.
		_, err = b.core.CompleteMultipartUpload(ctx, b.at.Bucket, u.key, u.id, parts, minio.PutObjectOptions{})
	}
	if err != nil {
		return err
	}
	stored, err := b.core.StatObject(ctx, b.at.Bucket, u.key, minio.StatObjectOptions{})
	if err == nil && stored.Size != u.size {
		err = fault.Newf(fault.Precondition, "remove it, and check the server", "%s stored %d of %d bytes of %s", b.Name(), stored.Size, u.size, u.key)
	}
	return err
}

// abort gives back the room that the parts take, also when ctx is done. What cannot
// be aborted now is by a later Put.
func (u *upload) abort(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidying)
	defer cancel()
	_ = u.bucket.core.AbortMultipartUpload(ctx, u.bucket.at.Bucket, u.key, u.id)
}
