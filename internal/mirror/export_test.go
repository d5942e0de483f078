package mirror

import (
	"bufio"
	"bytes"
	"time"

	"homelab/internal/tree"
)

// SetClock has the clock go wrong by so much.
func (s *Source) SetClock(by time.Duration) {
	s.trust.clock = func() (time.Time, time.Duration) {
		wall, steady := clock()
		return wall.Add(by), steady
	}
}

// Forged is a message that a source might not send.
type Forged struct{ Kind, Name, Text string }

// Forge is a stream of such messages.
func Forge(all []Forged) []byte {
	var to bytes.Buffer
	w := frameWriter{to: bufio.NewWriter(&to)}
	_ = w.put(frameHello, []byte(hello))
	for _, f := range all {
		h := head{mode: 0o700}
		if f.Kind == "leave" && f.Text != "" {
			h.xattrs = []tree.Xattr{{Name: f.Text, Value: "x"}}
		}
		switch f.Kind {
		case "symlink":
			_ = w.put(frameSymlink, appendText(nil, f.Name), h.encode(), []byte(f.Text))
		case "link":
			_ = w.put(frameLink, appendText(nil, f.Name), []byte(f.Text))
		case "leave":
			_ = w.put(frameLeave, h.encode())
		default:
			kinds := map[string]frame{"folder": frameFolder, "enter": frameEnter, "create": frameCreate, "open": frameOpen, "remove": frameRemove, "done": frameDone}
			_ = w.put(kinds[f.Kind], []byte(f.Name))
		}
	}
	_ = w.to.Flush()
	return to.Bytes()
}

// Forget forgets what was sent.
func (s *Source) Forget() { s.top = nil }
