package harness

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"homelab/internal/command"
	"homelab/internal/doctor"
	"homelab/internal/fault"
	"homelab/internal/gitrepo"
	"homelab/internal/nix"
	"homelab/registry"
)

func probeGit(ctx context.Context) doctor.Check {
	version, err := gitrepo.Version(ctx)
	if err != nil {
		return failed(err)
	}
	return atLeast(version, 2, 25, gitrepo.InstallHint)
}

func probeNix(ctx context.Context) doctor.Check {
	if command.Look("nix") == "" {
		return doctor.Check{Status: doctor.Absent, Detail: "nix is not installed", Fix: nix.InstallHint + "; without it only a registry in JSON can be read"}
	}
	version, err := nix.Version(ctx)
	if err != nil {
		return failed(err)
	}
	return atLeast(version, 2, 8, nix.InstallHint)
}

func probeSSH(ctx context.Context) doctor.Check {
	result, err := command.Run(ctx, command.Cmd{Name: "ssh", Args: []string{"-V"}, Install: "install the OpenSSH client (Debian: apt-get install openssh-client)"})
	if err != nil {
		return failed(err)
	}
	version, _, _ := strings.Cut(result.FirstLine(), ",")
	return doctor.Check{Status: doctor.OK, Version: version}
}

func (h *Harness) probeRepository(ctx context.Context) doctor.Check {
	repo, err := gitrepo.Open(ctx, h.cfg.Repo)
	if err != nil {
		return failed(err)
	}
	if repo.Shallow() {
		return doctor.Check{
			Status: doctor.Warn, Detail: repo.Root() + ": the history is cut, so a base may be missing",
			Fix: "git fetch --unshallow",
		}
	}
	return doctor.Check{Status: doctor.OK, Detail: repo.Root()}
}

// probeRegistry also returns what it read, which names the hosts.
func (h *Harness) probeRegistry(ctx context.Context) (doctor.Check, *registry.Registry) {
	planner, err := h.planner(ctx)
	if err != nil {
		return doctor.Check{Status: doctor.Absent, Detail: "there is no repository to read it from"}, nil
	}
	loaded, err := planner.Load(ctx)
	if err != nil {
		check := failed(err)
		if fault.CodeOf(err) == fault.InvalidArgument {
			check.Fix = "homelab registry check lists every problem"
		}
		return check, nil
	}
	services := "1 service"
	if n := len(loaded.Registry.Services); n != 1 {
		services = fmt.Sprintf("%d services", n)
	}
	return doctor.Check{Status: doctor.OK, Detail: services + " in " + loaded.Where}, loaded.Registry
}

func probeCache(context.Context) doctor.Check {
	folder, err := cacheDir()
	if err != nil {
		return doctor.Check{Status: doctor.Warn, Detail: err.Error(), Fix: "set XDG_CACHE_HOME or HOME"}
	}
	if there, ok := writable(folder); !ok {
		return doctor.Check{
			Status: doctor.Warn, Detail: there + " cannot be written: nothing is kept between calls",
			Fix: "make it writable, or set XDG_CACHE_HOME",
		}
	}
	return doctor.Check{Status: doctor.OK, Detail: folder}
}

func (h *Harness) probeState(ctx context.Context) doctor.Check {
	root := ""
	if repo, err := gitrepo.Open(ctx, h.cfg.Repo); err == nil {
		root = repo.Root()
	}
	folder, err := stateDir(root)
	if err != nil {
		return failed(err)
	}
	if there, ok := writable(folder); !ok {
		return doctor.Check{
			Status: doctor.Fail, Detail: there + " cannot be written: there is no place for jobs, and nothing can be built",
			Fix: "make it writable, or set HOMELAB_STATE",
		}
	}
	return doctor.Check{Status: doctor.OK, Detail: folder}
}

// writable only looks: the nearest folder that is there must take new ones.
func writable(folder string) (there string, ok bool) {
	there = folder
	info, err := os.Stat(there)
	for errors.Is(err, fs.ErrNotExist) && there != filepath.Dir(there) {
		there = filepath.Dir(there)
		info, err = os.Stat(there)
	}
	return there, err == nil && info.IsDir() && unix.Access(there, unix.W_OK) == nil
}

// probeBuilders looks for a builder of every system that a service's host runs.
func (h *Harness) probeBuilders(reg *registry.Registry) func(context.Context) doctor.Check {
	return func(ctx context.Context) doctor.Check {
		if command.Look("nix") == "" {
			return doctor.Check{Status: doctor.Absent, Detail: "without Nix nothing can be built", Fix: nix.InstallHint}
		}
		systems, err := h.nix.Systems(ctx)
		if err != nil {
			return failed(err)
		}
		needed := map[string]string{} // system: a host that runs it
		for name := range reg.UsedHosts() {
			host := reg.AllHosts()[name]
			system := host.System
			if system == "" {
				// A host that does not answer has a check of its own.
				system, _ = h.systems.of(ctx, name, host)
			}
			if system != "" && (needed[system] == "" || name < needed[system]) {
				needed[system] = name
			}
		}
		for _, system := range slices.Sorted(maps.Keys(needed)) {
			if !systems.Builds(system) {
				return doctor.Check{
					Status: doctor.Warn, Fix: systems.Advice(system, nil),
					Detail: fmt.Sprintf("nothing builds %s, which host %s runs", system, needed[system]),
				}
			}
		}
		here := slices.DeleteFunc(slices.Clone(systems.Extra), func(system string) bool { return !registry.KnownSystem(system) })
		return doctor.Check{Status: doctor.OK, Detail: strings.Join(slices.Concat([]string{systems.Native}, here, addresses(systems.Builders)), ", ")}
	}
}

func addresses(builders []nix.Builder) []string {
	found := []string{}
	for _, b := range builders {
		found = append(found, b.URI)
	}
	return found
}

// cacheDir is where what can be computed again is kept.
func cacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(base, "homelab"), nil
}

// atLeast grades a version such as 2.39.5 or 2.39.5.windows.1; one that cannot
// be read is taken as it is.
func atLeast(version string, major, minor int, fix string) doctor.Check {
	check := doctor.Check{Status: doctor.OK, Version: version}
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return check
	}
	gotMajor, err := strconv.Atoi(parts[0])
	if err != nil {
		return check
	}
	digits := strings.TrimRightFunc(parts[1], func(r rune) bool { return r < '0' || r > '9' })
	gotMinor, err := strconv.Atoi(digits)
	if err != nil {
		return check
	}
	if gotMajor < major || gotMajor == major && gotMinor < minor {
		check.Status = doctor.Fail
		check.Detail = fmt.Sprintf("older than %d.%d", major, minor)
		check.Fix = fix
	}
	return check
}
