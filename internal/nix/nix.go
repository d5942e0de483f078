// Package nix drives the nix command: what a flake evaluates to at any
// revision of a repository, which derivations its services are, and building
// them; and why not when it fails.
//
// Nix 2.8 and newer answer the same here; where the wording of their messages
// differs, the faults do not.
package nix

import (
	"context"
	"slices"
	"strings"
	"syscall"

	"homelab/internal/command"
	"homelab/internal/fault"
)

// InstallHint says how to get Nix.
const InstallHint = "install Nix 2.8 or newer (Debian: apt-get install nix-bin nix-setup-systemd; macOS and others: the installer at nixos.org/download)"

// Nix is the nix command with the settings of the user. The zero value has
// none but those of nix.conf.
type Nix struct {
	Options Options
}

// Version is the version of the nix command, such as 2.8.0.
func Version(ctx context.Context) (string, error) {
	result, err := command.Run(ctx, cmd("nix", "--version"))
	if err != nil {
		return "", err
	}
	words := strings.Fields(string(result.Stdout))
	if result.Exit != 0 || len(words) == 0 {
		return "", fault.Newf(fault.Precondition, InstallHint, "nix does not tell its version: %s", result.FirstLine())
	}
	// Variants put their own name and version before that of Nix.
	return words[len(words)-1], nil
}

// nix is a subcommand of nix, with the experimental features it needs: one that
// evaluates. While Nix computes it does not hear SIGTERM (2.8 at least), so it is
// killed when nobody waits for it any more. What it builds to go on evaluating,
// without a daemon and a sandbox, then loses its builder, not the programs that
// the builder runs.
func (n Nix) nix(args ...string) command.Cmd {
	c := cmd("nix", slices.Concat([]string{"--extra-experimental-features", "nix-command flakes"}, n.Options.args(), args)...)
	c.DieWithParent = syscall.SIGKILL
	return c
}

// nixStore is nix-store, whose operations are the same in all versions.
func (n Nix) nixStore(args ...string) command.Cmd {
	return cmd("nix-store", slices.Concat(n.Options.args(), args)...)
}

// cmd is a command of Nix. The environment of a git hook would point the git
// that Nix runs at another index or work tree; translated messages of git
// could not be told apart.
func cmd(name string, args ...string) command.Cmd {
	return command.Cmd{
		Name:    name,
		Args:    args,
		Env:     []string{"LANGUAGE=C"},
		Unset:   []string{"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX"},
		Install: InstallHint,
		// While it builds, Nix hears SIGTERM, and takes its builders with it, with
		// all that they run: killed, it would leave that behind.
		DieWithParent: syscall.SIGTERM,
	}
}
