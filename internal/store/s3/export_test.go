package s3

import (
	"testing"
	"time"
)

// Hurry has uploads taken for dead after less time.
func Hurry(t *testing.T, forOne, forOthers time.Duration) {
	q, a := quiet, abandoned
	quiet, abandoned = forOne, forOthers
	t.Cleanup(func() { quiet, abandoned = q, a })
}
