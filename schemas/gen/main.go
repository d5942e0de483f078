// Gen writes the JSON Schemas of the registry and of every tool into a folder,
// from the Go types. It is the only user of the reflection library.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	folder := "schemas"
	if len(os.Args) > 1 {
		folder = os.Args[1]
	}
	if err := write(folder); err != nil {
		fmt.Fprintln(os.Stderr, "schemas/gen:", err)
		os.Exit(1)
	}
}

// write replaces what is in the folder, so that the schema of a tool that is
// gone goes too.
func write(folder string) error {
	generated, err := generate()
	if err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(folder, "tools")); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(folder, "tools"), 0o755); err != nil {
		return err
	}
	for name, data := range generated {
		if err := os.WriteFile(filepath.Join(folder, filepath.FromSlash(name)), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
