package restic

import (
	"archive/tar"
	"context"
	"encoding/json"
	"io"
	"strings"

	"homelab/internal/bundle"
	"homelab/internal/command"
	"homelab/internal/fault"
	"homelab/internal/state"
)

// snapshotBundle is a [state.Bundle].
type snapshotBundle struct {
	repository *Repository
	id         string // of the snapshot
	manifest   *manifest
}

func (r *Repository) Open(ctx context.Context, service, id string, trust bundle.Trust) (state.Bundle, error) {
	found, err := r.find(ctx, service, id)
	if err != nil {
		return nil, err
	}
	if len(trust.Authors) > 0 {
		return nil, fault.Newf(fault.Denied, "whoever has the password of the repository can write there: trust it without a signature if that is enough",
			"bundles in %s are not signed, and only signed ones are trusted", r.Name())
	}
	text, err := r.run(ctx, "dump", noCache, found.ID, "/"+manifestName)
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(text)
	if err != nil {
		return nil, err
	}
	if err := state.CheckID(id, m.Manifest); err != nil {
		return nil, err
	}
	if err := trust.Limits.Check(m.Totals()); err != nil {
		return nil, err
	}
	return &snapshotBundle{r, found.ID, m}, nil
}

func parseManifest(text []byte) (*manifest, error) {
	m := &manifest{Manifest: &bundle.Manifest{}}
	err := json.Unmarshal(text, m)
	if m.Format == formatName && m.Version > formatVersion {
		return nil, fault.Newf(fault.BundleIncompatible, "use the homelab that wrote it, or a newer one",
			"the bundle has format %d, and this homelab knows format %d", m.Version, formatVersion)
	}
	if err != nil || m.Format != formatName || len(m.Bases) != len(m.Items) {
		return nil, fault.New(fault.BundleCorrupt, "this is no bundle that homelab keeps with restic", "use another bundle")
	}
	for _, base := range m.Bases {
		if base == "" || base == "." || base == ".." || strings.ContainsAny(base, "/\x00") {
			return nil, fault.Newf(fault.BundleCorrupt, "use another bundle", "the bundle has an item called %.100q", base)
		}
	}
	return m, nil
}

func (b *snapshotBundle) Manifest() *bundle.Manifest { return b.manifest.Manifest }

func (b *snapshotBundle) Close() error { return nil }

func (b *snapshotBundle) report() bundle.Report {
	return bundle.Report{Totals: b.manifest.Totals(), Index: b.id, Skipped: []bundle.Skipped{}}
}

// noCache keeps restic from reading what it has on this machine instead of what is in
// the repository, which may be damaged.
const noCache = "--no-cache"

// Verify has restic read all of the snapshot, which decrypts it and compares every
// part with its digest, and counts what comes.
func (b *snapshotBundle) Verify(ctx context.Context) (*bundle.Report, error) {
	pipe, err := command.Start(ctx, b.repository.command("", []string{"dump", noCache, "--archive", "tar", b.id, "/"}))
	if err != nil {
		return nil, err
	}
	defer pipe.Close()
	entries, wrong := count(tar.NewReader(pipe))
	if wrong == nil {
		_, wrong = io.Copy(io.Discard, pipe)
	}
	_ = pipe.CloseWrite() // it reads nothing
	result := pipe.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case result.Exit != 0:
		return nil, b.repository.explain(result)
	case wrong != nil:
		return nil, fault.Newf(fault.BundleCorrupt, "use another bundle", "what restic reads of the bundle is cut short: %w", wrong)
	}
	report := b.report()
	if entries != report.Entries {
		return nil, b.incomplete(entries)
	}
	return &report, nil
}

func (b *snapshotBundle) incomplete(entries int64) error {
	return fault.Newf(fault.BundleCorrupt, "use another bundle", "the bundle holds %d entries, and says it holds %d", entries, b.manifest.Totals().Entries)
}

// count reads an archive to its end, and counts what is in items.
func count(archive *tar.Reader) (entries int64, err error) {
	for {
		h, err := archive.Next()
		if err == io.EOF {
			return entries, nil
		}
		if err != nil {
			return entries, err
		}
		path := strings.Trim(h.Name, "/")
		if strings.HasPrefix(path, "items/") && strings.Count(path, "/") >= 2 {
			entries++
		}
		if _, err := io.Copy(io.Discard, archive); err != nil {
			return entries, err
		}
	}
}
