package docker_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/pkg/stdcopy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/engine/docker"
	"homelab/internal/engine/docker/dockertest"
)

// message is one of the log: 1 is standard output, 2 is standard error.
type message struct {
	stream stdcopy.StdType
	text   string
}

// copied is what comes of messages.
func copied(t *testing.T, stamped bool, messages []message, secrets ...string) string {
	t.Helper()
	var sent, out bytes.Buffer
	for _, m := range messages {
		_, err := stdcopy.NewStdWriter(&sent, m.stream).Write([]byte(m.text))
		require.NoError(t, err)
	}
	require.NoError(t, docker.CopyLogs(&out, &sent, stamped, secrets...))
	return out.String()
}

func TestLogsAreLines(t *testing.T) {
	rows := map[string]struct {
		stamped  bool
		messages []message
		want     string
	}{
		"in order":            {false, []message{{1, "a\n"}, {2, "b\n"}, {1, "c\n"}}, "a\nb\nc\n"},
		"pieces of a line":    {false, []message{{1, "a"}, {2, "b\n"}, {1, "c\n"}}, "b\nac\n"},
		"no end":              {false, []message{{1, "a\n"}, {1, "b"}}, "a\nb"},
		"no end on both":      {false, []message{{2, "a"}, {1, "b"}}, "b\na"},
		"empty lines":         {false, []message{{1, "\n"}, {1, "a\n\nb\n"}}, "\na\n\nb\n"},
		"times":               {true, []message{{1, "1Z a b\n"}, {2, "2Z \n"}, {1, "3Z c"}}, "1Z a b\n2Z \n3Z c"},
		"time of a long line": {true, []message{{1, "1Z a"}, {2, "2Z b\n"}, {1, "3Z c\n"}, {1, "4Z d\n"}}, "2Z b\n1Z ac\n4Z d\n"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) { assert.Equal(t, row.want, copied(t, row.stamped, row.messages)) })
	}

	t.Run("a line without end is passed on", func(t *testing.T) {
		messages, want := []message{}, ""
		for range 20 {
			messages = append(messages, message{1, "1Z " + strings.Repeat("x", 16<<10)})
			want += strings.Repeat("x", 16<<10)
		}
		messages = append(messages, message{2, "2Z b\n"}, message{1, "3Z y\n"})
		got := copied(t, true, messages)
		assert.True(t, "1Z "+want+"\n2Z b\ny\n" == got, "%.20q", got[len(want):])
	})
}

func TestSecretsOf(t *testing.T) {
	env := []string{"A=hunter2", "B=abc", "C=äöü", "D=äöüß", `E="quoted one"`, "F=first\nsecond\n3rd", `G=-----BEGIN\nmiddle\nx`, "PLAIN=hunter3", "EMPTY=", "H=a=b=c"}
	assert.ElementsMatch(t, []string{"hunter2", "äöüß", `"quoted one"`, "quoted one", "first", "second", `-----BEGIN\nmiddle\nx`, "-----BEGIN", "middle", "a=b=c"},
		docker.SecretsOf(env, "A B C D E F G H EMPTY GONE"))
	assert.Empty(t, docker.SecretsOf(env, ""))
}

func TestLogsVeilSecrets(t *testing.T) {
	rows := map[string]struct{ text, want string }{
		"none":          {"nothing of it\n", "nothing of it\n"},
		"one":           {"it is hunter2!\n", "it is …!\n"},
		"alone":         {"hunter2", "…"},
		"two":           {"hunter2hunter2\n", "……\n"},
		"overlapping":   {"abcdcdef\n", "…\n"},
		"one in other":  {"a hunter2000 b\n", "a … b\n"},
		"the beginning": {"hunte\nr2 hunter", "hunte\nr2 hunter"},
		"repeated":      {"ababababa\n", "…\n"},
	}
	secrets := []string{"hunter2", "hunter2000", "abcd", "cdcdef", "ababa"}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, row.want, copied(t, false, []message{{1, row.text}}, secrets...))
			for cut := range row.text {
				pieces := []message{{1, row.text[:cut]}, {2, ""}, {1, row.text[cut:]}}
				assert.Equal(t, row.want, copied(t, false, pieces, secrets...), "cut at %d", cut)
			}
		})
	}
}

// What is held back has the time of when it came.
func TestLogsTimeOfWhatIsHeldBack(t *testing.T) {
	assert.Equal(t, "1Z abcd\n3Z e…\n", copied(t, true, []message{{1, "1Z ab"}, {1, "2Z cd\n"}, {1, "3Z ehun"}, {1, "4Z ter2\n"}}, "hunter2"))
}

// In whatever pieces a text comes, what comes of it is the same, and no byte of a
// secret is there.
func TestLogsVeilInPieces(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 0))
		letters := func(alphabet string, n int) string {
			var out strings.Builder
			for range n {
				out.WriteByte(alphabet[r.IntN(len(alphabet))])
			}
			return out.String()
		}
		secrets := []string{}
		for range 1 + r.IntN(3) {
			secrets = append(secrets, letters("ab", 2+r.IntN(5)))
		}
		text := letters("aaabbbc\n", 1+r.IntN(60))
		pieces := []message{}
		for rest := text; rest != ""; {
			n := 1 + r.IntN(min(len(rest), 8))
			pieces, rest = append(pieces, message{1, rest[:n]}), rest[n:]
		}
		require.Equal(t, veiledAtOnce(text, secrets), copied(t, false, pieces, secrets...), "seed %d: %q of %q", seed, secrets, text)
	}
}

// veiledAtOnce marks each byte of each secret, and writes … for what hangs together.
func veiledAtOnce(text string, secrets []string) string {
	ends := make([]int, len(text)) // where the longest secret that begins there ends
	for _, secret := range secrets {
		for at := range text {
			if strings.HasPrefix(text[at:], secret) {
				ends[at] = max(ends[at], at+len(secret))
			}
		}
	}
	var out strings.Builder
	until := 0
	for at := range len(text) {
		if ends[at] > 0 && at >= until {
			out.WriteString("…")
		}
		until = max(until, ends[at])
		if at >= until {
			out.WriteByte(text[at])
		}
	}
	return out.String()
}

// A real engine cuts long lines in pieces: a secret can be in two of them.
func TestRealLogsWithoutSecrets(t *testing.T) {
	e := open(t, "unix://"+dockertest.StartEngine(t))
	const script = `echo "$TOKEN" >&2
/bin/busybox printf '%16380s%s%16380s%s|\n' '' "$TOKEN" '' "$TOKEN"
echo "and $SHORT"
/bin/busybox printf 'no end: %s' "$TOKEN"
`
	require.NoError(t, e.Load(t.Context(), bytes.NewReader(deploytest.BusyboxArchive(t, "real/app:v1", script))))
	file := filepath.Join(t.TempDir(), "app.env")
	require.NoError(t, os.WriteFile(file, []byte("TOKEN=hunter2-canary\nSHORT=abc\n"), 0o600))
	id, err := e.Create(t.Context(), "app", deploy.Spec{Service: "app", Image: "real/app:v1", EnvFiles: []string{file}}, nil)
	require.NoError(t, err)
	require.NoError(t, e.Start(t.Context(), id))
	require.Eventually(t, func() bool {
		c, err := e.Container(t.Context(), id)
		return err == nil && c.State == deploy.Exited
	}, 20*time.Second, 20*time.Millisecond)

	blank := strings.Repeat(" ", 16380)
	for _, stamped := range []bool{false, true} {
		var out bytes.Buffer
		require.NoError(t, e.Logs(t.Context(), id, deploy.Tail{Lines: 99, Timestamps: stamped}, &out))
		lines := strings.Split(out.String(), "\n")
		if stamped {
			for i, line := range lines {
				stamp, text, _ := strings.Cut(line, " ")
				_, err := time.Parse(time.RFC3339Nano, stamp)
				require.NoError(t, err, "%.40q", line)
				lines[i] = text
			}
		}
		assert.ElementsMatch(t, []string{"…", blank + "…" + blank + "…|", "and abc", "no end: …"}, lines, fmt.Sprint(stamped))
	}
}
