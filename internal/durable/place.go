package durable

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Place is a service on a host. Who keeps a file for each has it at
// HOST/SERVICE.json of a folder.
type Place struct{ Host, Service string }

const placeEnd = ".json"

// File is the path of the file in a folder.
func (p Place) File(dir string) string { return filepath.Join(dir, p.Host, p.Service+placeEnd) }

// Write keeps a value as JSON, in place of an earlier one.
func (p Place) Write(dir string, value any) error {
	path := p.File(dir)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return Explain(err)
	}
	content, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return WriteFile(path, content)
}

// Read is what was written; nil: nothing was.
func (p Place) Read(dir string) ([]byte, error) {
	content, err := os.ReadFile(p.File(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, Explain(err)
	}
	return content, nil
}

// Remove removes the file; one that is not there is no error.
func (p Place) Remove(dir string) error {
	if err := os.Remove(p.File(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Explain(err)
	}
	return nil
}

// Places are those that a folder has a file for, by host and service, and what cannot
// be looked at. The folder need not be there.
func Places(dir string) ([]Place, []error) {
	found, failed := []Place{}, []error{}
	for _, host := range names(dir, &failed) {
		for _, file := range names(filepath.Join(dir, host), &failed) {
			// What has another name a crash has left, before it was a file.
			if service, is := strings.CutSuffix(file, placeEnd); is {
				found = append(found, Place{host, service})
			}
		}
	}
	slices.SortFunc(found, func(a, b Place) int {
		return cmp.Or(strings.Compare(a.Host, b.Host), strings.Compare(a.Service, b.Service))
	})
	return found, failed
}

// names lists what is in a folder, which need not be there.
func names(folder string, failed *[]error) []string {
	found, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		*failed = append(*failed, Explain(err))
	}
	list := make([]string, len(found))
	for i, entry := range found {
		list[i] = entry.Name()
	}
	return list
}
