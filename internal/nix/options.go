package nix

import (
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"homelab/internal/fault"
)

// Options are settings of nix.conf that the user gave for all commands of Nix:
// which caches and builders to use, and how hard to try. The zero value leaves
// them to nix.conf, but for [ConnectTimeout] and [DownloadAttempts], so that a
// cache that does not answer cannot hold up a build for minutes.
//
// Options are values, and safe for concurrent use.
type Options struct {
	values map[string]string
}

// What every command of Nix is given unless the user gave another: a cache that
// does not answer costs ten seconds, where Nix by itself tries it for minutes.
// One attempt would build the world anew where a single packet was lost.
const (
	ConnectTimeout   = 5 // seconds
	DownloadAttempts = 2
)

var defaults = map[string]string{
	"connect-timeout":   strconv.Itoa(ConnectTimeout),
	"download-attempts": strconv.Itoa(DownloadAttempts),
}

// settings are the names that the user may give, and which values they take.
// Not here, and so for nix.conf only: what weakens the sandbox or the checks
// of signatures, what runs programs or loads code, and what is secret.
var settings = map[string]func(value string) bool{
	"builders":                  anything,
	"builders-use-substitutes":  yesOrNo,
	"connect-timeout":           number,
	"cores":                     number,
	"download-attempts":         number,
	"extra-platforms":           anything,
	"extra-substituters":        anything,
	"extra-trusted-public-keys": anything,
	"fallback":                  yesOrNo,
	"http-connections":          number,
	"log-lines":                 number,
	"max-build-log-size":        number,
	"max-jobs":                  func(value string) bool { return value == "auto" || number(value) },
	"max-silent-time":           number,
	"stalled-download-timeout":  number,
	"store":                     func(value string) bool { return value != "" },
	"substitute":                yesOrNo,
	"substituters":              anything,
	"timeout":                   number,
	"trusted-public-keys":       anything,
}

func anything(string) bool { return true }

func yesOrNo(value string) bool { return value == "true" || value == "false" }

func number(value string) bool {
	_, err := strconv.ParseUint(value, 10, 31)
	return err == nil
}

// OptionNames are the names that [ParseOptions] takes, sorted.
func OptionNames() []string { return slices.Sorted(maps.Keys(settings)) }

// ParseOptions reads settings of the form name=value; the value may be empty,
// as in builders=, where that means something. It takes the names of
// [OptionNames] only, each once, and fails with [fault.InvalidArgument]. The
// meaning of each is in the manual of nix.conf(5).
func ParseOptions(given []string) (Options, error) {
	o := Options{values: map[string]string{}}
	for _, setting := range given {
		name, value, ok := strings.Cut(setting, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		takes := settings[name]
		_, again := o.values[name]
		switch {
		case !ok:
			return Options{}, fault.Newf(fault.InvalidArgument, "write NAME=VALUE, such as max-jobs=2", "the Nix setting %q has no value", setting)
		case takes == nil:
			return Options{}, fault.Newf(fault.InvalidArgument, unknownHint(name), "the Nix setting %q cannot be given here", name)
		case again:
			return Options{}, fault.Newf(fault.InvalidArgument, "give it once, lists with spaces between their parts", "the Nix setting %s is given twice", name)
		case !takes(value) || strings.ContainsFunc(value, unicode.IsControl):
			return Options{}, fault.Newf(fault.InvalidArgument, "see the manual of nix.conf", "the Nix setting %s cannot be %q", name, value)
		}
		o.values[name] = value
	}
	return o, nil
}

func unknownHint(name string) string {
	hint := "set it in nix.conf"
	if near := fault.Near(name, OptionNames()); len(near) > 0 {
		hint += ", or " + fault.DidYouMean(name, OptionNames())
	}
	return hint
}

// Strings are the settings of the user as [ParseOptions] reads them, sorted;
// never nil.
func (o Options) Strings() []string {
	given := make([]string, 0, len(o.values))
	for _, name := range slices.Sorted(maps.Keys(o.values)) {
		given = append(given, name+"="+o.values[name])
	}
	return given
}

// args are the settings as flags that every command of Nix takes.
func (o Options) args() []string {
	values := maps.Clone(defaults)
	maps.Copy(values, o.values)
	var args []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if name == "store" {
			args = append(args, "--store", values[name])
			continue
		}
		args = append(args, "--option", name, values[name])
	}
	return args
}

// File is where a store path is on this machine; empty when the store of the
// setting "store" is on another one. See "Local Store" in the manual of Nix.
func (n Nix) File(storePath string) string {
	store := n.Options.values["store"]
	address, query, _ := strings.Cut(store, "?")
	values, err := url.ParseQuery(query)
	switch {
	case err != nil:
		return ""
	case strings.HasPrefix(address, "/"):
		return filepath.Join(address, storePath)
	case address == "" || address == "auto" || address == "daemon" || strings.HasPrefix(address, "unix://") || strings.HasPrefix(address, "local"):
		return filepath.Join(values.Get("root"), storePath)
	}
	return ""
}
