package bundle

import (
	"bytes"
	"encoding/json"
	"strings"

	"homelab/internal/fault"
)

// encode is manifest.json.
func (m *Manifest) encode() ([]byte, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetIndent("", "  ")
	err := e.Encode(struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
		*Manifest
	}{formatName, formatVersion, m})
	if err != nil {
		return nil, fault.Newf(fault.InvalidArgument, "", "about is not JSON: %w", err)
	}
	if text.Len() > maxManifest {
		return nil, fault.Newf(fault.InvalidArgument, "say less about it", "the manifest has %d bytes, more than %d", text.Len(), maxManifest)
	}
	return text.Bytes(), nil
}

// parseManifest reads manifest.json. Fields that it does not know are ignored.
func parseManifest(text []byte) (*Manifest, error) {
	var format struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
	}
	err := json.Unmarshal(text, &format)
	switch {
	case err != nil || format.Format != formatName:
		return nil, foreign()
	case format.Version > formatVersion:
		return nil, fault.Newf(fault.BundleIncompatible, "use the homelab that wrote it, or a newer one",
			"the bundle has format %d, and this homelab knows format %d", format.Version, formatVersion)
	}
	m := &Manifest{}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, corrupt("manifest.json cannot be read: %.200s", err)
	}
	if len(m.Items) > maxItems {
		return nil, corrupt("the bundle says it has %d items, more than %d", len(m.Items), maxItems)
	}
	for i := range m.Items {
		t := m.Items[i].Totals
		if t.Entries < 1 || t.Stored < 0 || t.Stored > t.Bytes || t.Skipped < 0 || max(t.Entries, t.Bytes, t.Skipped) > maxTotal {
			return nil, corrupt("item %d has impossible totals", i)
		}
	}
	return m, nil
}

// Totals are those of all items.
func (m *Manifest) Totals() Totals {
	var all Totals
	for i := range m.Items {
		all.add(m.Items[i].Totals)
	}
	return all
}

// mustSeal says whether something of it is for few eyes only.
func (m *Manifest) mustSeal() bool {
	for i := range m.Items {
		if strings.EqualFold(m.Items[i].Class, ClassSecret) {
			return true
		}
	}
	return false
}
