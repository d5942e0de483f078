package nix

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
)

// evaluations has room for as many evaluations as may run at once in all of
// this process, whatever asks for them.
var evaluations = sync.OnceValue(func() chan struct{} {
	return make(chan struct{}, maxEvaluations(runtime.GOMAXPROCS(0), "/proc/meminfo"))
})

// maxEvaluations bounds the evaluations by processors and by the memory that a
// file like /proc/meminfo says is available: each may need a gigabyte. It is at
// least 1, and two where that cannot be read.
func maxEvaluations(processors int, meminfo string) int {
	const most, each, unknown = 4, 1 << 30, 2
	byMemory := unknown
	if available, ok := memAvailable(meminfo); ok {
		byMemory = int(available / each)
	}
	return max(1, min(processors, most, byMemory))
}

// memAvailable is how many bytes programs may still take without swapping.
func memAvailable(meminfo string) (bytes int64, ok bool) {
	raw, err := os.ReadFile(meminfo)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(raw)) {
		words := strings.Fields(line)
		if len(words) == 3 && words[0] == "MemAvailable:" && words[2] == "kB" {
			kib, err := strconv.ParseInt(words[1], 10, 64)
			return kib << 10, err == nil
		}
	}
	return 0, false
}

// evaluating waits until one more evaluation may run. The function it returns
// says that it is done.
func evaluating(ctx context.Context) (done func(), err error) {
	room := evaluations()
	select {
	case room <- struct{}{}:
		return func() { <-room }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: %w", evalOp, ctx.Err())
	}
}
