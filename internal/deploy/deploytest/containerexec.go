package deploytest

import (
	"context"
	"fmt"
	"slices"

	"homelab/internal/deploy"
)

// ExecAs is part of [deploy.Containers].
func (m *Memory) ExecAs(ctx context.Context, id string, args []string, told func(exec string) error) (int, string, error) {
	unlock, err := m.enter(ctx, "exec")
	if err != nil {
		return 0, "", err
	}
	_, err = m.running(id)
	name := fmt.Sprint("exec", len(m.execs)+1)
	if err == nil {
		if m.execs == nil {
			m.execs = map[string]deploy.ExecState{}
		}
		m.execs[name] = deploy.ExecReady
	}
	unlock()
	if err != nil {
		return 0, "", err
	}
	if err := told(name); err != nil {
		return 0, "", err
	}
	m.mark(name, deploy.ExecRuns)
	type result struct {
		exit   int
		output string
		err    error
	}
	ended := make(chan result, 1)
	go func() {
		var r result
		r.exit, r.output, r.err = m.run(context.WithoutCancel(ctx), id, args)
		m.mark(name, deploy.ExecOver)
		ended <- r
	}()
	select {
	case r := <-ended:
		return r.exit, r.output, r.err
	case <-ctx.Done():
		return 0, "", ctx.Err()
	}
}

func (m *Memory) mark(exec string, state deploy.ExecState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.execs[exec] = state
}

// ExecState is part of [deploy.Containers].
func (m *Memory) ExecState(ctx context.Context, exec string) (deploy.ExecState, error) {
	unlock, err := m.enter(ctx, "execstate")
	if err != nil {
		return "", err
	}
	defer unlock()
	if state, known := m.execs[exec]; known {
		return state, nil
	}
	return deploy.ExecOver, nil
}

// Writers is part of [deploy.Containers].
func (m *Memory) Writers(ctx context.Context, mount deploy.Mount) ([]string, error) {
	unlock, err := m.enter(ctx, "writers")
	if err != nil {
		return nil, err
	}
	defer unlock()
	names := []string{}
	for _, c := range m.containers {
		writes := slices.ContainsFunc(c.Spec.Mounts, func(at deploy.Mount) bool { return !at.ReadOnly && mount.Shares(at) })
		if writes && (c.State == deploy.Running || c.State == deploy.Paused || c.State == deploy.Restarting) {
			names = append(names, c.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}
