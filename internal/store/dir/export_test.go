package dir

import (
	"os"
	"testing"
	"time"
)

// RenameWith has the file system refuse to rename.
func RenameWith(t *testing.T, err error) {
	before := renameNew
	renameNew = func(*os.File, string, string) error { return err }
	t.Cleanup(func() { renameNew = before })
}

// Hang has the file system not answer from the nth call on, until answer is called,
// and nobody wait for longer than a moment.
func Hang(t *testing.T, nth int) (answer func()) {
	before, short, long := begins, patience, dataPatience
	patience, dataPatience = 50*time.Millisecond, 50*time.Millisecond
	calls, answers := make(chan struct{}, 1000), make(chan struct{})
	begins = func() {
		calls <- struct{}{}
		if len(calls) >= nth {
			<-answers
		}
	}
	over := false
	answer = func() {
		if !over {
			over = true
			close(answers)
		}
	}
	t.Cleanup(func() {
		answer()
		begins, patience, dataPatience = before, short, long
	})
	return answer
}
