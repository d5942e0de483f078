package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"homelab/internal/command"
)

// engine is a Docker engine of the benchmark's own: it has namespaces of its own for
// network and mounts, and keeps all in a folder.
type engine struct {
	run  runner
	dir  string
	pipe *command.Pipe
}

// startEngine starts an engine, with a bridge or without a network.
func (r runner) startEngine(dir string, bridge ...string) (*engine, error) {
	e := &engine{run: r, dir: dir}
	var err error
	e.pipe, err = command.Start(r.ctx, command.Cmd{
		Name: "unshare", Install: "this row needs root, util-linux, iproute2 and docker.io",
		Args: append([]string{"--net", "--mount", "sh", "-c", `ip link set lo up && exec dockerd "$@"`, "dockerd", "--data-root", e.in("data"), "--exec-root", e.in("exec"), "--pidfile", e.in("pid"),
			"--host", e.url()}, bridge...),
	})
	if err != nil {
		return nil, err
	}
	for range 300 {
		if conn, err := new(net.Dialer).DialContext(r.ctx, "unix", e.in("docker.sock")); err == nil {
			return e, conn.Close()
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil, errors.Join(errors.New("the engine is not ready after 30 s"), e.pipe.Close())
}

func (e *engine) in(name string) string { return filepath.Join(e.dir, name) }

func (e *engine) url() string { return "unix://" + e.in("docker.sock") }

// stop ends the engine by itself, with its containers: what is killed leaves them.
func (e *engine) stop() error {
	const patience = time.Minute
	pid, err := e.pid()
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGTERM)
	}
	if err == nil {
		select {
		case <-e.pipe.Done():
		case <-time.After(patience):
			err = fmt.Errorf("the engine did not end in %s", patience)
		}
	}
	return errors.Join(err, e.pipe.Close())
}

func (e *engine) pid() (int, error) {
	raw, err := os.ReadFile(e.in("pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(raw)))
}

// docker runs a docker command on the engine.
func (e *engine) docker(args ...string) error {
	return e.run.ok(command.Cmd{Name: "docker", Args: append([]string{"--host", e.url()}, args...)})
}

// inside is a command where the network is that of the engine.
func (e *engine) inside(c command.Cmd) (command.Cmd, error) {
	pid, err := e.pid()
	c.Name, c.Args = "nsenter", append([]string{fmt.Sprintf("--net=/proc/%d/ns/net", pid), c.Name}, c.Args...)
	c.Env = append(c.Env, "DOCKER_HOST="+e.url())
	return c, err
}
