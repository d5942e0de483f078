package hint

import (
	"errors"
	"fmt"
	"strings"
)

// maxLength is PATH_MAX on Linux: a bound on the work one pattern can cause.
const maxLength = 4096

// pattern is one text, parsed: a single unescaped path, or globs without
// braces.
type pattern struct {
	literal bool
	paths   []string
}

func parse(text string) (pattern, error) {
	switch {
	case text == "":
		return pattern{}, errors.New(`is empty: write "." for the whole repository`)
	case len(text) > maxLength:
		return pattern{}, fmt.Errorf("is %d bytes long, more than the %d a path can have", len(text), maxLength)
	case strings.IndexByte(text, 0) >= 0:
		return pattern{}, errors.New("has a NUL byte, which no path can have")
	case text[0] == '/':
		return pattern{}, errors.New("is absolute: write it relative to the root of the repository")
	}
	text = Clean(text)
	if text[0] == '!' {
		return pattern{}, errors.New(`starts with "!": there is no negation, use exclude (a name that starts so is written \!)`)
	}
	if indexMeta(text) < 0 {
		return parseLiteral(text)
	}
	return parseGlob(text)
}

func parseLiteral(text string) (pattern, error) {
	for i := strings.IndexByte(text, '\\'); i >= 0 && i < len(text); i++ {
		if text[i] == '\\' {
			if _, err := skipEscape(text, i); err != nil {
				return pattern{}, err
			}
			i++
		}
	}
	path := unescape(text)
	return pattern{literal: true, paths: []string{path}}, checkPath(path)
}

func parseGlob(text string) (pattern, error) {
	paths, err := expand(text)
	if err != nil {
		return pattern{}, err
	}
	useful := paths[:0]
	for _, path := range paths {
		if err := checkPath(path); err != nil {
			if path != text {
				err = fmt.Errorf("expands to %.100q, which %w", path, err)
			}
			return pattern{}, err
		}
		if path = Clean(path); path != "" && path != "." {
			useful = append(useful, path)
		}
	}
	if len(useful) == 0 {
		return pattern{}, errors.New("expands to nothing")
	}
	return pattern{paths: useful}, nil
}

// checkPath refuses what would leave the repository.
func checkPath(path string) error {
	if strings.HasPrefix(path, "/") {
		return errors.New("is absolute: write it relative to the root of the repository")
	}
	if !strings.Contains(path, ".") {
		return nil
	}
	for part := range strings.SplitSeq(path, "/") {
		if unescape(part) == ".." {
			return errors.New(`has a ".." component: write it relative to the root of the repository`)
		}
	}
	return nil
}
