package docker

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/docker/docker/api/types/container"

	"homelab/internal/deploy"
)

// secretsOf are the values of a container that came from env files, as far as they
// can be told from other text: with 4 characters or more. What has several lines,
// also as \n, is as many secrets; a program may take quotes and spaces around one away.
func secretsOf(c *container.Config) [][]byte {
	const least = 4
	is, found := variables(c.Env), map[string]bool{}
	for _, name := range strings.Fields(c.Labels[deploy.LabelEnvFiles]) {
		for line := range strings.Lines(is[name] + "\n" + strings.ReplaceAll(is[name], `\n`, "\n")) {
			line = strings.TrimRight(line, "\r\n")
			for _, secret := range []string{line, strings.Trim(line, "\"' \t")} {
				found[secret] = utf8.RuneCountInString(secret) >= least
			}
		}
	}
	secrets := [][]byte{}
	for secret, told := range found {
		if told {
			secrets = append(secrets, []byte(secret))
		}
	}
	return secrets
}

// veil passes on what is written to it, with … in place of secrets, in however many
// pieces they come. It holds back no more than the beginning of a secret could be; no
// secret has a line break in it.
type veil struct {
	to      io.Writer
	secrets [][]byte
	rest    []byte // that was not passed on yet
	// covered is how much of the rest is part of a secret that … was passed on for.
	covered int
}

const veiled = "…"

func (v *veil) Write(p []byte) (int, error) {
	v.rest = append(v.rest, p...)
	longest := 1
	for _, secret := range v.secrets {
		longest = max(longest, len(secret))
	}
	return len(p), v.pass(max(len(v.rest)-longest+1, bytes.LastIndexByte(v.rest, '\n')+1))
}

// flush passes on what is left when nothing more comes.
func (v *veil) flush() error { return v.pass(len(v.rest)) }

// pass passes on the first bytes of the rest, in which every secret that begins
// there is there to its end.
func (v *veil) pass(upTo int) error {
	if upTo == 0 {
		return nil
	}
	var out []byte
	at := v.covered
	for _, s := range v.found() {
		if s.from >= upTo {
			break
		}
		if s.from >= at {
			out = append(append(out, v.rest[at:s.from]...), veiled...)
		}
		at = max(at, s.to)
	}
	if at < upTo {
		out = append(out, v.rest[at:upTo]...)
	}
	v.covered = max(at-upTo, 0)
	v.rest = append(v.rest[:0], v.rest[upTo:]...)
	if len(out) == 0 {
		return nil
	}
	_, err := v.to.Write(out)
	return err
}

// span is a part of the rest.
type span struct{ from, to int }

// found are the secrets in the rest, as they begin; they may overlap.
func (v *veil) found() []span {
	var all []span
	for _, secret := range v.secrets {
		for from := 0; ; from++ {
			at := bytes.Index(v.rest[from:], secret)
			if at < 0 {
				break
			}
			from += at
			all = append(all, span{from, from + len(secret)})
		}
	}
	slices.SortFunc(all, func(a, b span) int { return a.from - b.from })
	return all
}
