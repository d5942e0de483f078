package main

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReport(t *testing.T) {
	rows := map[string]struct {
		source        string // of package p
		err           error
		sum           string
		said, notSaid []string
	}{
		"passes": {
			source: `func TestA(t *testing.T) { t.Log("quiet"); t.Run("sub", func(t *testing.T) {}) }`,
			sum:    "2 passed, 0 failed, 0 skipped", said: []string{"ok  \tm/p"}, notSaid: []string{"quiet"},
		},
		"fails": {
			source: `func TestA(t *testing.T) { t.Log("loud"); t.Fail() }; func TestB(t *testing.T) { t.Log("quiet") }`,
			err:    errFailed, sum: "1 passed, 1 failed, 0 skipped",
			said: []string{"loud", "--- FAIL: TestA", "FAIL\tm/p", "\n  m/p TestA\n"}, notSaid: []string{"quiet"},
		},
		"skips": {
			source: `func TestA(t *testing.T) {}; func TestB(t *testing.T) { t.Skip("no docker") }`,
			err:    errSkipped, sum: "1 passed, 0 failed, 1 skipped", said: []string{"no docker", "\n  m/p TestB (skipped)\n"},
		},
		"panics": {
			source: `func TestA(t *testing.T) { panic("oh") }`,
			err:    errFailed, sum: "0 passed, 1 failed, 0 skipped", said: []string{"panic: oh", "FAIL\tm/p"},
		},
		"exits": {
			source: `func TestA(t *testing.T) { os.Exit(3) }`,
			err:    errFailed, sum: "0 passed, 1 failed, 0 skipped", said: []string{"FAIL\tm/p", "\n  m/p TestA\n"},
		},
		"does not compile": {
			source: `func TestA(t *testing.T) { undefined() }`,
			err:    errFailed, sum: "0 passed, 1 failed, 0 skipped", said: []string{"undefined: undefined", "[build failed]", "\n  m/p\n"},
		},
		"is empty": {
			err: errNone, sum: "0 passed, 0 failed, 0 skipped",
		},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			require.NoError(t, os.Mkdir("p", 0o755))
			require.NoError(t, os.WriteFile("go.mod", []byte("module m\ngo 1.26.0\n"), 0o644))
			source := "package p\nimport (\"os\"; \"testing\")\nvar _, _ = os.Exit, testing.Short\n" + row.source
			require.NoError(t, os.WriteFile("p/p_test.go", []byte(source), 0o644))

			var out strings.Builder
			assert.Equal(t, row.err, run(&out, []string{"./..."}))
			assert.Contains(t, out.String(), "\n"+row.sum+"\n")
			for _, said := range row.said {
				assert.Contains(t, out.String(), said)
			}
			for _, notSaid := range row.notSaid {
				assert.NotContains(t, out.String(), notSaid)
			}
		})
	}
}

func TestNothingToTestIsAnError(t *testing.T) {
	t.Chdir(t.TempDir())
	assert.Error(t, run(new(strings.Builder), []string{"./..."}), "there is no module")
}
