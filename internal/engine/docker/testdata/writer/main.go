// Writer is a service that writes records into the folder that it is told, for ever.
package main

import (
	"os"
	"time"

	"homelab/internal/tree/treetest"
)

func main() {
	panic(treetest.Write(os.Args[1], func(uint64) error {
		time.Sleep(10 * time.Millisecond) // else the log grows by tens of megabytes a second
		return nil
	}))
}
