package job

import (
	"cmp"
	"encoding/json"
	"os"
	"strings"

	"homelab/internal/fault"
)

// died says how a job ended whose process is gone and did not record it. One in
// the background may have said why: a failure that keeps it from its job is one
// line of JSON, anything else a crash.
func (s *Store) died(j *Job) (State, *Problem) {
	const ended = "the process that ran it ended before the work did"
	again := "call " + j.Tool + " again"
	log := s.WorkerLog(j.ID)
	words := lastWords(log)
	if words == "" {
		return Interrupted, &Problem{Code: fault.Canceled, Message: ended, Hint: again}
	}
	said := &Problem{}
	if json.Unmarshal([]byte(words), said) != nil || said.Code == "" {
		return Interrupted, &Problem{Code: fault.Internal, Message: ended + "; it said: " + words, Hint: "read " + log + ", then " + again}
	}
	said.Message = "the process that was to do it failed: " + said.Message
	said.Hint = cmp.Or(said.Hint, again) + "; the log of that process is " + log
	if said.Code == fault.Canceled { // it was told to end
		return Interrupted, said
	}
	return Failed, said
}

// lastWords is the last line of a log; of a crash, the line that says which. A
// log that is not there, or cannot be read, tells nothing.
func lastWords(log string) string {
	raw, err := os.ReadFile(log)
	if err != nil {
		return ""
	}
	last := ""
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			return line
		}
		last = cmp.Or(line, last)
	}
	return last
}
