// Package s3 keeps files in a bucket of an S3 server.
package s3

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"os"
	"path"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"homelab/internal/fault"
	"homelab/internal/state"
	"homelab/registry"
)

// retries bounds how long a server that is away is asked: some seconds.
const retries = 5

// Bucket is a [state.Files].
type Bucket struct {
	at        registry.Store
	core      minio.Core
	transport *http.Transport
}

// New returns the bucket of an address, without asking it anything. Credentials,
// and what of the server the address does not say, come from where the command aws
// has them: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE of
// AWS_SHARED_CREDENTIALS_FILE; AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL; AWS_REGION or
// AWS_DEFAULT_REGION.
func New(at registry.Store) (*Bucket, error) {
	endpoint := cmp.Or(at.Endpoint, os.Getenv("AWS_ENDPOINT_URL_S3"), os.Getenv("AWS_ENDPOINT_URL"))
	region := cmp.Or(at.Region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"))
	if endpoint == "" {
		endpoint = "https://s3.amazonaws.com"
	} else {
		region = cmp.Or(region, "us-east-1") // what servers of one's own are
	}
	scheme, host, ok := strings.Cut(strings.TrimSuffix(endpoint, "/"), "://")
	if !ok || scheme != "http" && scheme != "https" || strings.ContainsAny(host, "@/?") {
		return nil, fault.New(fault.InvalidArgument, "the endpoint of S3 is not the address of a server", "set AWS_ENDPOINT_URL to https://host:port, or write ?endpoint=https://host:port behind the bucket")
	}
	keys := credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}})
	if found, err := keys.GetWithContext(nil); err != nil || found.AccessKeyID == "" {
		return nil, fault.Newf(fault.Precondition, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write ~/.aws/credentials", "there are no credentials for %s", at.Address)
	}
	transport, err := minio.DefaultTransport(scheme == "https")
	if err != nil {
		return nil, err
	}
	client, err := minio.New(host, &minio.Options{
		Creds: keys, Secure: scheme == "https", Region: region, Transport: transport, MaxRetries: retries,
	})
	if err != nil {
		return nil, fault.Newf(fault.InvalidArgument, "correct the address of the store", "%s: %w", at.Address, err)
	}
	return &Bucket{at, minio.Core{Client: client}, transport}, nil
}

func (b *Bucket) Name() string { return b.at.Address }

func (b *Bucket) Close() error {
	b.transport.CloseIdleConnections()
	return nil
}

func (b *Bucket) key(name string) string { return path.Join(b.at.Path, name) }

// prefix is what the keys of a folder begin with; of "" those of all.
func (b *Bucket) prefix(folder string) string {
	if p := b.key(folder); p != "" {
		return p + "/"
	}
	return ""
}

func (b *Bucket) Put(ctx context.Context, name string, content io.Reader) error {
	if _, _, err := state.SplitName(name); err != nil {
		return err
	}
	key := b.key(name)
	if _, err := b.core.StatObject(ctx, b.at.Bucket, key, minio.StatObjectOptions{}); err == nil {
		return b.taken(name)
	} else if !isMissing(err) {
		return b.explain(ctx, err)
	}
	u, err := b.begin(ctx, key)
	if err != nil {
		return b.explain(ctx, err)
	}
	read := state.NewContent(ctx, content)
	err = u.send(ctx, read)
	if err == nil {
		err = u.complete(ctx)
	}
	if err == nil {
		return nil
	}
	if isTaken(err) {
		err = b.taken(name)
	}
	err = cmp.Or(read.Err, b.explain(ctx, err))
	if fault.CodeOf(err) != fault.HostUnreachable { // else it can go on from there
		u.abort(ctx)
	}
	return err
}

func (b *Bucket) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if _, _, err := state.SplitName(name); err != nil {
		return nil, err
	}
	body, _, _, err := b.core.GetObject(ctx, b.at.Bucket, b.key(name), minio.GetObjectOptions{})
	if err != nil {
		return nil, b.missing(ctx, name, err)
	}
	return &reader{body, b, ctx}, nil
}

type reader struct {
	body   io.ReadCloser
	bucket *Bucket
	ctx    context.Context
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	if err != nil && err != io.EOF {
		err = r.bucket.explain(r.ctx, err)
	}
	return n, err
}

func (r *reader) Close() error { return r.body.Close() }

func (b *Bucket) List(ctx context.Context, folder string) ([]state.File, error) {
	ctx, cancel := context.WithCancel(ctx) // ends the listing when it is not read to its end
	defer cancel()
	files := []state.File{}
	for object := range b.core.Client.ListObjects(ctx, b.at.Bucket, minio.ListObjectsOptions{Prefix: b.prefix(folder), Recursive: true}) {
		if object.Err != nil {
			return nil, b.explain(ctx, object.Err)
		}
		name := strings.TrimPrefix(object.Key, b.prefix(""))
		if _, _, err := state.SplitName(name); err == nil { // else it is somebody else's
			files = append(files, state.File{Name: name, Size: object.Size})
		}
	}
	return files, ctx.Err()
}

// Remove removes the object itself: in a bucket with versions it would else only be
// marked, and go on taking room.
func (b *Bucket) Remove(ctx context.Context, name string) error {
	if _, _, err := state.SplitName(name); err != nil {
		return err
	}
	key := b.key(name)
	found, err := b.core.StatObject(ctx, b.at.Bucket, key, minio.StatObjectOptions{})
	if err != nil {
		return b.missing(ctx, name, err)
	}
	err = b.core.RemoveObject(ctx, b.at.Bucket, key, minio.RemoveObjectOptions{VersionID: found.VersionID})
	if err == nil {
		return nil
	}
	if how := locked(found); codeOf(err) == minio.AccessDenied && how != "" {
		return fault.Newf(fault.Denied, "wait until it is free, or release it at the server", "%s holds %s locked %s", b.Name(), name, how)
	}
	return b.explain(ctx, err)
}

// locked says how an object is locked, or "" when it is not or nobody tells.
func locked(object minio.ObjectInfo) string {
	if object.Metadata.Get("X-Amz-Object-Lock-Legal-Hold") == "ON" {
		return "by a legal hold"
	}
	if until := object.Metadata.Get("X-Amz-Object-Lock-Retain-Until-Date"); until != "" {
		return "until " + until
	}
	return ""
}
