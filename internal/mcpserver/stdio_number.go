package mcpserver

import (
	"bytes"
	"encoding/json"
	"strings"
)

// The SDK reads every number as a float64, and so gives 9007199254740993 back
// as 9007199254740992: to a client that is the answer to another question.
// Where that would happen, an id or a progress token goes through the SDK as a
// text, which is the number behind this mark. No client's own text begins so.
const numberMark = "\x00number "

// marked is a value as the SDK gets it; false when it can stay as it is.
func marked(value json.RawMessage) (json.RawMessage, bool) {
	if len(value) == 0 || value[0] != '-' && (value[0] < '0' || value[0] > '9') {
		return nil, false
	}
	var number float64
	if json.Unmarshal(value, &number) == nil {
		if again, err := json.Marshal(number); err == nil && bytes.Equal(again, value) {
			return nil, false
		}
	}
	text, err := json.Marshal(numberMark + string(value))
	return text, err == nil
}

// unmarked is the number that a text stands for; false when it stands for none.
func unmarked(text string) (json.RawMessage, bool) {
	number, found := strings.CutPrefix(text, numberMark)
	return json.RawMessage(number), found
}

// markNumbers marks what the SDK would give back changed: the id of a message,
// the id that a cancellation names, and the token that progress is reported by.
func (m *message) markNumbers(line []byte) []byte {
	var params struct {
		RequestID json.RawMessage `json:"requestId"`
		Meta      struct {
			ProgressToken json.RawMessage `json:"progressToken"`
		} `json:"_meta"`
	}
	// Other parameters than these have other forms; what fits is read all the same.
	_ = json.Unmarshal(m.Params, &params)
	if id, must := marked(m.ID); must {
		m.ID = id
		line = replaced(line, id, "id")
	}
	if id, must := marked(params.RequestID); must {
		line = replaced(line, id, "params", "requestId")
	}
	if token, must := marked(params.Meta.ProgressToken); must {
		line = replaced(line, token, "params", "_meta", "progressToken")
	}
	return line
}

// asAsked is the line of an answer with the id that the question had.
func (m *message) asAsked(line []byte) []byte {
	var id string
	if json.Unmarshal(m.ID, &id) != nil {
		return line
	}
	if number, was := unmarked(id); was {
		return replaced(line, number, "id")
	}
	return line
}

// replaced is a line with one JSON object, with another value at the end of a
// path of names.
func replaced(line []byte, value json.RawMessage, path ...string) []byte {
	var members map[string]json.RawMessage
	if json.Unmarshal(line, &members) != nil || members == nil {
		return line
	}
	if len(path) > 1 {
		value = replaced(members[path[0]], value, path[1:]...)
	}
	members[path[0]] = value
	out, err := json.Marshal(members)
	if err != nil {
		return line
	}
	return append(out, '\n')
}
