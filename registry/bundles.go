package registry

import (
	"slices"
	"strings"

	"homelab/internal/strictjson"
)

// bundles checks the kinds of the keys; what reads them checks the rest.
func (v *validation) bundles() {
	b := v.registry.Bundles
	if b == nil {
		return
	}
	at := strictjson.Root.Key("bundles")
	v.list(at.Key("recipients"), public(b.Recipients), func(key string) flaw {
		return keyFlaw(key, "age1", "ssh-ed25519 ", "ssh-rsa ")
	})
	v.list(at.Key("authors"), public(b.Authors), func(key string) flaw { return keyFlaw(key, "ssh-ed25519 ") })
}

// What is put in place of a private key, which no message shows.
const private = "(a private key)"

func public(keys []string) []string {
	shown := slices.Clone(keys)
	for i, key := range keys {
		if strings.Contains(strings.ToUpper(key), "SECRET-KEY") || strings.Contains(key, "PRIVATE KEY") {
			shown[i] = private
		}
	}
	return shown
}

func keyFlaw(key string, kinds ...string) flaw {
	if key == private {
		return flawf("write the public key; and make a new pair, for this one is in the repository", "a private key")
	}
	for _, kind := range kinds {
		if strings.HasPrefix(key, kind) && len(key) > len(kind) && !strings.ContainsAny(key, "\n\r") {
			return flaw{}
		}
	}
	return flawf("write it as in the file of the public key: "+strings.Join(kinds, "… or ")+"…", "not a public key")
}
