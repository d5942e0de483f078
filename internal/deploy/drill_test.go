package deploy_test

import (
	"testing"

	"homelab/internal/deploy/deploytest"
)

func TestDrillsInMemory(t *testing.T) {
	t.Parallel()
	m := &deploytest.Memory{}
	deploytest.RunDrills(t, m, func(do func()) { do() }, func(*testing.T) []string { return m.Drilled() })
}
