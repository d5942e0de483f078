package gitrepo_test

import (
	"os"
	"testing"

	"homelab/internal/gitrepo/gittest"
)

func TestMain(m *testing.M) {
	gittest.Hermetic()
	os.Exit(m.Run())
}
