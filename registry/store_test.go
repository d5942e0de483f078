package registry_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/registry"
)

func TestParseStore(t *testing.T) {
	for address, want := range map[string]registry.Store{
		"/srv/bundles":                   {Kind: "dir", Path: "/srv/bundles"},
		"sftp://nas/bundles":             {Kind: "sftp", Host: "nas", Path: "/bundles"},
		"sftp://me@[fe80::1]:2222/a/b":   {Kind: "sftp", User: "me", Host: "fe80::1", Port: "2222", Path: "/a/b"},
		"s3://bundles":                   {Kind: "s3", Bucket: "bundles"},
		"s3://bundles/home/lab/":         {Kind: "s3", Bucket: "bundles", Path: "home/lab"},
		"s3://bundles/x?region=eu":       {Kind: "s3", Bucket: "bundles", Path: "x", Region: "eu"},
		"restic:/srv/restic":             {Kind: "restic", Path: "/srv/restic"},
		"restic:sftp:me@nas:/restic":     {Kind: "restic", Path: "sftp:me@nas:/restic"},
		"restic:rest:https://nas:8000/x": {Kind: "restic", Path: "rest:https://nas:8000/x"},
		"s3://bundles?endpoint=https://nas:9000&region=eu": {
			Kind: "s3", Bucket: "bundles", Endpoint: "https://nas:9000", Region: "eu"},
	} {
		want.Address = address
		got, err := registry.ParseStore(address)
		require.NoError(t, err, address)
		assert.Equal(t, want, got)
	}
}

func TestParseStoreRefuses(t *testing.T) {
	const secret = "xyzzy"
	for address, message := range map[string]string{
		"":                                   "not a place for bundles",
		"srv":                                "not a place for bundles",
		"/srv/":                              "not the plain spelling",
		"sftp://nas/a/../b":                  "not the plain spelling",
		"sftp://-oProxyCommand=x/y":          "the host is missing or not valid",
		"s3://bundles/../x":                  "the prefix is not the plain spelling",
		"s3://bundles//x":                    "the prefix is not the plain spelling",
		"s3://bundles?key=a":                 "what follows the ? is not known",
		"s3://bundles?endpoint=nas":          "the host is missing",
		"s3://bundles?endpoint=ftp://nas":    "not the address of a server",
		"s3://bundles?endpoint=http://nas/x": "not the address of a server",
		"s3://b:" + secret + "@bundles":      "the name of the bucket",
		"s3://bundles?endpoint=https://me:" + secret + "@nas": "a password in the address",
		"sftp://me:" + secret + "@nas/x":                      "a password in the address",
		"restic:":                                             "neither an absolute path nor an address",
		"restic:repo":                                         "neither an absolute path nor an address",
		"restic:rest:https://me:" + secret + "@nas/":          "a password in the address",
		"restic:/srv\n":                                       "no repository has such characters",
	} {
		_, err := registry.ParseStore(address)
		f := fault.Of(err)
		if assert.NotNil(t, f, address) {
			assert.Equal(t, fault.InvalidArgument, f.Code)
			assert.Contains(t, f.Message, message, address)
			assert.NotEmpty(t, f.Hint)
			assert.NotContains(t, f.Message, secret)
		}
	}
}
