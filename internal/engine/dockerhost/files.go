package dockerhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"homelab/internal/command"
	"homelab/internal/fault"
)

// MaxFile is how many bytes a file may have that [Engine.ReadFile] reads.
const MaxFile = 1 << 20

// ReadFile reads a file of the engine's host: for ssh:// with the user's ssh, which
// needs sh and cat there.
//
// What the host says of the file is an [fs.PathError], with [fs.ErrNotExist] or
// [fs.ErrPermission] for those causes. A host that cannot be reached is
// [fault.HostUnreachable]; a tcp:// engine gives no way to its files, which is
// [fault.Precondition].
func (e *Engine) ReadFile(ctx context.Context, path string) ([]byte, error) {
	if err := errors.Join(ctx.Err(), absolute(path)); err != nil {
		return nil, err
	}
	var content []byte
	var err error
	switch e.link.address.scheme {
	case "unix":
		content, err = readLocal(path)
	case "ssh":
		content, err = e.link.ask(ctx, readScript, []string{path}, MaxFile+1)
	default:
		return nil, fault.Newf(fault.Precondition, "reach that engine by ssh:// (hosts.NAME.docker in the registry), or run homelab on its host",
			"no way to %s on the host of %s: a tcp:// engine gives none to its files", path, e.endpoint)
	}
	var said *saidError
	switch {
	case errors.As(err, &said):
		return nil, &fs.PathError{Op: "read", Path: path, Err: said.cause()}
	case err == nil && len(content) > MaxFile:
		return nil, &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("it has more than %d bytes", MaxFile)}
	}
	return content, err
}

func absolute(path string) error {
	if !filepath.IsAbs(path) || strings.ContainsRune(path, 0) {
		return fault.Newf(fault.InvalidArgument, "write it from the root on", "%q is no absolute path of a host", path)
	}
	return nil
}

// readLocal reads no more than is needed to see that it is too much. What is no file
// may have no end.
func readLocal(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New(notAFile)}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxFile+1))
}

const notAFile = "it is no regular file"

// readScript prints the file $1.
const readScript = `[ -f "$1" ] || { ls -dL -- "$1" >/dev/null && echo "` + notAFile + `" >&2; exit 1; }
exec cat -- "$1"
`

// Resolver looks where paths of the engine's host lead, and returns what tells it of
// each of them, as [filepath.EvalSymlinks] does on this machine. For ssh:// all are
// looked at in one connection, with sh and readlink. A tcp:// engine gives no way to
// look: there a path leads to itself.
func (e *Engine) Resolver(ctx context.Context, paths []string) (func(path string) (string, error), error) {
	switch e.link.address.scheme {
	case "unix":
		return filepath.EvalSymlinks, nil
	case "tcp":
		return func(path string) (string, error) { return path, nil }, nil
	}
	leads := map[string]string{}
	if len(paths) > 0 {
		answer, err := e.link.ask(ctx, resolveScript, paths, MaxFile)
		if err != nil {
			return nil, err
		}
		told := strings.Split(strings.TrimSuffix(string(answer), "\x00"), "\x00")
		if len(told) != len(paths) {
			return nil, fault.Newf(fault.Precondition, e.link.address.tryShell(), "the host of %s tells where %d of %d paths lead", e.endpoint, len(told), len(paths))
		}
		for at, path := range paths {
			leads[path] = told[at]
		}
	}
	return func(path string) (string, error) {
		real, asked := leads[path]
		if !asked {
			return "", &fs.PathError{Op: "readlink", Path: path, Err: errors.New("nobody looked where it leads")}
		}
		if why, failed := strings.CutPrefix(real, "!"); failed {
			return "", &fs.PathError{Op: "readlink", Path: path, Err: (&saidError{why}).cause()}
		}
		return real, nil
	}, nil
}

// resolveScript prints where each of the paths leads, or ! and why that cannot be
// told, with a NUL after each. readlink alone knows -f neither on older Macs, nor
// what it means for a path that is not there. The folder that a path is in is
// entered, not the path: it may be closed to the user.
const resolveScript = `real() {
  p=$1
  [ -e "$p" ] || { printf '!'; ls -dL -- "$p" 2>&1; return; }
  while [ -L "$p" ]; do
    l=$(readlink -- "$p"; echo .); l=${l%??}
    case $l in /*) p=$l ;; *) p=${p%/*}/$l ;; esac
    while :; do case $p in ?*/) p=${p%/} ;; *) break ;; esac; done
  done
  case ${p##*/} in
    ''|.|..) d=$(cd -P -- "$p" && pwd -P && echo .) && printf %s "${d%??}" && return ;;
    *) d=$(cd -P -- "${p%/*}/" && pwd -P && echo .) && d=${d%??} && printf %s "${d%/}/${p##*/}" && return ;;
  esac 2>/dev/null
  printf '!Permission denied'
}
for path do real "$path"; printf '\000'; done
`

// saidError is what a script on a host said on standard error before it failed.
type saidError struct{ text string }

func (s *saidError) Error() string { return s.text }

// cause finds the cause in the words of cat or ls, which are asked to speak English.
func (s *saidError) cause() error {
	switch {
	case strings.Contains(s.text, "Permission denied"):
		return fs.ErrPermission
	case strings.Contains(s.text, "No such file"), strings.Contains(s.text, "Not a directory"):
		return fs.ErrNotExist
	}
	return errors.New(strings.TrimSpace(s.text))
}

// greeting comes before what a script prints: an account that is kept to one command,
// or whose shell has something to say first, answers with something else.
const greeting = "homelab\n"

// ask gives a script and its words to a shell on the host, and returns up to most
// bytes of what it prints. The words are all that the user's own shell there reads
// of it, whichever that is. A script that ends with status 1 is a [saidError].
func (l *link) ask(ctx context.Context, script string, words []string, most int) ([]byte, error) {
	patient, cancel := context.WithTimeout(ctx, remotePatience)
	defer cancel()
	args := append(sshOptions(l.address), "--", l.address.host, "env", "LC_ALL=C", "sh", "-s", "--")
	for _, word := range words {
		args = append(args, quoted(word))
	}
	conn, err := l.startSSH(command.Cmd{Args: args}, l.askFailure)
	if err != nil {
		return nil, err
	}
	defer conn.Close() // what it had to say was read, or is not wanted
	defer context.AfterFunc(patient, func() { _ = conn.Close() })()
	answer, err := converse(conn, "printf '"+strings.ReplaceAll(greeting, "\n", `\n`)+"'\n"+script, len(greeting)+most)
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("ask the host of %s: %w", l.endpoint, ctx.Err())
	case patient.Err() != nil:
		return nil, fault.Newf(fault.HostUnreachable, l.address.tryShell(), "the host of %s does not answer ssh (gave up after %s)", l.endpoint, remotePatience)
	case err != nil:
		return nil, err
	}
	answer, ok := bytes.CutPrefix(answer, []byte(greeting))
	if !ok {
		return nil, fault.Newf(fault.Precondition, l.address.tryShell(), "ssh to the host of %s runs no commands there, or something else speaks first", l.endpoint)
	}
	return answer, nil
}

func converse(conn *sshConn, script string, most int) ([]byte, error) {
	if _, err := io.WriteString(conn, script); err != nil {
		return nil, err
	}
	if err := conn.CloseWrite(); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(conn, int64(most)))
}

func (l *link) askFailure(result command.Result) error {
	switch {
	case result.Exit == 1:
		return &saidError{lastLine(result)}
	case result.Exit == sshFailed || result.Exit < 0:
		return sshFailure(l.endpoint, l.address, result)
	}
	return fault.Newf(fault.Precondition, l.address.tryShell(), "the host of %s cannot look at its files: %s", l.endpoint, lastLine(result))
}

// quoted is a word for the shell of the host, which reads what ssh joins.
func quoted(word string) string {
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
