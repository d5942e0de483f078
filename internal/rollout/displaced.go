package rollout

import (
	"fmt"
	"strings"

	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/plan"
	"homelab/registry"
)

// displaced are the items of a service that a container which mounts was has elsewhere than
// one that mounts will, recomputable ones apart.
func displaced(s registry.Service, was *deploy.Container, will []deploy.Mount) []deploy.Displaced {
	if was == nil || s.State == nil {
		return nil
	}
	return deploy.Kept(deploy.DisplacedItems(s.State.Items, was.Spec.Mounts, will))
}

// withoutState warns of state that stays behind when a version is to have it elsewhere.
func (w Wanted) withoutState() []plan.Warning {
	spec, err := deploy.NewSpec(w.Name, w.Service, w.Host, "")
	all := displaced(w.Service, w.There, spec.Mounts)
	if err != nil || len(all) == 0 {
		return nil
	}
	places, hint := []string{}, ""
	for _, d := range all[:min(len(all), 10)] {
		places = append(places, d.From.Name()+", and is to be "+d.Item.Name())
		if d.Why != nil && hint == "" {
			f := fault.Of(d.Why)
			hint = f.Message + ": " + f.Hint
		}
	}
	if hint == "" {
		hint = "move it along: " + deploy.MoveWithin(w.Name, w.Service.HostOf())
	}
	return []plan.Warning{{
		Code: "stateElsewhere", Hint: hint,
		Message: fmt.Sprintf("%s would start without its state, which stays where it is: %s", w.Name, strings.Join(places, "; ")),
	}}
}

// olderState warns of state that an earlier version has elsewhere.
func (s Standing) olderState(to *deploy.Container) []plan.Warning {
	if s.Current == nil || to.ID == s.Current.ID {
		return nil
	}
	places := []string{}
	for _, d := range displaced(s.Service, to, s.Current.Spec.Mounts) {
		places = append(places, fmt.Sprintf("%s, and not %s", d.From.Name(), d.Item.Name()))
	}
	if len(places) == 0 {
		return nil
	}
	return []plan.Warning{{
		Code: "stateElsewhere", Hint: "what came since stays behind; to keep it, name the place from before in the registry, and move it: " + deploy.MoveWithin(s.Name, s.Host),
		Message: fmt.Sprintf("generation %d has the state of then: %s", to.Generation(), strings.Join(places[:min(len(places), 10)], "; ")),
	}}
}
