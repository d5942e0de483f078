package dockerhost_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/engine/dockerhost"
	"homelab/internal/fault"
)

var quiet = log.New(io.Discard, "", 0)

// engineLike answers as an engine does.
var engineLike = answering(`{"Version":"28.5.2","ApiVersion":"1.51","Os":"linux","Arch":"amd64"}`)

func answering(version string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/version" {
			http.Error(w, r.Method+" "+r.URL.Path, http.StatusNotFound)
			return
		}
		fmt.Fprint(w, version)
	}
}

func TestServer(t *testing.T) {
	rows := map[string]struct {
		version string
		want    dockerhost.Server
	}{
		"of our time": {`{"Version":"28.5.2","ApiVersion":"1.51","Os":"linux","Arch":"arm64"}`,
			dockerhost.Server{Version: "28.5.2", APIVersion: "1.51", OS: "linux", Arch: "arm64", System: "aarch64-linux"}},
		"old": {`{"Version":"1.12.6","ApiVersion":"1.24","Os":"linux","Arch":"amd64"}`,
			dockerhost.Server{Version: "1.12.6", APIVersion: "1.24", OS: "linux", Arch: "amd64", System: "x86_64-linux"}},
		"no Nix system": {`{"Version":"28.5.2","ApiVersion":"1.51","Os":"windows","Arch":"amd64"}`,
			dockerhost.Server{Version: "28.5.2", APIVersion: "1.51", OS: "windows", Arch: "amd64"}},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, row.want, ask(t, listen(t, answering(row.version))))
		})
	}
}

func TestServerFailures(t *testing.T) {
	rows := map[string]struct {
		handler http.HandlerFunc
		message string
	}{
		"broken": {
			func(w http.ResponseWriter, r *http.Request) {
				http.Error(w, "out of order", http.StatusInternalServerError)
			},
			"gives no usable answer: 500 Internal Server Error: out of order",
		},
		"broken without a word": {
			func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
			"500 Internal Server Error",
		},
		"broken, in JSON": {
			func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusInternalServerError)
				fmt.Fprint(w, `{"message":"out of order"}`)
			},
			"gives no usable answer: 500 Internal Server Error: out of order",
		},
		"broken at length": {
			func(w http.ResponseWriter, r *http.Request) {
				http.Error(w, strings.Repeat("é", 4000), http.StatusInternalServerError)
			},
			": " + strings.Repeat("é", 150),
		},
		"leads elsewhere": {
			func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://elsewhere/", http.StatusFound)
			},
			"302 Found",
		},
		"some other server":   {answering(`<html>welcome</html>`), "invalid character '<'"},
		"half an answer":      {answering(`{"Version":"28.5.2"`), "unexpected end of JSON"},
		"a nameless answer":   {answering(`{"Os":"linux","Arch":"amd64"}`), "is not a Docker engine"},
		"a homeless answer":   {answering(`{"Version":"1","Arch":"amd64"}`), "is not a Docker engine"},
		"an empty answer":     {answering(`{}`), "is not a Docker engine"},
		"an answer too early": {garbage, "malformed HTTP"},
		"hangs up": {
			func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) },
			"EOF",
		},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			e := listen(t, row.handler)
			f := refused(t, e)
			assert.Equal(t, fault.EngineUnavailable, f.Code)
			assert.Contains(t, f.Message, row.message)
			assert.Contains(t, f.Message, e.URL)
			assert.Less(t, len(f.Message), 600)
			assert.NotContains(t, f.Message, `"http://docker`, "an invented address means nothing to people")
			assert.NotEmpty(t, f.Hint)
		})
	}
}

func garbage(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "220 mail.example ESMTP\r\n")
}

func TestServerHangs(t *testing.T) {
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

	t.Run("has two seconds on a socket", func(t *testing.T) {
		start := time.Now()
		f := refused(t, listen(t, hang))
		assert.Equal(t, fault.EngineUnavailable, f.Code)
		assert.Contains(t, f.Message, "does not answer (gave up after 2s)")
		assert.InDelta(t, 2, time.Since(start).Seconds(), 1)
	})

	t.Run("over the network it may be the host", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		serve(t, listener, hang)
		engine, err := dockerhost.Dial(t.Context(), dockerhost.Endpoint{URL: "tcp://" + listener.Addr().String()})
		require.NoError(t, err)
		defer engine.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err = engine.Server(ctx)
		assert.Equal(t, fault.HostUnreachable, fault.CodeOf(err))
		assert.ErrorContains(t, err, "gave up after 100ms")
	})

	t.Run("canceled", func(t *testing.T) {
		asked := make(chan struct{}, 2)
		engine, err := dockerhost.Dial(t.Context(), listen(t, func(w http.ResponseWriter, r *http.Request) {
			asked <- struct{}{}
			hang(w, r)
		}))
		require.NoError(t, err)
		defer engine.Close()
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-asked
			cancel()
		}()
		_, err = engine.Server(ctx)
		assert.Equal(t, fault.Canceled, fault.CodeOf(err))
	})
}

// listen serves the handler on a socket.
func listen(t *testing.T, handler http.HandlerFunc) dockerhost.Endpoint {
	t.Helper()
	// Not t.TempDir: with the names of the tests in it, it gets too long.
	dir, err := os.MkdirTemp("", "engine-")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	socket := filepath.Join(dir, "docker.sock")
	listener, err := net.Listen("unix", socket)
	require.NoError(t, err)
	serve(t, listener, handler)
	return dockerhost.Endpoint{URL: "unix://" + socket}
}

func serve(t *testing.T, listener net.Listener, handler http.HandlerFunc) {
	server := &http.Server{Handler: handler, ErrorLog: quiet}
	done := make(chan error)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		assert.NoError(t, server.Close())
		assert.ErrorIs(t, <-done, http.ErrServerClosed)
	})
}
