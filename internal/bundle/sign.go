package bundle

import (
	"bytes"
	"crypto/rand"
	"crypto/sha512"
	"encoding/pem"

	"golang.org/x/crypto/ssh"

	"homelab/internal/fault"
)

// A signature is what `ssh-keygen -Y sign -n homelab-bundle` writes: see
// PROTOCOL.sshsig of OpenSSH.
const (
	signaturePreamble = "SSHSIG"
	signatureBlock    = "SSH SIGNATURE"
	maxSignature      = 4 << 10
)

type signatureBlob struct {
	Version       uint32
	PublicKey     []byte
	Namespace     string
	Reserved      string
	HashAlgorithm string
	Signature     []byte
}

// signed is what the key signs for a text.
func signed(text []byte) []byte {
	digest := sha512.Sum512(text)
	return append([]byte(signaturePreamble), ssh.Marshal(struct {
		Namespace, Reserved, HashAlgorithm string
		Digest                             []byte
	}{namespace, "", "sha512", digest[:]})...)
}

// sign is the content of index.json.sig.
func sign(text []byte, key ssh.Signer) ([]byte, error) {
	signature, err := key.Sign(rand.Reader, signed(text))
	if err != nil {
		return nil, fault.Newf(fault.Precondition, "check the key that signs", "the bundle cannot be signed: %w", err)
	}
	blob := append([]byte(signaturePreamble), ssh.Marshal(signatureBlob{
		Version: 1, PublicKey: key.PublicKey().Marshal(), Namespace: namespace,
		HashAlgorithm: "sha512", Signature: ssh.Marshal(signature),
	})...)
	return pem.EncodeToMemory(&pem.Block{Type: signatureBlock, Bytes: blob}), nil
}

// verifySignature returns who signed the text.
func verifySignature(text, signature []byte) (ssh.PublicKey, error) {
	block, _ := pem.Decode(signature)
	if block == nil || block.Type != signatureBlock || !bytes.Equal(pem.EncodeToMemory(block), signature) {
		return nil, corrupt("index.json.sig is no signature of ssh-keygen")
	}
	packed, found := bytes.CutPrefix(block.Bytes, []byte(signaturePreamble))
	var blob signatureBlob
	var made ssh.Signature
	if !found || ssh.Unmarshal(packed, &blob) != nil || ssh.Unmarshal(blob.Signature, &made) != nil || len(made.Rest) > 0 {
		return nil, corrupt("index.json.sig cannot be read")
	}
	key, err := ssh.ParsePublicKey(blob.PublicKey)
	if err != nil || key.Type() != ssh.KeyAlgoED25519 || blob.Version != 1 || blob.Namespace != namespace || blob.HashAlgorithm != "sha512" {
		return nil, corrupt("index.json.sig is not an ed25519 signature for %s", namespace)
	}
	if key.Verify(signed(text), &made) != nil {
		return nil, corrupt("the signature is not that of this bundle")
	}
	return key, nil
}
