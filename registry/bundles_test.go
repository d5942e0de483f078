package registry_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"homelab/registry"
)

func TestValidateBundles(t *testing.T) {
	const alice, secret = "ssh-ed25519 AAAA alice", "AGE-SECRET-KEY-1QQPSECRET"
	r := &registry.Registry{Version: 1, Services: map[string]registry.Service{}, Bundles: &registry.Bundles{
		Recipients: []string{"age1xyz", "ssh-rsa AAAA", alice, alice, secret, "age1", "github:alice"},
		Authors:    []string{alice, "ssh-rsa AAAA", "-----BEGIN OPENSSH PRIVATE KEY-----", "ssh-ed25519 AAAA\nssh-ed25519 BBBB"},
	}}
	const at, fix = "$.bundles.", "write it as in the file of the public key: "
	found := r.Validate()
	assert.Equal(t, registry.Problems{
		problem(at+"recipients[3]", `"`+alice+`"`, "listed twice", "remove one of them"),
		problem(at+"recipients[4]", `"(a private key)"`, "a private key", "write the public key; and make a new pair, for this one is in the repository"),
		problem(at+"recipients[5]", `"age1"`, "not a public key", fix+"age1… or ssh-ed25519 … or ssh-rsa …"),
		problem(at+"recipients[6]", `"github:alice"`, "not a public key", fix+"age1… or ssh-ed25519 … or ssh-rsa …"),
		problem(at+"authors[1]", `"ssh-rsa AAAA"`, "not a public key", fix+"ssh-ed25519 …"),
		problem(at+"authors[2]", `"(a private key)"`, "a private key", "write the public key; and make a new pair, for this one is in the repository"),
		problem(at+"authors[3]", `"ssh-ed25519 AAAA\nssh-ed25519 BBBB"`, "not a public key", fix+"ssh-ed25519 …"),
	}, found)
	assert.NotContains(t, found.Error(), secret)
}
