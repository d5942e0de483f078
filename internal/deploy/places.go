package deploy

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"homelab/internal/durable"
)

// place is a service on a host. Journal and ledger keep a file for each in their
// folder: HOST/SERVICE.json.
type place struct{ host, service string }

const placeEnd = ".json"

func (p place) file(dir string) string { return filepath.Join(dir, p.host, p.service+placeEnd) }

// write keeps a value, in place of an earlier one.
func (p place) write(dir string, value any) error {
	path := p.file(dir)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return durable.Explain(err)
	}
	content, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return durable.WriteFile(path, content)
}

// read is what was written; nil: nothing was.
func (p place) read(dir string) ([]byte, error) {
	content, err := os.ReadFile(p.file(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, durable.Explain(err)
	}
	return content, nil
}

// places are those that a folder has a file for, by host and service, and what cannot
// be looked at. The folder need not be there.
func places(dir string) ([]place, []error) {
	found, failed := []place{}, []error{}
	for _, host := range names(dir, &failed) {
		for _, file := range names(filepath.Join(dir, host), &failed) {
			// What has another name a crash has left, before it was a file.
			if service, is := strings.CutSuffix(file, placeEnd); is {
				found = append(found, place{host, service})
			}
		}
	}
	slices.SortFunc(found, func(a, b place) int {
		return cmp.Or(strings.Compare(a.host, b.host), strings.Compare(a.service, b.service))
	})
	return found, failed
}

// names lists what is in a folder, which need not be there.
func names(folder string, failed *[]error) []string {
	found, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		*failed = append(*failed, durable.Explain(err))
	}
	list := make([]string, len(found))
	for i, entry := range found {
		list[i] = entry.Name()
	}
	return list
}
