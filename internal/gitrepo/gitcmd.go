package gitrepo

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"homelab/internal/command"
	"homelab/internal/fault"
)

// InstallHint says how to get git.
const InstallHint = "install git 2.25 or newer (Debian: apt-get install git; macOS: xcode-select --install)"

// Version is the version of the git command, such as 2.39.5.
func Version(ctx context.Context) (string, error) {
	result, err := command.Run(ctx, command.Cmd{Name: "git", Args: []string{"version"}, Install: InstallHint})
	if err != nil {
		return "", err
	}
	return strings.TrimPrefix(strings.TrimSpace(string(result.Stdout)), "git version "), nil
}

// git runs the git command in the repository and returns its standard output.
func (r *Repo) git(ctx context.Context, args ...string) ([]byte, error) {
	return r.gitWith(ctx, false, args...)
}

func (r *Repo) gitWith(ctx context.Context, inherit bool, args ...string) ([]byte, error) {
	result, err := r.run(ctx, gitCall{args: args, inherit: inherit})
	if err != nil {
		return nil, err
	}
	if result.Exit != 0 {
		return nil, gitError(args[0], r.root, result)
	}
	return result.Stdout, nil
}

type gitCall struct {
	args    []string
	env     []string
	stdin   io.Reader
	inherit bool // let GIT_DIR and its like through as they are
}

// run runs git so that its answer depends on the repository alone: no locks, no
// replace refs, no grafts, no file system monitor (which would run a program
// that the repository names), pathspecs taken literally, messages in English.
func (r *Repo) run(ctx context.Context, call gitCall) (command.Result, error) {
	env := []string{
		"GIT_OPTIONAL_LOCKS=0", "GIT_LITERAL_PATHSPECS=1", "GIT_NO_REPLACE_OBJECTS=1",
		"GIT_GRAFT_FILE=" + os.DevNull, "GIT_TERMINAL_PROMPT=0", "LC_ALL=C", "LANGUAGE=C",
	}
	if !call.inherit {
		env = append(env, r.env...)
	}
	env = append(env, call.env...)
	args := append([]string{"-C", r.root, "-c", "core.fsmonitor=false", "-c", "advice.graftFileDeprecated=false"}, call.args...)
	unset := []string{"GIT_CONFIG"} // it would narrow git config to one file
	if !call.inherit && r.env == nil {
		unset = append(unset, repoVariables...)
	}
	return command.Run(ctx, command.Cmd{
		Name: "git", Args: args, Env: env, Unset: unset, Stdin: call.stdin, Install: InstallHint,
	})
}

// diff runs git diff. When that finds files that only look changed it writes
// what it learned into the index, optional locks or not: so it gets a copy. The
// copy keeps the time of the original, by which git tells entries it must not
// trust.
func (r *Repo) diff(ctx context.Context, args []string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "homelab-index-*")
	if err != nil {
		return nil, noTemp(err)
	}
	defer os.RemoveAll(dir)
	call := gitCall{args: args}
	info, err := os.Stat(r.indexFile)
	if err == nil {
		copied := filepath.Join(dir, "index")
		if err := copyTo(copied, r.indexFile); err != nil {
			return nil, noTemp(err)
		}
		if err := os.Chtimes(copied, info.ModTime(), info.ModTime()); err != nil {
			return nil, noTemp(err)
		}
		call.env = []string{"GIT_INDEX_FILE=" + copied}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	result, err := r.run(ctx, call)
	if err != nil {
		return nil, err
	}
	if result.Exit != 0 {
		return nil, gitError(args[0], r.root, result)
	}
	return result.Stdout, nil
}

func noTemp(err error) error {
	return fault.Newf(fault.Precondition, "free some space there, or set TMPDIR to another folder", "cannot copy the index to the temporary folder: %w", err)
}

func copyTo(to, from string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, target.Close()) }()
	_, err = io.Copy(target, source)
	return err
}

// gitError turns a failed git command into a fault with the remedy.
func gitError(verb, dir string, result command.Result) error {
	line := complaint(result)
	message := string(result.Stderr)
	switch {
	case strings.Contains(message, "not a git repository"):
		return notARepository(dir)
	case strings.Contains(message, "dubious ownership"), strings.Contains(message, "unsafe repository"):
		return fault.Newf(fault.Denied, "if you trust it: git config --global --add safe.directory "+dir,
			"git refuses %s: it belongs to another user", dir)
	}
	if strings.Contains(message, "Permission denied") {
		return fault.Newf(fault.Precondition, "make it readable for the user who runs homelab", "git %s: %s", verb, line)
	}
	return fault.Newf(fault.Precondition, "see what git says of the repository: git status", "%w", &unexplained{verb, line})
}

// complaint is what git says is wrong: its warnings come first, and are none.
func complaint(result command.Result) string {
	for line := range strings.Lines(string(result.Stderr)) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "warning: ") {
			return strings.TrimPrefix(line, "fatal: ")
		}
	}
	return result.FirstLine()
}

// unexplained is a failure of git whose remedy nobody knows here.
type unexplained struct{ verb, line string }

func (e *unexplained) Error() string { return "git " + e.verb + ": " + e.line }
