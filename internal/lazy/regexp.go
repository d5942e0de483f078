// Package lazy puts off work that most runs of the program do not need.
package lazy

import (
	"regexp"
	"sync"
)

// Regexp compiles a pattern when it is first used: a dozen compiled at the start
// of the program cost each run half a millisecond. It panics then, as
// [regexp.MustCompile] does.
func Regexp(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}
