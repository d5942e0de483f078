package deploy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
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
// of it.
func Confirms(given, previewID string) bool {
	return len(given) >= shownDigits && strings.HasPrefix(previewID, given)
}
