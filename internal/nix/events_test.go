package nix_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"

	"homelab/internal/nix"
)

// eventsOf are the events in what Nix said, written in parts of a size.
func eventsOf(said string, size int) []nix.Event {
	var events []nix.Event
	w := nix.NewEventWriter(func(e nix.Event) { events = append(events, e) })
	for part := range slicesOf(said, size) {
		fmt.Fprint(w, part)
	}
	_ = w.Close()
	return events
}

func slicesOf(s string, size int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for len(s) > 0 {
			n := min(size, len(s))
			if !yield(s[:n]) {
				return
			}
			s = s[n:]
		}
	}
}

const drv = "/nix/store/00000000000000000000000000000000-a.drv"

var started = `@nix {"action":"start","fields":["` + drv + `","ssh://b",1,1],"id":7,"level":3,"parent":0,"text":"building","type":105}` + "\n"

func logOf(text string) string {
	return `@nix {"action":"result","fields":["` + text + `"],"id":7,"type":101}` + "\n"
}

func TestEvents(t *testing.T) {
	rows := []struct {
		name, said string
		want       []nix.Event
	}{
		{"a build", started + logOf("hello") +
			`@nix {"action":"result","fields":["buildPhase"],"id":7,"type":104}` + "\n" +
			`@nix {"action":"stop","id":7}` + "\n" + logOf("late"),
			[]nix.Event{
				{Kind: nix.BuildStarted, Drv: drv, Text: "ssh://b"},
				{Kind: nix.LogLine, Drv: drv, Text: "hello"},
				{Kind: nix.BuildFinished, Drv: drv},
			}},
		{"counts", `@nix {"action":"start","id":1,"level":0,"text":"","type":104}` + "\n" +
			strings.Repeat(`@nix {"action":"result","fields":[1,3,1,0],"id":1,"type":105}`+"\n", 3) +
			`@nix {"action":"result","fields":[2,3,1,0],"id":1,"type":105}` + "\n",
			[]nix.Event{{Kind: nix.BuildsCounted, Done: 1, Expected: 3}, {Kind: nix.BuildsCounted, Done: 2, Expected: 3}}},
		{"a fetch", `@nix {"action":"start","fields":["/nix/store/x","https://c"],"id":1,"type":108}` + "\n" +
			`@nix {"action":"start","fields":["/nix/store/x","https://c","local"],"id":2,"type":100}` + "\n" +
			`@nix {"action":"result","fields":[10,200,0,0],"id":2,"type":105}` + "\n" +
			`@nix {"action":"stop","id":2}` + "\n" + `@nix {"action":"stop","id":1}` + "\n",
			[]nix.Event{
				{Kind: nix.FetchStarted, Path: "/nix/store/x", Text: "https://c"},
				{Kind: nix.DownloadedBytes, Path: "/nix/store/x", Done: 10, Expected: 200},
				{Kind: nix.FetchFinished, Path: "/nix/store/x"},
			}},
		{"messages", `@nix {"action":"msg","level":0,"msg":"\u001b[31;1merror:\u001b[0m long trace","raw_msg":"builder for '\u001b[35;1mx\u001b[0m'\nfailed"}` + "\n" +
			`@nix {"action":"msg","level":0,"msg":"warning: the group 'x' does not exist"}` + "\n" +
			`@nix {"action":"msg","level":1,"msg":"\u001b[35;1mwarning:\u001b[0m slow"}` + "\n" +
			`@nix {"action":"msg","level":3,"msg":"  "}` + "\n" +
			`@nix {"action":"start","id":3,"level":1,"text":"waiting for a machine to build 'x'","type":111}` + "\n",
			[]nix.Event{
				{Kind: nix.Message, Text: "builder for 'x'\nfailed"},
				{Kind: nix.Message, Level: 1, Text: "the group 'x' does not exist"},
				{Kind: nix.Message, Level: 1, Text: "slow"},
				{Kind: nix.Message, Level: 3, Text: "waiting for a machine to build 'x'"},
			}},
		{"not events", "ssh: \x1b[31mno route\x1b[0m\r\n\n@nix nonsense\n@nixx {}\nlast",
			[]nix.Event{
				{Kind: nix.Message, Level: 3, Text: "ssh: no route"},
				{Kind: nix.Message, Level: 3, Text: "@nix nonsense"},
				{Kind: nix.Message, Level: 3, Text: "@nixx {}"},
				{Kind: nix.Message, Level: 3, Text: "last"},
			}},
		{"unknown", `@nix {"action":"start","id":9,"type":999,"fields":[{"a":[1]}]}` + "\n" + `@nix {"action":"result","id":9,"type":999,"fields":["x"]}` + "\n" +
			`@nix {"action":"dance"}` + "\n" + `@nix {"action":"stop","id":"nine"}` + "\n" + `@nix {"action":"msg","level":"x","msg":"odd level"}` + "\n" +
			`@nix {"action":"result","id":12,"type":101,"fields":["nobody's"]}` + "\n",
			[]nix.Event{{Kind: nix.Message, Text: "odd level"}}},
		{"odd fields", started + `@nix {"action":"result","fields":[5],"id":7,"type":101}` + "\n" + `@nix {"action":"result","id":7,"type":101}` + "\n",
			[]nix.Event{{Kind: nix.BuildStarted, Drv: drv, Text: "ssh://b"}, {Kind: nix.LogLine, Drv: drv}, {Kind: nix.LogLine, Drv: drv}}},
		{"terminal tricks", started + logOf(`\u001b[2K\u001b]0;title\u0007a\tb\rc\u009b1md\u0000\u202ee\ud800`),
			[]nix.Event{{Kind: nix.BuildStarted, Drv: drv, Text: "ssh://b"}, {Kind: nix.LogLine, Drv: drv, Text: "a\tbc1md\u202ee\uFFFD"}}},
	}
	for _, row := range rows {
		for _, size := range []int{1, 7, 1 << 20} {
			assert.Equal(t, row.want, eventsOf(row.said, size), "%s in parts of %d", row.name, size)
		}
	}
}

// A builder that prints without end neither fills the memory nor loses its
// name.
func TestEventsAreBounded(t *testing.T) {
	for _, unit := range []string{"x", `\\`, `\"`, "é", `\u00e9`, `\n`} {
		for _, shift := range []string{"", "y", "yy", "yyy", "yyyy", "yyyyy"} {
			said := started + logOf(shift+strings.Repeat(unit, 200_000)) + logOf("after")
			for _, size := range []int{1000, 1 << 16} {
				events := eventsOf(said, size)
				if !assert.Len(t, events, 3, "%q", unit) {
					return
				}
				long := events[1]
				assert.Equal(t, drv, long.Drv)
				assert.True(t, strings.HasPrefix(long.Text, shift), unit)
				assert.True(t, strings.HasSuffix(long.Text, "…"), unit)
				if unit != `\n` {
					assert.Greater(t, len(long.Text), 5000, unit)
				}
				assert.LessOrEqual(t, len(long.Text), 32<<10)
				assert.Equal(t, nix.Event{Kind: nix.LogLine, Drv: drv, Text: "after"}, events[2])
			}
		}
	}
	events := eventsOf(strings.Repeat("plain", 100_000), 1<<16)
	assert.Len(t, events, 1)
	assert.LessOrEqual(t, len(events[0].Text), 32<<10)
}

func FuzzEvents(f *testing.F) {
	f.Add(started+logOf("hello"), 3)
	f.Add(started+logOf(strings.Repeat(`\u00e9`, 9000)), 100)
	f.Add(`@nix {"action":"msg","level":0,"msg":"\u001b[31;1merror:\u001b[0m x"}`, 1)
	f.Add("\x1b]0;title\xff\n@nix {", 2)
	f.Fuzz(func(t *testing.T, said string, size int) {
		events := eventsOf(said, len(said)+1)
		assert.Equal(t, events, eventsOf(said, max(size, 1)), "the size of the parts matters")
		assert.LessOrEqual(t, len(events), strings.Count(said, "\n")+1)
		for _, e := range events {
			assert.NotEmpty(t, e.Kind)
			for _, text := range []string{e.Text, e.Drv, e.Path} {
				assert.True(t, utf8.ValidString(text))
				assert.LessOrEqual(t, len(text), 32<<10)
				assert.False(t, strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\t' && (r != '\n' || e.Kind != nix.Message) }), "%q", text)
			}
			assert.GreaterOrEqual(t, e.Done, int64(0))
		}
	})
}
