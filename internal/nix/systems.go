package nix

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"homelab/internal/command"
	"homelab/internal/fault"
)

// Systems are the systems that Nix can build for: on this machine, and on
// others.
type Systems struct {
	Native   string    // of this machine, such as x86_64-linux
	Extra    []string  // that this machine runs, too (extra-platforms); never nil
	Builders []Builder // other machines; never nil
}

// Builder is a machine that Nix may send builds to.
type Builder struct {
	URI     string   // such as ssh-ng://builder@linux-builder
	Systems []string // that it builds for
}

// Systems reads the configuration of Nix. It does not ask the builders.
func (n Nix) Systems(ctx context.Context) (Systems, error) {
	// Newer versions call it "config show", and know this name, too.
	result, err := command.Run(ctx, n.nix("show-config", "--json"))
	if err == nil && result.Exit != 0 {
		result, err = command.Run(ctx, n.nix("config", "show", "--json"))
	}
	if err != nil {
		return Systems{}, fmt.Errorf("nix show-config: %w", err)
	}
	var told config
	if err := json.Unmarshal(result.Stdout, &told); result.Exit != 0 || err != nil {
		return Systems{}, fault.Newf(fault.Precondition, InstallHint, "nix does not tell its configuration: %s", result.FirstLine())
	}
	s := Systems{Extra: []string{}}
	var builders string
	err = cmp.Or(
		readSetting(told, "system", &s.Native),
		readSetting(told, "extra-platforms", &s.Extra),
		readSetting(told, "builders", &builders),
	)
	if err != nil {
		return Systems{}, err
	}
	s.Builders = parseBuilders(builders, s.Native, 0)
	return s, nil
}

// config is what Nix tells of its settings, by name.
type config map[string]struct{ Value json.RawMessage }

// readSetting fails when the setting is not told, or has a value of another kind.
func readSetting[T any](told config, name string, into *T) error {
	if err := json.Unmarshal(told[name].Value, into); err != nil {
		return fmt.Errorf("the Nix setting %s: %w", name, err)
	}
	return nil
}

// maxFiles is how deep files of builders may name each other.
const maxFiles = 5

// parseBuilders reads the setting builders: machines between semicolons or on
// lines, or @FILE. Files that are not there hold none, as Nix has it.
func parseBuilders(text, native string, files int) []Builder {
	builders := []Builder{}
	for _, entry := range strings.FieldsFunc(text, func(r rune) bool { return r == ';' || r == '\n' }) {
		entry, _, _ = strings.Cut(entry, "#")
		words := strings.Fields(entry)
		if len(words) == 0 {
			continue
		}
		if file, ok := strings.CutPrefix(words[0], "@"); ok {
			if more, err := os.ReadFile(file); err == nil && files < maxFiles {
				builders = append(builders, parseBuilders(string(more), native, files+1)...)
			}
			continue
		}
		b := Builder{URI: words[0], Systems: []string{native}}
		if len(words) > 1 && words[1] != "-" {
			b.Systems = strings.Split(words[1], ",")
		}
		builders = append(builders, b)
	}
	return builders
}

// Builds says whether derivations of a system can be built: by this machine,
// or by another that is configured.
func (s Systems) Builds(system string) bool {
	return system == s.Native || slices.Contains(s.Extra, system) || len(s.builders(system)) > 0
}

// builders are the addresses of the machines for a system.
func (s Systems) builders(system string) []string {
	var uris []string
	for _, b := range s.Builders {
		if slices.Contains(b.Systems, system) {
			uris = append(uris, b.URI)
		}
	}
	return uris
}

// listBuilders names the first builders, and what they build.
func (s Systems) listBuilders() string {
	const most = 5
	var list []string
	for _, b := range s.Builders[:min(len(s.Builders), most)] {
		list = append(list, b.URI+" for "+strings.Join(b.Systems, ", "))
	}
	if more := len(s.Builders) - most; more > 0 {
		list = append(list, fmt.Sprintf("%d more", more))
	}
	return strings.Join(list, "; ")
}

// Advice is what to configure so that derivations of a system, or that need
// features of a machine, can be built from here.
func (s Systems) Advice(system string, features []string) string {
	return s.advice(runtime.GOOS, system, features)
}

func (s Systems) advice(goos, system string, features []string) string {
	remote := "name a machine that can in the setting builders of Nix, such as builders=ssh-ng://HOST " + system
	if len(s.Builders) > 0 {
		remote += " (there are " + s.listBuilders() + ")"
	}
	uris := s.builders(system)
	switch {
	case len(features) > 0 && (system == "" || s.Builds(system)):
		return "add " + strings.Join(features, " ") + " to system-features in nix.conf if this machine can, or name a machine that can in the setting builders"
	case len(uris) > 0:
		return "the machine for it did not take it: try `nix --extra-experimental-features nix-command store ping --store " + uris[0] + "`"
	case goos == "darwin" && strings.HasSuffix(system, "-linux"):
		return "run the Linux builder of nixpkgs (nix run nixpkgs#darwin.linux-builder, or nix.linux-builder.enable in nix-darwin), or " + remote
	case goos == "linux" && strings.HasSuffix(system, "-linux"):
		return remote + ", or let this one emulate it: binfmt_misc with QEMU (Debian: qemu-user-static; NixOS: boot.binfmt.emulatedSystems), and extra-platforms = " + system + " in nix.conf"
	}
	return remote
}
