package tools

import "homelab/internal/fault"

// Failure is an error as both faces send it to programs.
type Failure struct {
	Code      fault.Code `json:"code"`
	Message   string     `json:"message"`
	Hint      string     `json:"hint"`
	Retryable bool       `json:"retryable"`
}

// FailureOf classifies err, which is not nil.
func FailureOf(err error) Failure {
	e := fault.Of(err)
	return Failure{Code: e.Code, Message: e.Error(), Hint: e.Hint, Retryable: e.Code.Retryable()}
}

// Text is the failure for a reader who sees only text.
func (f Failure) Text() string {
	text := string(f.Code) + ": " + f.Message
	if f.Hint != "" {
		text += "\nhint: " + f.Hint
	}
	return clip(text)
}
