package hint

import (
	"errors"
	"fmt"
	"strings"
)

// maxExpansions bounds what one pattern's braces may expand to.
const maxExpansions = 1000

// expand checks the syntax of a glob and returns the globs without braces that
// it stands for.
func expand(text string) ([]string, error) {
	if !strings.ContainsAny(text, `[{}\`) {
		return []string{text}, nil
	}
	e := expander{text: text}
	return e.sequence(0)
}

type expander struct {
	text string
	at   int
}

// sequence expands up to the end of the text or, inside braces, up to the ','
// or '}' that ends the alternative.
func (e *expander) sequence(depth int) ([]string, error) {
	results := []string{""}
	start := e.at
	for e.at < len(e.text) {
		var err error
		switch c := e.text[e.at]; {
		case c == '\\':
			e.at, err = skipEscape(e.text, e.at)
		case c == '[':
			e.at, err = skipClass(e.text, e.at)
		case c == '{':
			results, err = product(results, []string{e.text[start:e.at]})
			if err != nil {
				break
			}
			var choices []string
			if choices, err = e.alternatives(depth + 1); err != nil {
				break
			}
			results, err = product(results, choices)
			start = e.at
		case c == '}' && depth == 0:
			err = errors.New(`has a "}" without "{": write \} for the character`)
		case depth > 0 && (c == ',' || c == '}'):
			return product(results, []string{e.text[start:e.at]})
		default:
			e.at++
		}
		if err != nil {
			return nil, err
		}
	}
	if depth > 0 {
		return nil, errors.New(`has a "{" without "}": write \{ for the character`)
	}
	return product(results, []string{e.text[start:]})
}

// alternatives expands the braces that open at e.at and steps behind them.
func (e *expander) alternatives(depth int) ([]string, error) {
	var choices []string
	for closed := false; !closed; {
		e.at++
		more, err := e.sequence(depth)
		if err != nil {
			return nil, err
		}
		choices = append(choices, more...)
		closed = e.text[e.at] == '}'
	}
	e.at++
	return choices, nil
}

func product(heads, tails []string) ([]string, error) {
	if len(heads)*len(tails) > maxExpansions {
		return nil, fmt.Errorf("expands to more than %d patterns", maxExpansions)
	}
	if len(heads) == 1 && heads[0] == "" {
		return tails, nil
	}
	joined := make([]string, 0, len(heads)*len(tails))
	for _, head := range heads {
		for _, tail := range tails {
			joined = append(joined, head+tail)
		}
	}
	return joined, nil
}

// skipEscape returns the index behind the backslash at i and the byte after it.
func skipEscape(text string, i int) (int, error) {
	switch {
	case i+1 == len(text):
		return 0, errors.New(`ends in "\": write \\ for the character`)
	case text[i+1] == '/':
		return 0, errors.New(`has "\/": a "/" needs no escape`)
	}
	return i + 2, nil
}

// skipClass returns the index behind the class that opens at i.
func skipClass(text string, i int) (int, error) {
	i++
	if i < len(text) && (text[i] == '^' || text[i] == '!') {
		i++
	}
	for start := i; i < len(text); i++ {
		switch text[i] {
		case '\\':
			if i++; i < len(text) && text[i] == '/' {
				return 0, errSlashInClass
			}
		case '/':
			return 0, errSlashInClass
		case ']':
			if i == start {
				return 0, errors.New(`has an empty class: write \[ for the character`)
			}
			return i + 1, nil
		}
	}
	return 0, errors.New(`has a "[" without "]": write \[ for the character`)
}

var errSlashInClass = errors.New(`has a "/" between "[" and "]": a class never matches one, leave it out (or write \[ for the character)`)
