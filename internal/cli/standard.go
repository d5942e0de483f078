package cli

import (
	"os"
	"runtime/debug"
)

// Standard are the streams of this process.
func Standard() Streams { return Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr} }

// ThisVersion is what the linker set, else what the go command recorded.
func ThisVersion(number string) Version {
	v := Version{Number: number}
	info, ok := debug.ReadBuildInfo()
	if ok && v.Number == "" {
		v.Number = info.Main.Version
	}
	if v.Number == "" {
		v.Number = "(devel)"
	}
	if ok {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				v.Commit = setting.Value
			}
		}
	}
	return v
}
