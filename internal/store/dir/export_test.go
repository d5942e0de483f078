package dir

import (
	"os"
	"testing"
)

// RenameWith has the file system refuse to rename.
func RenameWith(t *testing.T, err error) {
	before := renameNew
	renameNew = func(*os.File, string, string) error { return err }
	t.Cleanup(func() { renameNew = before })
}
