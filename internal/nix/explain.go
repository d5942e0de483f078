package nix

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"homelab/internal/command"
	"homelab/internal/fault"
	"homelab/internal/lazy"
)

// rule recognises a failure by its message in any version of Nix.
type rule struct {
	match func() *regexp.Regexp
	code  fault.Code
	hint  string
}

// These may happen whatever Nix does.
var (
	daemonDown  = lazy.Regexp(`cannot connect to (?:socket|daemon)|Nix daemon disconnected|daemon-socket/socket['"]?: Permission denied`)
	storeDenied = lazy.Regexp(`/nix\b.*(?:Permission denied|Operation not permitted|Read-only file system)`)
	diskFull    = lazy.Regexp(`No space left on device|lack of free disk space`)
)

const (
	daemonHint = "start the Nix daemon (systemctl start nix-daemon) and be in its group (Debian: nix-users)"
	storeHint  = "this user cannot write the Nix store: start the Nix daemon, or run as the user who owns the store"
	spaceHint  = "make room, for example with nix-collect-garbage"

	lockHint = "run `nix flake lock` and commit flake.lock"
	pureHint = "a flake sees only its own tree and its inputs: name files relative to it, and systems in full, such as x86_64-linux"
)

// rules are tried in order.
var rules = []rule{
	{lazy.Regexp(`requires lock file changes|cannot write modified lock file|cannot find flake .* in the flake registries`),
		fault.EvalFailed, lockHint},
	{lazy.Regexp(`json\.exception\.parse_error`),
		fault.EvalFailed, "look for an unresolved merge in flake.lock, or in a file given to builtins.fromJSON"},
	{lazy.Regexp(`cannot convert a function to JSON`),
		fault.EvalFailed, "make it plain data: call the function in flake.nix"},
	{lazy.Regexp(`pure eval(?:uation)? mode|attribute 'current(?:System|Time)' missing`),
		fault.EvalFailed, pureHint},
	{lazy.Regexp(`has an unfree license|is marked as (?:broken|insecure)`),
		fault.EvalFailed, "name packages by their attribute, as a string; to evaluate this one, allow it in the config of nixpkgs"},
	{lazy.Regexp(`unable to download|[Cc]ould(?: not|n't) resolve host|[Cc]onnection (?:refused|timed out)|Failed to open archive`),
		fault.EvalFailed, "an input of the flake is not here yet: run `nix flake archive` once with a network, after `nix flake lock` if flake.lock does not have it"},
	{lazy.Regexp(`does not appear to be a git repository|Git repository .* does not exist`),
		fault.EvalFailed, "check the folder of the flake, and those of its inputs"},
	{lazy.Regexp(`Cannot find Git revision|object not found - no match|bad object|not our ref`),
		fault.Precondition, "the revision is not in this clone: run `git fetch --unshallow`, or fetch the branch that has it"},
	{lazy.Regexp(`unknown object format 'sha256'|hash '[0-9a-f]{64}' has wrong length`),
		fault.Precondition, "Nix reads only repositories with sha1 object names: keep the registry of this one in homelab.json"},
	{lazy.Regexp(`shallow (?:Git )?repositor(?:y|ies)|getting parent of Git commit .* object not found`),
		fault.Precondition, "run `git fetch --unshallow`, or add shallow=1 to the flake reference"},
	{lazy.Regexp(`dubious ownership|is not owned by current user|Not a git repository`),
		fault.Precondition, "if the repository belongs to another user, tell git that you trust it: git config --global --add safe.directory FOLDER"},
	{lazy.Regexp(`executing 'git'`),
		fault.Precondition, "install git: Nix needs it to read a repository"},
	{daemonDown, fault.Precondition, daemonHint},
	{storeDenied, fault.Precondition, storeHint},
	{diskFull, fault.Precondition, spaceHint},
	{lazy.Regexp(`unrecognised flag|is not a recognised command`),
		fault.Precondition, InstallHint},
}

var (
	noAttribute = lazy.Regexp(`does not provide attribute`)
	noFile      = lazy.Regexp(`(?i)(?:getting status of|path) ['"]([^'"/][^'"]*)['"].*(?:No such file or directory|does not exist|is not tracked by Git)`)
	gitFailed   = lazy.Regexp(`program 'git' failed|resolving Git reference|Failed to fetch git repository`)
	oddPath     = lazy.Regexp(`couldn't find remote ref|does not appear to be a git repository`)
)

// explain turns a failed evaluation into a fault.
func explain(at Installable, result command.Result) *fault.Error {
	from := placeOf(at.Flake)
	c := read(string(result.Stderr), from.root)
	if c.message == "" {
		c.message = result.FirstLine()
	}
	if c.refusal != "" && gitFailed().MatchString(c.message) {
		c.message = "git: " + c.refusal
	}
	c.message = cut(c.message, maxMessage)
	e := classify(at, from, c)
	e.Op = evalOp
	if c.where != "" {
		e.Message += " (at " + c.where + ")"
	}
	return e
}

func classify(at Installable, from place, c complaint) *fault.Error {
	if noAttribute().MatchString(c.message) {
		hint := fmt.Sprintf("add %s to the outputs in %s", at.Attr, path.Join(from.dir, "flake.nix"))
		if c.suggest != "" {
			hint += ", or did you mean " + c.suggest + "?"
		}
		e := fault.Newf(fault.NotFound, hint, "the flake has no attribute %s", at.Attr)
		e.Err = errNoAttribute
		return e
	}
	if file := noFile().FindStringSubmatch(c.message); file != nil {
		return missing(file[1], from)
	}
	if from.escaped && oddPath().MatchString(c.message) {
		return fault.Newf(fault.Precondition, "update Nix (2.26 can), or move the repository to a path of plain letters",
			"this Nix cannot read a repository at %q", from.root)
	}
	for _, text := range append([]string{c.message}, c.trace...) {
		for _, rule := range rules {
			if rule.match().MatchString(text) {
				return fault.New(rule.code, c.message, rule.hint)
			}
		}
	}
	for _, doing := range c.trace {
		if strings.HasPrefix(doing, "while updating the lock file of flake") {
			return fault.New(fault.EvalFailed, c.message, lockHint)
		}
	}
	return fault.New(fault.EvalFailed, c.message, traceHint(at))
}

// missing explains a file that Nix does not see. Without a flake.nix, or
// without the folder it should be in, there is no flake.
func missing(file string, from place) *fault.Error {
	code := fault.EvalFailed
	flake := path.Join(from.dir, "flake.nix")
	if file == flake || file == from.dir || strings.HasPrefix(from.dir, file+"/") {
		code, file = fault.NotFound, flake
	}
	if from.pinned {
		return fault.Newf(code, "commit "+file+", or choose a revision that has it", "the revision has no %s", file)
	}
	return fault.Newf(code, "git add "+file, "Nix does not see %s: git does not track it, or it does not exist", file)
}

// traceHint is a command to paste into a shell.
func traceHint(at Installable) string {
	quoted := strings.ReplaceAll(at.String(), "'", `'\''`)
	return "more: nix --extra-experimental-features 'nix-command flakes' eval --show-trace '" + quoted + "'"
}
