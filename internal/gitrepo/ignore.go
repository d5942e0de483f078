package gitrepo

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// verdict is what our reading of ignore rules says of a path.
type verdict byte

const (
	unsure verdict = iota // git decides
	kept
	ignored
)

// ruleFile is one file of ignore rules. See gitignore(5).
type ruleFile struct {
	stamp fileStamp
	rules []ignoreRule
	odd   bool // it has a rule that only git reads
}

type ignoreRule struct {
	parts   []string // components; one and not anchored: matches at any depth
	anchor  bool     // relative to the folder of the file
	folder  bool     // matches folders only
	negated bool
}

const maxRules = 1 << 20 // bytes of one file

// parseRules reads the rules whose meaning is plain: literals, * and ?, and **
// as a component. Anything else makes the file odd.
func parseRules(text string) (rules []ignoreRule, odd bool) {
	text = strings.TrimPrefix(text, "\ufeff")
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		if strings.ContainsAny(line, "\\[\r\x00") || line[len(line)-1] == ' ' || line[len(line)-1] == '\t' || !utf8.ValidString(line) {
			return nil, true
		}
		rule := ignoreRule{}
		line, rule.negated = strings.CutPrefix(line, "!")
		line, rule.folder = strings.CutSuffix(line, "/")
		rule.anchor = strings.Contains(line, "/")
		line = strings.TrimPrefix(line, "/")
		if line == "" || strings.Contains(line, "//") || strings.HasSuffix(line, "/") {
			return nil, true
		}
		rule.parts = strings.Split(line, "/")
		for _, part := range rule.parts {
			if strings.Contains(part, "**") && (part != "**" || !rule.anchor) {
				return nil, true
			}
		}
		rules = append(rules, rule)
	}
	return rules, false
}

// rulesAt reads a file of rules, or remembers it; nil when there is none.
func (r *Repo) rulesAt(file string) *ruleFile {
	stamp := stampFile(file)
	if stamp == (fileStamp{}) {
		return nil
	}
	r.mu.Lock()
	known := r.rules[file]
	r.mu.Unlock()
	if known != nil && known.stamp == stamp {
		return known
	}
	read := &ruleFile{stamp: stamp, odd: true}
	info, err := os.Lstat(file)
	if err == nil && info.Mode().IsRegular() && info.Size() <= maxRules {
		if raw, err := os.ReadFile(file); err == nil {
			read.rules, read.odd = parseRules(string(raw))
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rules == nil {
		r.rules = map[string]*ruleFile{}
	}
	r.rules[file] = read
	return read
}

// ignores says whether git ignores a path that it does not track. A folder ends
// in a slash. What is below an ignored folder is ignored.
func (r *Repo) ignores(s *settings, name string) verdict {
	for at := 0; ; at++ {
		slash := strings.IndexByte(name[at:], '/')
		if slash < 0 {
			return r.ignoresOne(s, name, false)
		}
		at += slash
		last := at == len(name)-1
		if v := r.ignoresOne(s, name[:at], true); v != kept || last {
			return v
		}
	}
}

// ignoresOne looks at one path, whose folders are not ignored: the last rule of
// the innermost file that has a matching one decides.
func (r *Repo) ignoresOne(s *settings, name string, folder bool) verdict {
	if s.IgnoreCase || !utf8.ValidString(name) {
		return unsure
	}
	dir := path.Dir(name)
	for {
		below := name
		if dir != "." {
			below = name[len(dir)+1:]
		}
		if v := r.rulesAt(filepath.Join(r.root, dir, ".gitignore")).say(below, folder); v != nil {
			return *v
		}
		if dir == "." {
			break
		}
		dir = path.Dir(dir)
	}
	for _, file := range []string{filepath.Join(r.commonDir, "info", "exclude"), s.Excludes} {
		if v := r.rulesAt(file).say(name, folder); v != nil {
			return *v
		}
	}
	return kept
}

// say is the verdict of one file on a path below its folder; nil when none of
// its rules matches.
func (f *ruleFile) say(name string, folder bool) *verdict {
	if f == nil {
		return nil
	}
	v := unsure
	if f.odd {
		return &v
	}
	parts := strings.Split(name, "/")
	for i := len(f.rules) - 1; i >= 0; i-- {
		rule := &f.rules[i]
		if rule.folder && !folder || !rule.matches(parts) {
			continue
		}
		if v = ignored; rule.negated {
			v = kept
		}
		return &v
	}
	return nil
}

func (rule *ignoreRule) matches(parts []string) bool {
	if !rule.anchor {
		return matchPart(rule.parts[0], parts[len(parts)-1])
	}
	return matchParts(rule.parts, parts)
}

// matchParts matches whole paths. A ** in front or between stands for any number
// of folders, at the end for anything below.
func matchParts(rule, parts []string) bool {
	for len(rule) > 0 {
		if rule[0] == "**" {
			if len(rule) == 1 {
				return len(parts) > 0
			}
			for i := range parts {
				if matchParts(rule[1:], parts[i:]) {
					return true
				}
			}
			return false
		}
		if len(parts) == 0 || !matchPart(rule[0], parts[0]) {
			return false
		}
		rule, parts = rule[1:], parts[1:]
	}
	return len(parts) == 0
}

// matchPart matches one component with * and ?, which stands for one byte, as
// git compares bytes.
func matchPart(rule, name string) bool {
	star, mark := -1, 0
	i, j := 0, 0
	for j < len(name) {
		switch {
		case i < len(rule) && rule[i] == '*':
			star, mark = i, j
			i++
		case i < len(rule) && (rule[i] == '?' || rule[i] == name[j]):
			i, j = i+1, j+1
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(rule[i:], "*") == ""
}
