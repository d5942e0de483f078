package bundle

import (
	"bytes"
	"errors"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"golang.org/x/crypto/ssh"

	"homelab/internal/fault"
)

// ParseRecipient reads whom a bundle is encrypted for: age1…, ssh-ed25519 … or
// ssh-rsa ….
func ParseRecipient(text string) (age.Recipient, error) {
	text = strings.TrimSpace(text)
	var recipient age.Recipient
	var err error
	if strings.HasPrefix(text, "ssh-") {
		recipient, err = agessh.ParseRecipient(text)
	} else {
		recipient, err = age.ParseX25519Recipient(text)
	}
	if err != nil {
		return nil, fault.Newf(fault.InvalidArgument, "write a public key: age1…, ssh-ed25519 … or ssh-rsa …", "%.100q is no recipient: %w", text, err)
	}
	return recipient, nil
}

// ParseIdentities reads the keys of a file that open an encrypted bundle: those
// of age-keygen, or a private key of ssh without a passphrase. What it complains
// of never shows the file.
func ParseIdentities(text []byte) ([]age.Identity, error) {
	if !bytes.Contains(text, []byte("-----BEGIN")) {
		keys, err := age.ParseIdentities(bytes.NewReader(text))
		if err != nil {
			return nil, badKey("this is no file of age keys")
		}
		return keys, nil
	}
	key, err := agessh.ParseIdentity(text)
	if err != nil {
		return nil, explainKey(err)
	}
	return []age.Identity{key}, nil
}

// ParseSigner reads a private ed25519 key of ssh that signs bundles.
func ParseSigner(text []byte) (ssh.Signer, error) {
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, explainKey(err)
	}
	if key.PublicKey().Type() != ssh.KeyAlgoED25519 {
		return nil, badKey("this is a key of type " + key.PublicKey().Type() + ", and bundles are signed with ssh-ed25519")
	}
	return key, nil
}

// ParseAuthor reads the public key of somebody who signs bundles: ssh-ed25519 ….
func ParseAuthor(text string) (ssh.PublicKey, error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil || key.Type() != ssh.KeyAlgoED25519 {
		return nil, fault.Newf(fault.InvalidArgument, "write a public key: ssh-ed25519 …", "%.100q is no author of bundles", text)
	}
	return key, nil
}

func explainKey(err error) error {
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		return fault.New(fault.Precondition, "the key has a passphrase, and nobody is there to type it", "name a key without one, such as a key of the host")
	}
	return badKey("this is no private key that can be used")
}

func badKey(message string) error {
	return fault.New(fault.InvalidArgument, message, "name a file of ssh-keygen -t ed25519 or of age-keygen")
}
