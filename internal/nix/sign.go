package nix

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"homelab/internal/lazy"
)

// sign is how a kind of failure is recognised by a message, in any version.
type sign struct {
	kind FailureKind
	in   func() *regexp.Regexp
}

// signs are tried in order, each on all messages: what is told first need not
// be the cause.
var signs = []sign{
	{NoSpace, diskFull},
	{DaemonUnreachable, daemonDown},
	{HashMismatch, lazy.Regexp(`hash mismatch in fixed-output derivation`)},
	{PlatformMismatch, lazy.Regexp(`is required to build '[^']+', but I am a|Reason: (?:platform mismatch|missing system features|required system or feature)`)},
	{BuilderTimedOut, lazy.Regexp(`timed out after \d+ seconds`)},
	{BuilderFailed, builderFailed},
	{FetchFailed, lazy.Regexp(`^some substitutes for`)},
	{DrvMissing, lazy.Regexp(`cannot build missing derivation|failed to obtain derivation of|is required, but there is no substituter|does not exist and cannot be created|\.drv' is not valid`)},
	{StoreRefused, storeDenied},
	{StoreRefused, lazy.Regexp(`(?:store|profiles|gcroots|opening lock file|creating directory|creating symlink) ?.*(?:Permission denied|Operation not permitted|Read-only file system)`)},
	{BuildCanceled, lazy.Regexp(`interrupted by the user`)},
}

var (
	builderFailed = lazy.Regexp(`builder for '[^']+' failed|Reason: builder failed`)
	exitCode      = lazy.Regexp(`failed with exit code (\d+)`)
	endSignal     = lazy.Regexp(`failed due to signal (\d+)`)
	drvPath       = lazy.Regexp(`'(/[^'!^]+\.drv)`)
	hashes        = lazy.Regexp(`specified:\s*(\S+)\s+got:\s*(\S+)`)
	oldPlatform   = lazy.Regexp(`a '([^']*)' with features \{([^}]*)\} is required to build .* but I am a '([^']*)'(?: with features \{([^}]*)\})?`)
	newSystem     = lazy.Regexp(`Required system: '([^']*)'`)
	newMachine    = lazy.Regexp(`Current system: '([^']*)'`)
	newFeatures   = lazy.Regexp(`Required features: \{([^}]*)\}`)
)

// Exit statuses of nix-store --realise: 100, and a bit for each of these.
const (
	exitTimedOut     = 0b1100101
	exitHashMismatch = 0b1100110
)

// failureOf says why nix-store ended with an exit status.
func (o *observer) failureOf(exit int) *Failure {
	f := &Failure{Kind: OtherFailure, Tail: []string{}, Features: []string{}}
	var message string
	for _, sign := range signs {
		if message = o.firstError(sign.in()); message != "" {
			f.Kind = sign.kind
			break
		}
	}
	switch {
	case exit == exitTimedOut:
		f.Kind = BuilderTimedOut
	case exit == exitHashMismatch:
		f.Kind = HashMismatch
	case message == "" && len(o.errors) > 0:
		message = o.errors[0]
	case message == "":
		message = fmt.Sprintf("nix-store ended with exit status %d and no message", exit)
	}
	f.read(message)
	if f.Drv == "" && (f.Kind == BuilderTimedOut || f.Kind == BuilderFailed) {
		f.Drv = o.lastBuild // some versions do not name it
	}
	if tail := o.tails[f.Drv]; tail != nil {
		f.Tail = tail.lines
	}
	if f.Kind == BuilderFailed && diskFull().MatchString(strings.Join(f.Tail, "\n")) {
		f.Kind = NoSpace
	}
	return f
}

// read takes the fields from a message of Nix.
func (f *Failure) read(message string) {
	f.Message = cut(strings.Join(strings.Fields(message), " "), maxMessage)
	f.Drv = first(drvPath(), message)
	switch f.Kind {
	case BuilderFailed, NoSpace:
		f.Exit, _ = strconv.Atoi(first(exitCode(), message))
		f.Signal, _ = strconv.Atoi(first(endSignal(), message))
	case HashMismatch:
		if found := hashes().FindStringSubmatch(message); found != nil {
			f.Specified, f.Got = found[1], found[2]
		}
	case PlatformMismatch:
		f.readPlatform(message)
	}
}

func (f *Failure) readPlatform(message string) {
	features := first(newFeatures(), message)
	if found := oldPlatform().FindStringSubmatch(message); found != nil {
		f.System, features, f.Machine = found[1], found[2], found[3]
	} else {
		f.System, f.Machine = first(newSystem(), message), first(newMachine(), message)
	}
	f.Features = append(f.Features, strings.FieldsFunc(features, func(r rune) bool { return r == ',' || r == ' ' })...)
}

func first(pattern *regexp.Regexp, in string) string {
	if found := pattern.FindStringSubmatch(in); found != nil {
		return found[1]
	}
	return ""
}
