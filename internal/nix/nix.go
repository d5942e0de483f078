// Package nix drives the nix command: what a flake evaluates to at any
// revision of a repository, and why not when it does not evaluate.
//
// Nix 2.8 and newer answer the same here; where the wording of their messages
// differs, the faults do not.
package nix

import (
	"context"
	"strings"

	"homelab/internal/command"
	"homelab/internal/fault"
)

// InstallHint says how to get Nix.
const InstallHint = "install Nix 2.8 or newer (Debian: apt-get install nix-bin nix-setup-systemd; macOS and others: the installer at nixos.org/download)"

// Version is the version of the nix command, such as 2.8.0.
func Version(ctx context.Context) (string, error) {
	result, err := run(ctx, 0, "--version")
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

// run runs nix with at most most bytes of output. The environment of a git
// hook would point the git that Nix runs at another index or work tree;
// translated messages of git could not be told apart.
func run(ctx context.Context, most int, args ...string) (command.Result, error) {
	return command.Run(ctx, command.Cmd{
		Name:      "nix",
		Args:      append([]string{"--extra-experimental-features", "nix-command flakes"}, args...),
		Env:       []string{"LANGUAGE=C"},
		Unset:     []string{"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX"},
		MaxOutput: most,
		Install:   InstallHint,
	})
}
