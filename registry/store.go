package registry

import (
	"net/url"
	"path"
	"strings"

	"homelab/internal/fault"
	"homelab/internal/lazy"
	"homelab/internal/strictjson"
)

// Store is a place for bundles, an entry of [State.Stores] taken apart.
type Store struct {
	Kind    string // dir, sftp, s3 or restic
	Address string // all of it; it has no secret
	// Path is a folder; for s3 what keys begin with, which may be empty; for restic
	// the repository as restic spells it.
	Path             string
	User, Host, Port string // for sftp; empty: as the configuration of ssh says
	Bucket           string // for s3
	Endpoint, Region string // for s3; empty: as the environment says
}

// ParseStore reads the address of a place for bundles. Its error is
// [fault.InvalidArgument] and shows no password.
func ParseStore(address string) (Store, error) {
	s, f := parseStore(address)
	if !f.none() {
		return Store{}, fault.Newf(fault.InvalidArgument, f.fix, "the store %q: %s", withoutPassword(address), f.message)
	}
	return s, nil
}

// bucketSyntax is the rule for the names of buckets in the manual of Amazon
// S3, general purpose buckets.
var bucketSyntax = lazy.Regexp(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// stores checks where bundles go.
func (v *validation) stores(at strictjson.Path, stores []string) {
	seen := map[string]bool{}
	for i, store := range stores {
		_, f := parseStore(store)
		if seen[store] && f.none() {
			f = flawf("remove one of them", "listed twice")
		}
		seen[store] = true
		v.report(at.Index(i), withoutPassword(store), f)
	}
}

func parseStore(address string) (Store, flaw) {
	const forms = "write an absolute path, s3://bucket/prefix, sftp://user@host/path or restic:repository"
	s := Store{Address: address}
	scheme, rest, hasScheme := strings.Cut(address, ":")
	switch {
	case path.IsAbs(address):
		s.Kind, s.Path = "dir", address
		return s, cleanFlaw(address)
	case scheme == "restic" && hasScheme:
		s.Kind, s.Path = "restic", rest
		return s, resticFlaw(rest)
	case !strings.HasPrefix(rest, "//"):
		return s, flawf(forms, "not a place for bundles")
	case scheme == "s3":
		return parseS3(s)
	case scheme == "sftp":
		u, f := remote(address)
		if !f.none() {
			return s, f
		}
		if u.Path == "" || u.Path == "/" {
			return s, flawf("write sftp://user@host/path", "the path is missing")
		}
		s.Kind, s.User, s.Host, s.Port, s.Path = "sftp", u.User.Username(), u.Hostname(), u.Port(), u.Path
		return s, cleanFlaw(u.Path)
	}
	return s, flawf(forms, "bundles cannot be kept in %s", strictjson.Excerpt(scheme))
}

// parseS3 reads s3://bucket/prefix?endpoint=https://host:port&region=name.
func parseS3(s Store) (Store, flaw) {
	place, query, _ := strings.Cut(strings.TrimPrefix(s.Address, "s3://"), "?")
	s.Kind = "s3"
	s.Bucket, s.Path, _ = strings.Cut(place, "/")
	if !bucketSyntax().MatchString(s.Bucket) {
		return s, flawf("write s3://bucket/prefix, the bucket in lowercase letters, digits, '.' and '-'", "the name of the bucket is not valid")
	}
	s.Path = strings.TrimSuffix(s.Path, "/")
	if s.Path != "" && path.Clean("/"+s.Path) != "/"+s.Path {
		return s, flawf("write s3://bucket/prefix", "the prefix is not the plain spelling of a path")
	}
	values, err := url.ParseQuery(query)
	s.Endpoint, s.Region = values.Get("endpoint"), values.Get("region")
	delete(values, "endpoint")
	delete(values, "region")
	if err != nil || len(values) > 0 {
		return s, flawf("write s3://bucket/prefix?endpoint=https://host:port&region=name", "what follows the ? is not known")
	}
	if s.Endpoint == "" {
		return s, flaw{}
	}
	scheme, _, _ := strings.Cut(s.Endpoint, "://")
	u, f := remote(s.Endpoint)
	if f.none() && (scheme != "http" && scheme != "https" || u.User != nil || u.Path != "" && u.Path != "/") {
		f = flawf("write endpoint=https://host:port", "the endpoint is not the address of a server")
	}
	return s, f
}

func resticFlaw(repository string) flaw {
	const forms = "write restic: and the repository as restic spells it, such as restic:/srv/restic or restic:rest:https://nas:8000/"
	if repository == "" || !path.IsAbs(repository) && !strings.Contains(repository, ":") {
		return flawf(forms, "the repository is neither an absolute path nor an address")
	}
	if strings.ContainsAny(repository, "\x00\n") {
		return flawf(forms, "no repository has such characters")
	}
	if withoutPassword(repository) != repository && strings.Contains(repository, "://") {
		return flawf("remove the password: the registry is read by many; restic takes it from its environment", "a password in the address")
	}
	return flaw{}
}
