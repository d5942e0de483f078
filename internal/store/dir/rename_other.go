//go:build !linux

package dir

import (
	"errors"
	"os"
)

var renameNew = func(*os.File, string, string) error { return errors.ErrUnsupported }
