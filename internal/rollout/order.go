package rollout

import (
	"context"
	"slices"
)

// Waits says of each of some services which others of them it depends on, itself or
// through services that are not among them.
func Waits(names []string, needs func(string) []string) map[string][]string {
	among := map[string]bool{}
	for _, name := range names {
		among[name] = true
	}
	all := make(map[string][]string, len(names))
	for _, name := range names {
		seen := map[string]bool{}
		list := []string{}
		for queue := slices.Clone(needs(name)); len(queue) > 0; queue = queue[1:] {
			next := queue[0]
			if seen[next] {
				continue
			}
			seen[next] = true
			if among[next] {
				list = append(list, next)
				continue // who waits for it waits for what it waits for
			}
			queue = append(queue, needs(next)...)
		}
		slices.Sort(list)
		all[name] = list
	}
	return all
}

// sorted are the services of [Waits], each after those that it waits for, and by name
// where that leaves a choice. There is no cycle among those of a valid registry.
func sorted(waits map[string][]string) []string {
	names := make([]string, 0, len(waits))
	for name := range waits {
		names = append(names, name)
	}
	slices.Sort(names)
	placed := map[string]bool{}
	order := make([]string, 0, len(names))
	var place func(string)
	place = func(name string) {
		if placed[name] {
			return
		}
		placed[name] = true
		for _, first := range waits[name] {
			place(first)
		}
		order = append(order, name)
	}
	for _, name := range names {
		place(name)
	}
	return order
}

// Each does something for each of some services, at most limit at a time: for one
// after those that it waits for, and not at all when one of them failed, or ctx is
// over. What is not done is told to skip, with the service that failed; empty: there
// was no time. Neither is called twice for one service; they may be called at once
// for several.
func Each(ctx context.Context, waits map[string][]string, limit int, do func(name string) error, skip func(name, because string)) {
	type end struct {
		name string
		err  error
	}
	ends := make(chan end)
	order := sorted(waits)
	over, failed := map[string]bool{}, map[string]string{} // failed: because of which
	busy := 0
	for {
		waiting := order[:0:0]
		for _, name := range order {
			because, ready := "", true
			for _, first := range waits[name] {
				ready = ready && over[first]
				if cause, bad := failed[first]; bad && because == "" {
					because = cause
				}
			}
			switch {
			case because != "" || ctx.Err() != nil:
				over[name], failed[name] = true, because
				skip(name, because)
			case !ready || busy == limit:
				waiting = append(waiting, name)
			default:
				busy++
				go func() { ends <- end{name, do(name)} }() // waited for: it is busy until its end is read
			}
		}
		order = waiting
		if busy == 0 && len(order) == 0 {
			return
		}
		e := <-ends
		busy--
		over[e.name] = true
		if e.err != nil {
			failed[e.name] = e.name
		}
	}
}
