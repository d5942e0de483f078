// Package fault is the one error value of homelab: what happened, and what to
// do next.
//
// An error is created where the remedy is known, wrapped with %w on its way
// up, and classified once, by [Of], where it leaves the program: the MCP face
// turns it into {code, message, hint, retryable}, the command line into a line
// on standard error and an exit status. Messages never carry a secret.
package fault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Error is a failure with its remedy.
type Error struct {
	Op      string // what was being done ("plan", "registry"); may be empty
	Code    Code
	Message string // what happened, with the offending value shown
	Hint    string // the next call or argument; may be empty
	Err     error  // the cause, if there is one worth unwrapping to
}

func (e *Error) Error() string {
	if e.Op == "" {
		return e.Message
	}
	return e.Op + ": " + e.Message
}

func (e *Error) Unwrap() error { return e.Err }

// New returns a fault. The hint is the next thing to call or change.
func New(code Code, message, hint string) *Error {
	return &Error{Code: code, Message: message, Hint: hint}
}

// Newf is [New] with a formatted message. It takes the hint first, so that the
// format's arguments stay last.
func Newf(code Code, hint, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), Hint: hint, Err: errors.Unwrap(err)}
}

// Of classifies any error. Cancellation and deadlines are recognised; what
// nobody classified is [Internal]. Of(nil) is nil.
func Of(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		if err == error(e) {
			return e
		}
		// Context added above the fault belongs to the message.
		return &Error{Code: e.Code, Message: err.Error(), Hint: e.Hint, Err: err}
	}
	switch {
	case errors.Is(err, context.Canceled):
		return &Error{Code: Canceled, Message: "the call was canceled", Err: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Code: Timeout, Message: "the call ran out of time", Err: err}
	}
	return &Error{Code: Internal, Message: err.Error(), Hint: "this is a defect of homelab: please report it with the command that led here", Err: err}
}

// CodeOf is the code of err, or the empty code for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	return Of(err).Code
}

// Near returns up to three of names that look like what was asked for, best
// first: for a hint of the form "did you mean …?".
func Near(asked string, names []string) []string {
	type scored struct {
		name  string
		score int
	}
	asked = strings.ToLower(asked)
	limit := len(asked)/3 + 1
	var best []scored
	for _, name := range names {
		low := strings.ToLower(name)
		score := distance(asked, low, limit)
		if len(asked) >= 3 && (strings.Contains(low, asked) || (len(low) >= 3 && strings.Contains(asked, low))) {
			score = min(score, 1)
		}
		if score > limit {
			continue
		}
		at := len(best)
		for at > 0 && (best[at-1].score > score || best[at-1].score == score && best[at-1].name > name) {
			at--
		}
		best = append(best, scored{})
		copy(best[at+1:], best[at:])
		best[at] = scored{name, score}
		best = best[:min(len(best), 3)]
	}
	near := make([]string, len(best))
	for i, s := range best {
		near[i] = s.name
	}
	return near
}

// DidYouMean is the hint sentence for a name that is not known: near names
// first, else the first of the valid ones.
func DidYouMean(asked string, names []string) string {
	if near := Near(asked, names); len(near) > 0 {
		return "did you mean " + strings.Join(near, ", ") + "?"
	}
	if len(names) == 0 {
		return ""
	}
	const most = 20
	if len(names) > most {
		return fmt.Sprintf("valid: %s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return "valid: " + strings.Join(names, ", ")
}

// distance is how many letters must be put in, taken out, replaced or swapped
// with their neighbour to make b of a, or limit+1 when it is more.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	row, before := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		above := slices.Clone(row)
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			substitute := diagonal
			if a[i-1] != b[j-1] {
				substitute++
			}
			diagonal = row[j]
			row[j] = min(substitute, row[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before = above
	}
	return min(row[len(b)], limit+1)
}
