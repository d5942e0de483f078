package docker_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/fault"
)

// fakeEngine answers what it is told to, by the end of the path: STATUS BODY, one
// answer a line, of which the last stays. It returns its URL.
func fakeEngine(t *testing.T, network string, answers map[string]string) string {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "sock")
	}
	listener, err := net.Listen(network, address)
	require.NoError(t, err)
	var mu sync.Mutex
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		for end, answer := range answers {
			if strings.HasSuffix(r.URL.Path, end) {
				answer, next, more := strings.Cut(answer, "\n")
				if more {
					answers[end] = next
				}
				w.Header().Set("Content-Type", "application/json")
				status, body, _ := strings.Cut(answer, " ")
				code, _ := strconv.Atoi(status)
				w.WriteHeader(code)
				_, _ = fmt.Fprint(w, body)
				return
			}
		}
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { assert.NoError(t, server.Close()) })
	return network + "://" + listener.Addr().String()
}

// listen has somebody at a port of this machine.
func listen(t *testing.T, address string) int {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, listener.Close()) })
	return listener.Addr().(*net.TCPAddr).Port
}

// Which way leads to a container: its address is 127.0.0.2 here, its host 127.0.0.1.
func TestWayToAContainer(t *testing.T) {
	const rootful, rootless, desktop = `200 {"SecurityOptions":["name=seccomp,profile=builtin"]}`,
		`200 {"SecurityOptions":["name=seccomp","name=rootless"]}`, `200 {"OperatingSystem":"Docker Desktop"}`
	own, published := listen(t, "127.0.0.2"), listen(t, "127.0.0.1")
	at := func(address string) []deploy.Port {
		return []deploy.Port{{Address: address, Host: published, Container: own, Protocol: "tcp"}}
	}
	rows := map[string]struct {
		network, info string
		c             deploy.Container
		to            string // what is connected to; empty: there is no way
	}{
		"its address":                      {"unix", rootful, deploy.Container{Address: "127.0.0.2", Spec: deploy.Spec{Ports: at("")}}, fmt.Sprint("127.0.0.2:", own)},
		"its address, nothing published":   {"unix", rootful, deploy.Container{Address: "127.0.0.2"}, fmt.Sprint("127.0.0.2:", own)},
		"no address":                       {"unix", rootful, deploy.Container{Spec: deploy.Spec{Ports: at("")}}, fmt.Sprint("127.0.0.1:", published)},
		"rootless":                         {"unix", rootless, deploy.Container{Address: "127.0.0.2", Spec: deploy.Spec{Ports: at("0.0.0.0")}}, fmt.Sprint("127.0.0.1:", published)},
		"desktop":                          {"unix", desktop, deploy.Container{Address: "127.0.0.2", Spec: deploy.Spec{Ports: at("127.0.0.1")}}, fmt.Sprint("127.0.0.1:", published)},
		"rootless, nothing published":      {"unix", rootless, deploy.Container{Address: "127.0.0.2"}, ""},
		"tcp":                              {"tcp", rootful, deploy.Container{Address: "127.0.0.2", Spec: deploy.Spec{Ports: at("::")}}, fmt.Sprint("127.0.0.1:", published)},
		"tcp, nothing published":           {"tcp", rootful, deploy.Container{Address: "127.0.0.2"}, ""},
		"another protocol":                 {"tcp", rootful, deploy.Container{Spec: deploy.Spec{Ports: []deploy.Port{{Host: published, Container: own, Protocol: "udp"}}}}, ""},
		"the host's network":               {"unix", rootful, deploy.Container{Spec: deploy.Spec{Security: deploy.Security{HostNetwork: true}}}, ""},
		"neither an address nor published": {"unix", rootful, deploy.Container{}, ""},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			e := open(t, fakeEngine(t, row.network, map[string]string{"/info": row.info}))
			row.c.Name = "app"
			conn, err := e.Dial(t.Context(), row.c, own)
			if row.c.Spec.Security.HostNetwork { // on 127.0.0.1 nobody listens at that port
				assert.ErrorContains(t, err, fmt.Sprint("cannot connect to 127.0.0.1:", own, ": connection refused"))
				assert.Equal(t, fault.Unhealthy, fault.CodeOf(err))
				return
			}
			if row.to == "" {
				require.Error(t, err)
				assert.Equal(t, fault.Precondition, fault.CodeOf(err))
				assert.ErrorContains(t, err, fmt.Sprintf("port %d of container app cannot be reached", own))
				assert.Contains(t, fault.Of(err).Hint, "deploy.ports")
				return
			}
			require.NoError(t, err)
			assert.Equal(t, row.to, conn.RemoteAddr().String())
			assert.NoError(t, conn.Close())
		})
	}
}

// Loopback of another machine is out of reach.
func TestPublishedOnTheirLoopback(t *testing.T) {
	e := open(t, "tcp://192.0.2.1:2375")
	c := deploy.Container{Spec: deploy.Spec{Ports: []deploy.Port{{Address: "127.0.0.1", Host: listen(t, "127.0.0.1"), Container: 80, Protocol: "tcp"}}}}
	_, err := e.Dial(t.Context(), c, 80)
	require.Error(t, err)
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
}

// What engines of other versions say, and what other runtimes say.
func TestWordsOfEngines(t *testing.T) {
	const inspected = `200 {"Id":"0123456789abcdef","Name":"/app","Config":{"Labels":{"homelab.service":"app"}},"State":{"Status":"created"},` +
		`"HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":"812"}],"81/tcp":[{"HostPort":"8123"}]}}}`
	rows := map[string]struct {
		said, message, hint string
		code                fault.Code
	}{
		"28": {
			"failed to set up container networking: driver failed programming external connectivity on endpoint app (ab): failed to bind host port 0.0.0.0:8123/tcp: address already in use",
			"port 8123 of the host is taken by something else", "docker ps --filter publish=8123", fault.Conflict,
		},
		"28, another container": {
			"failed to set up container networking: driver failed programming external connectivity on endpoint app (ab): Bind for :::8123 failed: port is already allocated",
			"port 8123 of the host is taken by something else", "docker ps --filter publish=8123", fault.Conflict,
		},
		"a port that nobody knows": {
			"Bind for 0.0.0.0:99 failed: port is already allocated", "a port of the host is taken by something else", "docker ps", fault.Conflict,
		},
		"crun": {
			"OCI runtime create failed: crun: executable file `/app` exec format error: unknown",
			"container app cannot run there: its program is for another processor (exec format error)", "hosts.NAME.system", fault.Precondition,
		},
		"a network that went": {
			"failed to set up container networking: network web not found", "network web not found", "docker network ls", fault.NotFound,
		},
		"no program": {
			`exec: "/nope": executable file not found in $PATH: unknown`, "says: exec", "see the log of the engine", fault.Precondition,
		},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			e := open(t, fakeEngine(t, "unix", map[string]string{"/start": fmt.Sprintf(`500 {"message":%q}`, row.said), "/json": inspected}))
			err := e.Start(t.Context(), "app")
			assert.ErrorIs(t, err, deploy.ErrRefused)
			assert.ErrorContains(t, err, row.message)
			assert.Equal(t, row.code, fault.CodeOf(err))
			assert.Contains(t, fault.Of(err).Hint, row.hint)
		})
	}
}

// An engine that has yet to notice that a command ended is asked again; what it
// does not start, it says.
func TestEndOfACommand(t *testing.T) {
	answers := map[string]string{
		"/app/json": `200 {"Id":"0123456789abcdef","Name":"/app","Config":{"Labels":{"homelab.service":"app"}},"HostConfig":{}}`,
		"/exec":     `201 {"Id":"x"}`, "/exec/x/start": "200 ",
		"/exec/x/json": `200 {"Running":true}` + "\n" + `200 {"Running":true}` + "\n" + `200 {"ExitCode":5}`,
	}
	exit, _, err := open(t, fakeEngine(t, "unix", answers)).Exec(t.Context(), "app", []string{"x"})
	require.NoError(t, err)
	assert.Equal(t, 5, exit)

	for answer, said := range map[string]string{`409 {"message":"container app is paused"}`: "says: container app is paused", "500 oops": "says: 500 Internal Server Error"} {
		answers["/exec/x/start"] = answer
		_, _, err = open(t, fakeEngine(t, "unix", answers)).Exec(t.Context(), "app", []string{"x"})
		assert.ErrorIs(t, err, deploy.ErrRefused)
		assert.ErrorContains(t, err, said)
	}
}

// A container that ends just when its restart policy is changed is asked again.
func TestRestartPolicyBetweenTwoRuns(t *testing.T) {
	const said = `500 {"message":"Cannot update container 0123: cannot update a stopped container: unknown"}`
	answers := map[string]string{
		"/app/json": `200 {"Id":"0123456789abcdef","Name":"/app","Config":{"Labels":{"homelab.service":"app"}},"HostConfig":{}}`,
		"/update":   said + "\n" + said + "\n200 {}",
	}
	require.NoError(t, open(t, fakeEngine(t, "unix", answers)).SetRestart(t.Context(), "app", "no"))
	answers["/update"] = said
	e := open(t, fakeEngine(t, "unix", answers))
	assert.ErrorContains(t, e.SetRestart(t.Context(), "app", "no"), "cannot update a stopped container")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	assert.ErrorIs(t, e.SetRestart(ctx, "app", "no"), context.DeadlineExceeded)
}
