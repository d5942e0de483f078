package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"

	"github.com/minio/minio-go/v7"

	"homelab/internal/fault"
)

func codeOf(err error) string {
	var said minio.ErrorResponse
	if !errors.As(err, &said) {
		return ""
	}
	return said.Code
}

func isMissing(err error) bool { return codeOf(err) == minio.NoSuchKey }

// isTaken says whether another file of that name was completed meanwhile.
func isTaken(err error) bool {
	switch codeOf(err) {
	case minio.PreconditionFailed, "ConditionalRequestConflict", minio.NoSuchUpload, "InvalidPart":
		return true
	}
	return false
}

func (b *Bucket) taken(name string) error {
	return fault.Newf(fault.Conflict, "nothing is written over what is kept: call again for a new one", "%s has %s already", b.Name(), name)
}

func (b *Bucket) missing(ctx context.Context, name string, err error) error {
	if isMissing(err) {
		return fault.Newf(fault.NotFound, "see what is there with state_list", "%s has no %s", b.Name(), name)
	}
	return b.explain(ctx, err)
}

func (b *Bucket) explain(ctx context.Context, err error) error {
	var known *fault.Error
	var said minio.ErrorResponse
	var certificate *tls.CertificateVerificationError
	switch {
	case err == nil || ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &known):
		return err
	case errors.As(err, &said):
		return b.refused(said)
	case errors.As(err, &certificate):
		return fault.Newf(fault.Denied, "if it is one of yours, name the file of its authority in SSL_CERT_FILE", "the certificate of %s is not trusted: %w", b.Name(), err)
	}
	return fault.Newf(fault.HostUnreachable, "see whether the server is up, and the endpoint is right", "%s does not answer: %w", b.Name(), err)
}

func (b *Bucket) refused(said minio.ErrorResponse) error {
	switch said.Code {
	case minio.NoSuchBucket:
		return fault.Newf(fault.Precondition, "make the bucket, or correct the address of the store", "there is no bucket of %s", b.Name())
	case minio.AccessDenied, "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "AllAccessDisabled", "AccountProblem":
		return fault.Newf(fault.Denied, "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and what the key may do there", "%s does not let us: %s (%s)", b.Name(), said.Message, said.Code)
	case "RequestTimeTooSkewed":
		return fault.Newf(fault.Precondition, "set the clock of this machine", "the clocks of %s and of this machine differ too much", b.Name())
	case "QuotaExceeded", "XMinioStorageFull", "XMinioStorageQuotaExceeded", "EntityTooLarge":
		return b.full(said)
	}
	switch {
	case said.StatusCode == http.StatusForbidden:
		return fault.Newf(fault.Denied, "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and what the key may do there", "%s does not let us: %s", b.Name(), said.Message)
	case said.StatusCode == http.StatusInsufficientStorage:
		return b.full(said)
	case said.StatusCode == http.StatusServiceUnavailable, said.StatusCode == http.StatusTooManyRequests, said.StatusCode == http.StatusBadGateway, said.StatusCode == http.StatusGatewayTimeout:
		return fault.Newf(fault.HostUnreachable, "call again later", "%s does not serve now: %s (%s)", b.Name(), said.Message, said.Code)
	}
	return fault.Newf(fault.Precondition, "see what the server says about it", "%s failed: %s (%s)", b.Name(), said.Message, said.Code)
}

func (b *Bucket) full(said minio.ErrorResponse) error {
	return fault.Newf(fault.Precondition, "make room there, then call again", "no space is left in %s: %s (%s)", b.Name(), said.Message, said.Code)
}
