package main

import (
	"archive/tar"
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"homelab/internal/command"
	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/registry"
)

const (
	runRounds   = 7
	servicePort = "18080"
	composePort = "18081"
)

// server is a repository with one service, which has a fixed port, and the engine
// that it runs on.
type server struct {
	*engine
	repo    string
	version int
	said    []time.Duration // outages that homelab told
}

// runs compares putting a version in the place of another with a stop and a start,
// as the clients of the service see it.
func (r runner) runs(dir string) (rows []row, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	e, err := r.startEngine(dir, "--bip", "10.231.9.1/24")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.stop()) }()
	s := &server{engine: e, repo: filepath.Join(dir, "repo")}
	if err := s.prepare(s.registry("", ""), ""); err != nil {
		return nil, err
	}
	if err := s.deploy(); err != nil {
		return nil, err
	}
	rows, err = s.switches()
	if err != nil {
		return nil, err
	}
	status, err := s.status()
	return append(rows, status), err
}

// switches has the rows in which a service is away for a while. Each way is taken in
// turn.
func (s *server) switches() ([]row, error) {
	load, up, err := s.compose()
	if err != nil {
		return nil, err
	}
	ways := []struct {
		port    string
		prepare func() error
		do      func() error
	}{
		{servicePort, func() error { return s.build("") }, s.deploy},
		{servicePort, func() error { return nil }, s.restart},
		{servicePort, func() error { return s.build(`,"Cmd":["crash"]`) }, s.crash},
		{composePort, load, up},
	}
	if up == nil {
		ways = ways[:3]
	}
	outages := make([][]time.Duration, 4)
	for range runRounds {
		for i, way := range ways {
			if err := way.prepare(); err != nil {
				return nil, err
			}
			outage, err := s.outage(way.port, way.do)
			if err != nil {
				return nil, err
			}
			outages[i] = append(outages[i], outage)
		}
	}
	const restart = "`docker stop && docker start` of that container"
	replaced := row{what: "outage of a service on a fixed port, while its next version takes its place", ours: "`homelab docker run`", theirs: restart, bound: "≤ 1.1"}
	crashed := row{what: "the same, when the next version ends at its start", ours: "`homelab docker run`, until the one before answers", theirs: restart, bound: "≤ 1.5"}
	composed := row{what: replaced.what, ours: replaced.ours, theirs: "`docker compose up` of the next version"}
	replaced.ours += ", which says " + show(median(s.said[1:])) // the first one had nothing before it
	replaced.compare(outages[0], outages[1])
	crashed.compare(outages[2], outages[1])
	if up == nil {
		composed.theirs += ": it was not there"
		return []row{replaced, crashed, composed}, nil
	}
	composed.compare(outages[0], outages[3])
	return []row{replaced, crashed, composed}, nil
}

// compare fills in what pairs of runs took.
func (r *row) compare(ours, theirs []time.Duration) {
	var ratios []float64
	for i := range ours {
		ratios = append(ratios, float64(ours[i])/float64(theirs[i]))
	}
	r.our, r.their, r.ratio = median(ours), median(theirs), median(ratios)
}

// prepare makes the repository: the archive of the image lies in it, and is built by
// a copy.
func (s *server) prepare(reg, runs string) error {
	system := registry.SystemOf("linux", runtime.GOARCH)
	flake := fmt.Sprintf(`{
  outputs = _: {
    packages.%s.web = derivation {
      name = "web.tar"; system = %q; builder = "/bin/sh"; PATH = "/usr/bin:/bin"; __noChroot = true;
      archive = ./web.tar; args = [ "-c" "cp $archive $out" ];
    };
  };
}
`, system, system)
	for path, content := range map[string]string{"flake.nix": flake, "homelab.json": reg, "web.tar": ""} {
		if err := write(filepath.Join(s.repo, path), content); err != nil {
			return err
		}
	}
	if err := s.run.commit(s.repo); err != nil {
		return err
	}
	return s.build(runs)
}

// registry has one service, of which more may be said.
func (s *server) registry(deploy, service string) string {
	system := registry.SystemOf("linux", runtime.GOARCH)
	return fmt.Sprintf(`{"version": 1, "services": {"web": {
  "build": {"targets": {%q: "packages.%s.web"}}, "hints": ["web.tar"],
  "deploy": {"ports": ["%s:8080"], "health": {"kind": "http", "port": 8080}%s}%s
}}}`, system, system, servicePort, deploy, service)
}

// build builds a version that never was, whose config says what else it runs.
func (s *server) build(runs string) error {
	if err := s.archive(filepath.Join(s.repo, "web.tar"), "web:latest", runs); err != nil {
		return err
	}
	return s.run.ok(s.homelab("build", "web"))
}

// archive writes an image of the service.
func (s *server) archive(path, name, runs string) error {
	s.version++
	layer := filepath.Join(s.dir, "layer.tar")
	if err := s.writeService(layer); err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	config := fmt.Sprintf(`{"Entrypoint":["/service"],"Env":["VERSION=%d-%d"]%s}`, os.Getpid(), s.version, runs)
	return errors.Join(packLayers(tar.NewWriter(file), []string{layer}, name, config), file.Close())
}

func (s *server) writeService(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	w := tar.NewWriter(file)
	return errors.Join(addFile(w, w, s.run.service, "service"), w.Close(), file.Close())
}

func (s *server) homelab(args ...string) command.Cmd {
	return command.Cmd{Name: s.run.homelab, Args: append(args, "--json", "--registry", "homelab.json"), Dir: s.repo}
}

// answers has homelab do something where the engine's network is.
func (s *server) answers(answer any, args ...string) error {
	c, err := s.inside(s.homelab(args...))
	if err != nil {
		return err
	}
	result, err := s.run.do(c)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(result.Stdout, answer); err != nil || result.Exit != 0 {
		return fmt.Errorf("homelab %q ended with status %d: %s", args, result.Exit, result.FirstLine())
	}
	return nil
}

// deploy has the version that was built run.
func (s *server) deploy() error {
	var answer deploy.RunReport
	if err := s.answers(&answer, "docker", "run", "web"); err != nil {
		return err
	}
	s.said = append(s.said, time.Duration(answer.Run.Downtime*float64(time.Second)))
	return nil
}

// crash is deploy of a version that must not come up.
func (s *server) crash() error {
	c, err := s.inside(s.homelab("docker", "run", "web"))
	if err != nil {
		return err
	}
	result, err := s.run.do(c)
	if err == nil && result.Exit != fault.Unhealthy.Exit() {
		err = fmt.Errorf("a version that crashes ended with status %d: %s", result.Exit, result.FirstLine())
	}
	return err
}

func (s *server) restart() error {
	return s.run.ok(command.Cmd{Name: "sh", Args: []string{"-c", "docker stop web && docker start web"}, Env: []string{"DOCKER_HOST=" + s.url()}})
}

// outage is how long nobody answered at a port while something was done.
func (s *server) outage(port string, do func() error) (outage time.Duration, err error) {
	c, err := s.inside(command.Cmd{Name: s.run.service, Args: []string{"watch", "127.0.0.1:" + port}})
	if err != nil {
		return 0, err
	}
	watch, err := command.Start(s.run.ctx, c)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, watch.Close()) }()
	lines := bufio.NewReader(watch)
	if _, err := lines.ReadString('\n'); err != nil {
		return 0, fmt.Errorf("nobody answers at port %s: %w", port, err)
	}
	if err := do(); err != nil {
		return 0, err
	}
	if err := watch.CloseWrite(); err != nil {
		return 0, err
	}
	line, err := lines.ReadString('\n')
	if err != nil {
		return 0, err
	}
	nanoseconds, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	return time.Duration(nanoseconds), err
}
