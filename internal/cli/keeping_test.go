package cli_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"homelab/tools/toolstest"
)

// Where nobody can be asked a preview ends with how to go on.
func TestPreviewsAsk(t *testing.T) {
	for name, line := range map[string]string{
		"rollback_preview": "homelab rollback grafana",
	} {
		got := typed(t, line)
		assert.Zero(t, got.status, name)
		assert.Equal(t, "\nNothing was done. To do it: --confirm 36fbb166cfe5, or --yes\n", got.err, name)
		toolstest.Golden(t, name+".txt", got.out)
	}
}
