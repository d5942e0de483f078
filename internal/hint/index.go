package hint

import "slices"

// crowd is how many glob siblings are tried one after the other; above it
// those with a literal end are looked up by it.
const crowd = 8

// index finds, among many globs, those that a name can match: each by its
// longer literal end.
type index struct {
	heads, tails map[string][]int32
	// The lengths that occur, ascending.
	headLengths, tailLengths []int
}

// anchored reports whether g has a literal end to be found by.
func (g *glob) anchored() bool { return g.head != "" || g.tail != "" }

func (x *index) add(id int32, g *glob) {
	if len(g.head) >= len(g.tail) {
		put(&x.heads, &x.headLengths, g.head, id)
	} else {
		put(&x.tails, &x.tailLengths, g.tail, id)
	}
}

func put(ends *map[string][]int32, lengths *[]int, end string, id int32) {
	if *ends == nil {
		*ends = map[string][]int32{}
	}
	(*ends)[end] = append((*ends)[end], id)
	if at, found := slices.BinarySearch(*lengths, len(end)); !found {
		*lengths = slices.Insert(*lengths, at, len(end))
	}
}

// find appends the globs that match name.
func (x *index) find(globs []*glob, name string, found []int32) []int32 {
	for _, n := range x.headLengths {
		if n > len(name) {
			break
		}
		found = keep(globs, x.heads[name[:n]], name, found)
	}
	for _, n := range x.tailLengths {
		if n > len(name) {
			break
		}
		found = keep(globs, x.tails[name[len(name)-n:]], name, found)
	}
	return found
}

func keep(globs []*glob, ids []int32, name string, found []int32) []int32 {
	for _, id := range ids {
		if globs[id].match(name) {
			found = append(found, id)
		}
	}
	return found
}
