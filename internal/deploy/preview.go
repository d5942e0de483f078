package deploy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"homelab/internal/fault"
)

// PreviewID is the id of a preview that depends on a value, and on nothing else.
func PreviewID(of any) (string, error) {
	encoded, err := json.Marshal(of)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:]), nil
}

// shownDigits are enough of an id to tell previews apart.
const shownDigits = 12

// Confirms says whether an id that was given is that of a preview, or the beginning
// of it: nil, or else why not.
func Confirms(given, previewID string) error {
	switch {
	case !strings.HasPrefix(previewID, given):
		return fault.Newf(fault.Conflict, "look at a new preview, with the same arguments, and confirm that one", "preview %.12s… is not what would happen any more", given)
	case len(given) < shownDigits:
		return fault.New(fault.InvalidArgument, "confirm is too short", "pass the first 12 digits of the previewId, or all")
	}
	return nil
}
