package bundle

import (
	"filippo.io/age"
	"golang.org/x/crypto/ssh"
)

// Keyring has the keys that bundles are written and read with.
type Keyring struct {
	Recipients []age.Recipient
	Signer     ssh.Signer // nil: nobody signs
	Identities []age.Identity
	Authors    []ssh.PublicKey
}

// ParseKeyring reads public keys, and the contents of files with private ones: those
// that open bundles, and that which signs them, if there is one.
func ParseKeyring(recipients, authors []string, identities [][]byte, signer []byte) (*Keyring, error) {
	k := &Keyring{}
	for _, text := range recipients {
		key, err := ParseRecipient(text)
		if err != nil {
			return nil, err
		}
		k.Recipients = append(k.Recipients, key)
	}
	for _, text := range authors {
		key, err := ParseAuthor(text)
		if err != nil {
			return nil, err
		}
		k.Authors = append(k.Authors, key)
	}
	for _, text := range identities {
		keys, err := ParseIdentities(text)
		if err != nil {
			return nil, err
		}
		k.Identities = append(k.Identities, keys...)
	}
	var err error
	if signer != nil {
		k.Signer, err = ParseSigner(signer)
	}
	return k, err
}

// Trust is what a reader with these keys trusts.
func (k *Keyring) Trust() Trust { return Trust{Identities: k.Identities, Authors: k.Authors} }

// Author is the fingerprint of the key that signs; empty: nobody does.
func (k *Keyring) Author() string {
	if k.Signer == nil {
		return ""
	}
	return ssh.FingerprintSHA256(k.Signer.PublicKey())
}
