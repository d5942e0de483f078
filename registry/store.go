package registry

import (
	"path"
	"strings"

	"homelab/internal/lazy"
	"homelab/internal/strictjson"
)

// bucketSyntax is the rule for the names of buckets in the manual of Amazon
// S3, general purpose buckets.
var bucketSyntax = lazy.Regexp(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// stores checks where bundles go.
func (v *validation) stores(at strictjson.Path, stores []string) {
	seen := map[string]bool{}
	for i, store := range stores {
		f := storeFlaw(store)
		if seen[store] && f.none() {
			f = flawf("remove one of them", "listed twice")
		}
		seen[store] = true
		v.report(at.Index(i), withoutPassword(store), f)
	}
}

func storeFlaw(store string) flaw {
	const forms = "write an absolute path, s3://bucket/prefix or sftp://user@host/path"
	scheme, rest, isURL := strings.Cut(store, "://")
	switch {
	case path.IsAbs(store):
		return cleanFlaw(store)
	case !isURL:
		return flawf(forms, "not a place for bundles")
	case scheme == "s3":
		bucket, _, _ := strings.Cut(rest, "/")
		if !bucketSyntax().MatchString(bucket) {
			return flawf("write s3://bucket/prefix, the bucket in lowercase letters, digits, '.' and '-'", "the name of the bucket is not valid")
		}
		return flaw{}
	case scheme == "sftp":
		u, f := remote(store)
		if f.none() && (u.Path == "" || u.Path == "/") {
			return flawf("write sftp://user@host/path", "the path is missing")
		}
		return f
	}
	return flawf(forms, "bundles cannot be kept in %s", strictjson.Excerpt(scheme))
}
