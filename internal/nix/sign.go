package nix

import (
	"fmt"
	"regexp"
	"slices"
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
	{BuilderTimedOut, timedOut},
	{BuilderFailed, builderFailed},
	{FetchFailed, lazy.Regexp(`^some substitutes for`)},
	{DrvMissing, lazy.Regexp(`cannot build missing derivation|failed to obtain derivation of|is required, but there is no substituter|does not exist and cannot be created|\.drv' is not valid`)},
	{StoreRefused, storeDenied},
	{StoreRefused, lazy.Regexp(`(?:store|profiles|gcroots|opening lock file|creating directory|creating symlink) ?.*(?:Permission denied|Operation not permitted|Read-only file system)`)},
	{BuildCanceled, lazy.Regexp(`interrupted by the user`)},
}

var (
	builderFailed = lazy.Regexp(`builder for '[^']+' failed|Reason: builder failed`)
	timedOut      = lazy.Regexp(`timed out after \d+ seconds`)
	summary       = lazy.Regexp(`^\d+ dependenc(?:y|ies) of derivation '[^']+' failed|Reason: \d+ dependenc(?:y|ies) failed|^build of .* failed$`)
	refusal       = lazy.Regexp(`^cannot build on '([^']*)': (?:error: )?(.*)`)
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

// failureOf says why one that was asked for is not there, from all that Nix said:
// what is about it or about something that it needs, else what is about no
// derivation at all.
func (o *observer) failureOf(i, exit int) *Failure {
	if len(o.open) == 1 {
		f := o.classify(o.errors)
		switch {
		case exit == exitTimedOut:
			f.Kind = BuilderTimedOut
		case exit == exitHashMismatch:
			f.Kind = HashMismatch
		case f.Message == "":
			f.Message = fmt.Sprintf("nix-store ended with exit status %d and no message", exit)
		}
		return o.complete(f)
	}
	var own, common []told
	for _, e := range o.errors {
		if isSummary(e.text) {
			continue
		}
		switch drv := e.drv(); {
		case drv == "":
			common = append(common, e)
		case drv == o.asked[i].Drv || slices.Contains(o.needs()[drv], i):
			own = append(own, e)
		}
	}
	if len(own) > 0 {
		f := o.complete(o.classify(own))
		f.own = true
		return f
	}
	f := o.classify(common)
	if f.Message == "" {
		f.Message = fmt.Sprintf("nix-store ended with exit status %d before it was built", exit)
	}
	return o.complete(f)
}

// drv is the derivation that an error is about; empty: about none, or about all.
func (e told) drv() string {
	if drv := first(drvPath(), e.text); drv != "" {
		return drv
	}
	if timedOut().MatchString(e.text) || builderFailed().MatchString(e.text) {
		return e.after // some versions do not name it
	}
	return ""
}

// isSummary says whether an error only tells that there were others.
func isSummary(text string) bool { return summary().MatchString(text) }

// classify finds the kind of a failure. The most telling error counts: what is
// told first need not be the cause.
func (o *observer) classify(errors []told) *Failure {
	f := &Failure{Kind: OtherFailure, Tail: []string{}, Features: []string{}}
	for _, sign := range signs {
		for _, e := range errors {
			if sign.in().MatchString(e.text) {
				f.Kind = sign.kind
				f.read(e)
				return f
			}
		}
	}
	if len(errors) > 0 {
		f.read(errors[0])
	}
	return f
}

// complete adds what the builder printed.
func (o *observer) complete(f *Failure) *Failure {
	if tail := o.tails[f.Drv]; tail != nil {
		f.Tail = tail.lines
	}
	if f.Kind == BuilderFailed && diskFull().MatchString(strings.Join(f.Tail, "\n")) {
		f.Kind = NoSpace
	}
	if f.Kind == PlatformMismatch {
		f.Refused = o.refused
	}
	return f
}

// read takes the fields from a message of Nix.
func (f *Failure) read(e told) {
	message := e.text
	f.Message = cut(strings.Join(strings.Fields(message), " "), maxMessage)
	f.Drv = e.drv()
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
