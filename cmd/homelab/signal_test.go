package main

import (
	"bufio"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestServerEndsWellWhenItIsTerminated(t *testing.T) {
	for _, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		program, err := os.Executable()
		require.NoError(t, err)
		cmd := exec.CommandContext(t.Context(), program, "mcp")
		cmd.Env = append(os.Environ(), cannedVariable+"=1")
		in, err := cmd.StdinPipe()
		require.NoError(t, err)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())

		_, err = in.Write([]byte(`{"jsonrpc":"2.0","id":1,"method":"ping"}` + "\n"))
		require.NoError(t, err)
		answer, err := bufio.NewReader(out).ReadString('\n')
		require.NoError(t, err)
		assert.Equal(t, `{"jsonrpc":"2.0","id":1,"result":{}}`+"\n", answer)

		require.NoError(t, cmd.Process.Signal(signal))
		assert.NoError(t, cmd.Wait(), "exit status 0 after %s", signal)
	}
}
