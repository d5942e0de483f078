package deploytest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"homelab/internal/deploy"
	"homelab/internal/fault"
)

// Isolate is part of [deploy.Drills].
func (m *Memory) Isolate(ctx context.Context, drill string) error {
	unlock, err := m.enter(ctx, "isolate")
	if err != nil {
		return err
	}
	defer unlock()
	name := deploy.DrillName(drill)
	if m.networks[name] {
		return refuseAs(fault.Conflict, "network with name %s already exists", name)
	}
	if m.networks == nil {
		m.networks = map[string]bool{}
	}
	m.networks[name] = true
	return nil
}

// Fresh is part of [deploy.Drills]. The volumes are nowhere.
func (m *Memory) Fresh(ctx context.Context, drill, name string) (string, error) {
	unlock, err := m.enter(ctx, "fresh")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, there := m.volumes[name]; there || !strings.HasPrefix(name, deploy.DrillVolume(drill, "")) {
		return "", fault.Newf(fault.Conflict, "see whose it is", "volume %s is not of drill %s", name, drill)
	}
	if m.volumes == nil {
		m.volumes = map[string]deploy.Volume{}
	}
	m.volumes[name] = deploy.Volume{Name: name, Driver: "local"}
	return Nowhere + "/" + name, nil
}

// Copy is part of [deploy.Drills].
func (m *Memory) Copy(ctx context.Context, c deploy.Copy) (string, error) {
	if err := errors.Join(ctx.Err(), c.Isolated()); err != nil {
		return "", err
	}
	for _, mount := range slices.Concat(c.Spec.Mounts, c.Files) {
		if mount.Volume != "" && !m.hasVolume(mount.Volume) {
			return "", refuseAs(fault.NotFound, "no such volume: %s", mount.Volume)
		}
	}
	id, err := m.Create(ctx, deploy.DrillName(c.Drill), c.Spec, map[string]string{deploy.LabelDrill: c.Drill})
	if err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.containers[id].Labels, deploy.LabelService)
	return id, nil
}

func (m *Memory) hasVolume(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, there := m.volumes[name]
	return there
}

// Clear is part of [deploy.Drills].
func (m *Memory) Clear(ctx context.Context, drill string) error {
	unlock, err := m.enter(ctx, "clear")
	if err != nil {
		return err
	}
	defer unlock()
	if drill == "" {
		return errors.New("a drill without a name")
	}
	maps.DeleteFunc(m.containers, func(_ string, c *contained) bool { return c.Labels[deploy.LabelDrill] == drill })
	delete(m.networks, deploy.DrillName(drill))
	maps.DeleteFunc(m.volumes, func(name string, _ deploy.Volume) bool { return strings.HasPrefix(name, deploy.DrillVolume(drill, "")) })
	return nil
}

// Drilled is what there is of drills: containers, networks and volumes.
func (m *Memory) Drilled() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := []string{}
	for _, c := range m.containers {
		if c.Labels[deploy.LabelDrill] != "" {
			found = append(found, c.Name)
		}
	}
	for _, name := range slices.Concat(slices.Collect(maps.Keys(m.networks)), slices.Collect(maps.Keys(m.volumes))) {
		if strings.HasPrefix(name, deploy.DrillName("")) {
			found = append(found, name)
		}
	}
	return found
}
