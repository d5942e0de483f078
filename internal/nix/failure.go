package nix

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"homelab/internal/fault"
)

// FailureKind says why a build failed, and which fields of a [Failure] are set.
type FailureKind string

const (
	BuilderFailed     FailureKind = "builderFailed"     // Exit or Signal, or neither: it made no output
	PlatformMismatch  FailureKind = "platformMismatch"  // System or Features are needed, Machine is here
	HashMismatch      FailureKind = "hashMismatch"      // Specified, Got
	NoSpace           FailureKind = "noSpace"           // a disk is full
	DaemonUnreachable FailureKind = "daemonUnreachable" // the Nix daemon does not answer
	StoreRefused      FailureKind = "storeRefused"      // the store cannot be written: permission, read-only
	BuilderTimedOut   FailureKind = "timedOut"          // Nix's own timeout or max-silent-time
	DrvMissing        FailureKind = "drvMissing"        // it, or a source of it, was collected as garbage
	FetchFailed       FailureKind = "fetchFailed"       // a cache broke off
	BuildCanceled     FailureKind = "canceled"          // by the context, or by somebody else
	OtherFailure      FailureKind = "other"
)

// Failure is why a derivation could not be realised. It is the cause of the
// fault in [Realised]: errors.As finds it.
type Failure struct {
	Kind      FailureKind
	Drv       string   // that failed: the one asked for, or one it needs; empty when none did
	Exit      int      // status of the builder; 0 when it did not exit by itself
	Signal    int      // that ended the builder; 0 when none
	Tail      []string // the last lines that Drv's builder printed: at most 25, each at most 500 bytes; never nil
	System    string   // that Drv needs, such as aarch64-linux; empty when unknown
	Features  []string // of a machine that Drv needs, such as kvm; never nil
	Machine   string   // the system of this machine; empty when unknown
	Specified string   // hash that Drv promises, as Nix writes it: sha256-…
	Got       string   // hash of what it made
	Refused   []string // by other machines: the address of each, and why
	Message   string   // what Nix says, one line

	own bool // about what was asked for, or something that it needs
}

func (f *Failure) Error() string { return f.Message }

// failureIn is the failure of a build that an error tells; nil when it tells none.
func failureIn(err error) *Failure {
	var f *Failure
	if !errors.As(err, &f) {
		return nil
	}
	return f
}

// fault says it to the user who asked for a derivation.
func (f *Failure) fault(asked string, advice func(system string) string) *fault.Error {
	e := &fault.Error{Op: realiseOp, Code: fault.BuildFailed, Message: f.Message, Err: f}
	who := "the builder of " + ShortName(asked)
	if f.Drv != "" && f.Drv != asked {
		who = fmt.Sprintf("%s needs %s, and its builder", ShortName(asked), ShortName(f.Drv))
	}
	logHint := "its last lines say why; all of them: nix-store --read-log " + f.Drv
	if len(f.Tail) == 0 {
		logHint = "it printed nothing: see what it runs with nix show-derivation " + f.Drv
	}
	switch f.Kind {
	case BuilderFailed:
		e.Message, e.Hint = who+" "+f.end(), logHint
	case PlatformMismatch:
		e.Code = fault.Precondition
		e.Message, e.Hint = f.platform(asked), advice(f.System)
	case HashMismatch:
		e.Hint = "if the new content is what you want, write its hash into the Nix file"
		if f.Got != "" {
			e.Message = fmt.Sprintf("%s promised %s and made %s", ShortName(f.Drv), f.Specified, f.Got)
			e.Hint = fmt.Sprintf("if the new content is what you want, write %s in place of the old hash", f.Got)
		}
	case NoSpace:
		e.Code, e.Hint = fault.Precondition, spaceHint+"; the store and the folder of builds need it"
		if f.Drv != "" {
			e.Message = who + " " + f.end() + ": the disk is full"
		}
	case DaemonUnreachable:
		e.Code, e.Hint = fault.Precondition, daemonHint
	case StoreRefused:
		e.Code, e.Hint = fault.Precondition, storeHint
	case DrvMissing:
		e.Code, e.Hint = fault.Precondition, "evaluate it again: garbage collection took it, or a source of it, since"
	case BuilderTimedOut:
		e.Code, e.Hint = fault.Timeout, "see whether it hangs (nix-store --read-log "+f.Drv+"), or raise the settings timeout and max-silent-time of Nix"
		e.Message = who + " " + f.Message[max(strings.Index(f.Message, "timed out"), 0):]
	case FetchFailed:
		e.Hint = "try again, check the caches in the setting substituters, or build it here: fallback=true"
	case BuildCanceled:
		e.Code, e.Hint = fault.Canceled, "start it again: what is built stays built"
	default:
		e.Hint = "more: nix-store --realise " + asked
	}
	return e
}

// end says how the builder ended.
func (f *Failure) end() string {
	switch {
	case f.Signal != 0:
		return fmt.Sprintf("was ended by signal %d", f.Signal)
	case f.Exit != 0:
		return fmt.Sprintf("failed with exit status %d", f.Exit)
	}
	_, how, _ := strings.Cut(f.Message, "' failed ")
	return "failed " + how
}

// platform says what is needed and what is here.
func (f *Failure) platform(asked string) string {
	needs := "a machine of system " + f.System
	if len(f.Features) > 0 {
		needs = strings.TrimSpace(f.System+" machine") + " with " + strings.Join(f.Features, ", ")
		needs = "a " + needs
	}
	message := fmt.Sprintf("%s needs %s to build", ShortName(f.Drv), needs)
	if f.Drv != asked {
		message += " (for " + ShortName(asked) + ")"
	}
	if f.Machine != "" && f.Machine != f.System {
		message += ", and this is " + f.Machine
	}
	if len(f.Refused) > 0 {
		message += "; not taken by " + strings.Join(f.Refused, ", nor by ")
	}
	return message
}

// ShortName is the name in a store path, without folder, hash and .drv.
func ShortName(storePath string) string {
	name := strings.TrimSuffix(path.Base(storePath), ".drv")
	if hash, rest, ok := strings.Cut(name, "-"); ok && len(hash) == 32 {
		return rest
	}
	return name
}
