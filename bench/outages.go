package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"homelab/internal/command"
	"homelab/internal/state"
)

const outageRounds = 3

// keeper is a service on a fixed port that writes to its volume all the while.
type keeper struct {
	*server
	away map[string][]time.Duration // by what was done, and the MiB that were there
}

// outages compares how long a service is away while its state is captured: with rsync
// before and after it is stopped, and with less state.
func (r runner) outages(dir string) (rows []row, err error) {
	if r.version("rsync") == "no rsync" {
		return nil, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	e, err := r.startEngine(dir, "--bip", "10.231.9.1/24")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.stop()) }()
	k := &keeper{server: &server{engine: e, repo: filepath.Join(dir, "repo")}, away: map[string][]time.Duration{}}
	if err := k.prepare(k.keeps("stop"), `,"Cmd":["write","/data"]`); err != nil {
		return nil, err
	}
	for _, mib := range []int{256, 1024, 2048, 4096} {
		if err := k.measure(mib); err != nil {
			return nil, err
		}
	}
	const instead = "`rsync`, `rsync`, `docker stop`, `rsync`, `docker start`"
	for _, c := range []struct{ quiesce, bound string }{{"stop", "≤ 0.6"}, {"pause", "≤ 0.25"}} {
		ours := "`homelab state bundle`, quiesce `" + c.quiesce + "`"
		of := func(mib int) []time.Duration { return k.away[key(c.quiesce, mib)] }
		all := row{what: "outage of a service that writes all the while, to capture 2 GiB in 40,000 files", ours: ours, theirs: instead, bound: c.bound}
		all.compare(of(2048), k.away[key("rsync", 2048)])
		rows = append(rows, all)
		for _, mib := range []int{1024, 4096} {
			more := row{what: fmt.Sprintf("the same, of %d GiB", mib>>10), ours: ours, theirs: "the same, of 0.25 GiB", bound: "≤ 2"}
			more.compare(of(mib), of(256))
			rows = append(rows, more)
		}
	}
	return rows, nil
}

func key(how string, mib int) string { return fmt.Sprint(how, " ", mib) }

// keeps is the registry when the service comes to rest in a way.
func (k *keeper) keeps(quiesce string) string {
	return k.registry(`, "volumes": [{"name": "data", "target": "/data"}]`,
		fmt.Sprintf(`, "state": {"items": [{"volume": "data"}], "quiesce": {"kind": %q}, "stores": [%q]}`, quiesce, k.in("store")))
}

// measure has the service keep so much, and captures it each way in turn.
func (k *keeper) measure(mib int) error {
	t := tree{k.in("data/volumes/data/_data"), mib << 20}
	if err := errors.Join(k.docker("volume", "create", "data"), t.generate(), k.deploy()); err != nil {
		return err
	}
	ways := []string{"stop", "pause", "rsync"}
	if mib != 2048 {
		ways = ways[:2]
	}
	for range outageRounds {
		for _, how := range ways {
			outage, err := k.outage(servicePort, func() error {
				if how == "rsync" {
					return k.rsync(t.dir)
				}
				return k.bundle(how)
			})
			if err != nil {
				return err
			}
			k.away[key(how, mib)] = append(k.away[key(how, mib)], outage)
			if err := errors.Join(os.RemoveAll(k.in("store")), os.RemoveAll(k.in("copy"))); err != nil {
				return err
			}
		}
	}
	return errors.Join(k.docker("rm", "--force", "web"), k.docker("volume", "rm", "data"))
}

// bundle captures what the service keeps, which comes to rest in a way for it.
func (k *keeper) bundle(quiesce string) error {
	if err := errors.Join(os.MkdirAll(k.in("store"), 0o700), write(filepath.Join(k.repo, "homelab.json"), k.keeps(quiesce))); err != nil {
		return err
	}
	return k.answers(new(state.BundleReport), "state", "bundle", "web")
}

// rsync is what a person would do who wants a copy of a service that is at rest.
func (k *keeper) rsync(from string) error {
	return k.run.ok(command.Cmd{Name: "sh", Env: []string{"DOCKER_HOST=" + k.url()}, Args: []string{"-ec",
		`rsync -a "$1/" "$2"; rsync -a "$1/" "$2"; docker stop web; rsync -a "$1/" "$2"; docker start web`, "sh", from, k.in("copy")}})
}
