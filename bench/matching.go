package main

import (
	"fmt"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"homelab/internal/hint"
)

// matching compares matching 10,000 paths against the 10,000 hints of 1,000
// services with asking doublestar about every pair. The latter is measured on
// every hundredth path.
func matching() (row, error) {
	s := sizes[1]
	var texts []string
	for i := range s.services {
		texts = append(texts, s.hints(i)...)
	}
	paths := s.paths()[:10000]
	const every = 100

	var ours, theirs time.Duration
	matched, expected := 0, 0
	ours, err := timed(func() error {
		set, err := hint.Compile(texts)
		if err != nil {
			return err
		}
		m := set.Matcher()
		for _, path := range paths {
			matched += len(m.Match(path))
		}
		return nil
	})
	if err != nil {
		return row{}, err
	}
	theirs, err = timed(func() error {
		for i := 0; i < len(paths); i += every {
			for _, text := range texts {
				// A folder takes what is below it, which doublestar spells with **.
				ok, err := doublestar.Match(text, paths[i])
				if err == nil && !ok {
					ok, err = doublestar.Match(text+"/**", paths[i])
				}
				if err != nil {
					return err
				}
				if ok {
					expected++
				}
			}
		}
		return nil
	})
	if err != nil {
		return row{}, err
	}
	if matched == 0 || expected == 0 {
		return row{}, fmt.Errorf("nothing matches: %d, %d", matched, expected)
	}
	theirs *= every
	return row{
		what: "10,000 paths × 1,000 services × 10 hints", ours: "one trie, compiled and walked", theirs: "doublestar for every pair",
		our: ours, their: theirs, ratio: float64(ours) / float64(theirs), bound: "≤ 0.01",
	}, nil
}
